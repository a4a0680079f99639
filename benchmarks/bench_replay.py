"""How many rounds of a replay does a CPU second play?

The baseline is the least that a bandit experiment can be: a loop that draws from Beta posteriors
in numpy and takes the largest, with no pmf, no logged propensity and no decision.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bandit.abtests.data import AbTest, AbTestArm, draw_clicks
from bandit.abtests.replay import Stage, make_stage, play
from bandit.policies import open_policy, parse_policy

ROUNDS = 1000
POLICIES = (
    "uniform",
    "thompson",
    "text_thompson",
    "epsilon_greedy",
    "lin_ts",
    "vw:--cb_explore_adf --squarecb --cb_type mtr",
)


def stages() -> list[Stage]:
    rng = np.random.default_rng(0)
    rates = rng.beta(4.7, 295.0, size=(4, 5))
    tests = [
        AbTest(
            f"t{number}",
            201410,
            tuple(
                AbTestArm(f"Headline {arm} of test {number}", 3000, int(rng.binomial(3000, rate)))
                for arm, rate in enumerate(of_test)
            ),
        )
        for number, of_test in enumerate(rates)
    ]
    return [make_stage(test, ROUNDS) for test in tests]


def bare_thompson(played: list[Stage]) -> int:
    """Clicks of the bare loop; what it learns of a test ends with the test."""
    rng = np.random.default_rng(0)
    total = 0
    for stage in played:
        showings = [iter(clicked) for clicked in draw_clicks(stage.test, stage.rounds, rng)]
        alpha, beta = np.full(len(showings), 1.4), np.full(len(showings), 90.0)
        for _ in range(stage.rounds):
            arm = int(np.argmax(rng.beta(alpha, beta)))
            clicked = next(showings[arm])
            alpha[arm] += clicked
            beta[arm] += 1 - clicked
            total += clicked
    return total


def cpu_seconds(played: list[Stage]) -> float:
    taken = []
    for _ in range(5):
        start = time.process_time()
        bare_thompson(played)
        taken.append(time.process_time() - start)
    return float(np.median(taken))


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda text: text.partition(":")[0])
def test_rounds_of_a_replay(benchmark: Any, policy: str) -> None:
    played = stages()
    spec = parse_policy(policy)
    baseline = cpu_seconds(played)

    def replay() -> int:
        return sum(play(played, open_policy(spec), seed=0))

    clicks = benchmark.pedantic(replay, rounds=5, warmup_rounds=1)
    rounds = sum(stage.rounds for stage in played)
    assert 0 < clicks < rounds
    benchmark.extra_info["rounds_per_cpu_second"] = round(rounds / benchmark.stats.stats.median)
    benchmark.extra_info["bare_rounds_per_cpu_second"] = round(rounds / baseline)
    benchmark.extra_info["speed_over_bare_loop"] = baseline / benchmark.stats.stats.median
