"""What does a placement gain that starts from what an advertising account has seen?

Placements of ten ads, clicked at rates that spread by a factor of two around 1.5 %. The account
showed each ad some thousand times, by shares of its own. Here an ad's rate differs from its rate
there: not at all, by 30 %, or so much that the account says nothing. The default policy decides
2,000 times, and learns ten decisions at a time. The baseline starts from nothing; nothing was set
by what this tells.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest

from bandit.policies import DEFAULT, open_policy
from generator.platforms.evidence import Seen, counted, decisions
from streams.events import EMPTY, Action, Creative, Decision, RewardRule

PLACEMENTS: Final = 40
ADS: Final = 10
DECISIONS: Final = 2000
FIRST: Final = 200
EVERY: Final = 10
SPREAD: Final = 0.7
RULE: Final = RewardRule()


def rates_of(seed: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rates in the account and here, shape (ADS,) each."""
    rng = np.random.default_rng(seed)
    there = rng.normal(0.0, SPREAD, ADS)
    if apart == np.inf:
        here = rng.normal(0.0, SPREAD, ADS)
    else:
        here = there + rng.normal(0.0, apart, ADS)
    return 0.015 * np.exp(there), 0.015 * np.exp(here)


def seen_in_account(rates: np.ndarray, seed: int) -> list[Seen]:
    """Returns what the account tells of its ads."""
    rng = np.random.default_rng((seed, 1))
    shown = rng.integers(500, 20_000, ADS)
    return [
        Seen(
            Creative(id=str(n), placement="p", parts={}, status="live", timestamp_ms=0),
            int(shown[n]),
            int(rng.binomial(shown[n], min(rates[n], 1.0))),
            str(n // 5),
        )
        for n in range(ADS)
    ]


def earned(rates: np.ndarray, seen: list[Seen], seed: int) -> np.ndarray:
    """Returns what each decision earns on average, shape (DECISIONS,)."""
    policy, rng = open_policy(DEFAULT), np.random.default_rng((seed, 2))
    for event in decisions(counted(seen), "p", RULE, 0):
        policy.learn(event.decision, event.reward)
    actions = tuple(Action(str(n)) for n in range(ADS))
    found = np.empty(DECISIONS)
    pmf = np.full(ADS, 1.0 / ADS)
    for number in range(DECISIONS):
        if number % EVERY == 0:
            pmf = policy.pmf(EMPTY, actions)
        found[number] = pmf @ rates
        index = int(rng.choice(ADS, p=pmf / pmf.sum()))
        made = Decision(
            event_id=str(number),
            placement="p",
            timestamp_ms=1000 * number,
            context=EMPTY,
            actions=actions,
            pmf=tuple(pmf.tolist()),
            index=index,
            policy_version="v",
        )
        policy.learn(made, float(rng.random() < rates[index]))
    return found


@pytest.mark.parametrize("apart", [0.0, 0.3, np.inf], ids=["same", "by 30 %", "unrelated"])
def test_what_a_start_from_an_account_earns(benchmark: Any, apart: float) -> None:
    rows: list[tuple[np.ndarray, np.ndarray]] = []

    def play() -> None:
        for seed in range(PLACEMENTS):
            there, here = rates_of(seed, apart)
            warm = earned(here, seen_in_account(there, seed), seed) / here.mean()
            rows.append((warm, earned(here, [], seed) / here.mean()))

    benchmark.pedantic(play, rounds=1)
    warm, cold = np.array(rows).swapaxes(0, 1)
    gain = warm.mean(axis=1) - cold.mean(axis=1)
    benchmark.extra_info.update(
        placements=PLACEMENTS,
        first_200_warm=warm[:, :FIRST].mean(),
        first_200_cold=cold[:, :FIRST].mean(),
        all_2000_warm=warm.mean(),
        all_2000_cold=cold.mean(),
        gain=gain.mean(),
        its_standard_error=gain.std(ddof=1) / np.sqrt(PLACEMENTS),
    )
