"""What does a decision cost among many creatives, and what does a shortlist lose?

CPU time of choosing and of writing the decision, and its bytes, with creatives as they are in
production, after the policy was published anew and between two snapshots. The baseline of the
same run chooses from all of them. Then clicks: a market with many creatives, played by the
default policy with and without a shortlist, on the same visitors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from msgspec import Raw

from bandit.eligibility import WeightedSampler, seed_of
from bandit.features.flatten import creative_features
from bandit.policies import load_policy, open_policy
from bandit.policy import Policy, sample, sample_seed, take_over
from bandit.service.choosing.candidates import (
    ActionDistribution,
    CandidateSet,
    RequestMetadata,
    Selection,
    decision_message,
)
from bandit.service.choosing.slots import ShortlistSampler
from streams.events import Action, Decision
from streams.events.placement import Shortlist

SIZES = (10, 100, 1000, 10_000)
POLICIES = ("text_thompson", "lin_ts")
TEXT = "sleep better tonight with our new mattress and save 20% now why wait for your dream"
CONTEXT = Raw(json.dumps({"hour": 21, "user": {"plan": "free"}, "device": {"os": "ios"}}).encode())

ARMS = 1000
VISITS = 20_000
SEEDS = range(3)
EVERY = 200
"""A snapshot is published after so many visits."""


@lru_cache
def creatives(n: int) -> tuple[Action, ...]:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(TEXT.split(), size=7)) for _ in range(n)]
    return tuple(
        Action(f"creative-{number}", creative_features({"headline": text}, "wordllama"))
        for number, text in enumerate(texts)
    )


def taught(name: str, actions: tuple[Action, ...]) -> Policy:
    """Returns the policy after 1,000 decisions among the first hundred, clicked in 2 %."""
    policy, rng = open_policy({"name": name}), np.random.default_rng(2)
    offered = actions[:100]
    pmf = (1.0 / len(offered),) * len(offered)
    for number, index in enumerate(rng.integers(len(offered), size=1000).tolist()):
        decision = Decision(
            event_id=f"{number}",
            placement="home",
            timestamp_ms=number,
            context=CONTEXT,
            actions=offered,
            pmf=pmf,
            index=index,
            policy_version="v",
        )
        policy.learn(decision, float(rng.random() < 0.02))
    return policy


class Placed:
    """A placement as a replica serves it."""

    def __init__(self, policy: Policy, actions: tuple[Action, ...], rule: Shortlist | None) -> None:
        self.policy, self.candidates = policy, CandidateSet("home", actions, {})
        self.sampler = None
        if rule is not None and len(actions) > rule.size:
            self.sampler = ShortlistSampler(rule, actions, 9, lambda: 0.0)
        self.version = "v@0"
        self._number = 0

    def decide(self) -> int:
        """Decides once more; returns how many bytes that is in the log."""
        self._number += 1
        event_id, candidates, shortlist = f"{self._number}", self.candidates, None
        if self.sampler is not None:
            pmf_of, size = self.policy.pmf, self.sampler.rule.size
            among = candidates.actions
            shortlist = self.sampler.shortlist(self.version, pmf_of, among, event_id, size)
        if shortlist is not None:
            candidates = candidates.beside(shortlist.actions)
        distribution = candidates.known(self.policy)
        if distribution is None:
            pmf = self.policy.pmf(CONTEXT, candidates.actions)
            distribution = ActionDistribution(candidates, pmf.tolist(), "v@1")
            candidates.keep(self.policy, distribution)
        selection = Selection(CONTEXT, distribution, distribution.draw(sample_seed(event_id)))
        if shortlist is not None:
            note = shortlist.note(selection.action.id)
            selection = selection._replace(shortlist=note)
        return len(decision_message(selection, RequestMetadata(event_id, 1, False, None)).value)


def seconds(call: Callable[[], object], rounds: int) -> float:
    """Returns the median CPU time of a call."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return float(np.median(spent))


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", POLICIES)
def test_a_decision(benchmark: Any, name: str, n: int) -> None:
    policy = taught(name, creatives(n))
    state = policy.to_bytes()
    with_one = Placed(policy, creatives(n), Shortlist())
    size = with_one.decide()
    benchmark.pedantic(with_one.decide, rounds=50)
    everything = Placed(policy, creatives(n), None)
    whole = everything.decide()
    all_of_them = seconds(everything.decide, 50 if n <= 1000 else 5)

    def anew(rule: Shortlist | None) -> float:
        """Returns the CPU time of a first decision after a snapshot."""
        placed = Placed(policy, creatives(n), rule)
        placed.decide()

        def published() -> None:
            before, placed.policy = placed.policy, load_policy(state)
            take_over(placed.policy, before)
            placed.version += "0"
            placed.decide()

        return seconds(published, 5 if n <= 1000 else 2)

    benchmark.extra_info.update(
        bytes=size,
        bytes_among_all=whole,
        seconds_among_all=all_of_them,
        times_cheaper=all_of_them / benchmark.stats["median"],
        seconds_after_a_snapshot=anew(Shortlist()),
        seconds_after_a_snapshot_among_all=anew(None),
    )


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize("n", SIZES[1:])
def test_a_draw(benchmark: Any, n: int) -> None:
    """The draw alone, of 50 creatives; the baseline is Gumbel top-n over all."""
    pmf = np.random.default_rng(1).dirichlet(np.full(n, 0.05))
    lots, rng, number = WeightedSampler(pmf, 0.2), np.random.default_rng(3), iter(range(10**9))
    benchmark.pedantic(lambda: lots.draw(seed_of(f"{next(number)}", "v"), 50), rounds=300)
    logs = np.log(0.8 * pmf + 0.2 / n)
    gumbel = seconds(lambda: np.argpartition(-(logs + rng.gumbel(size=n)), 50)[:50], 300)
    benchmark.extra_info["times_faster_than_gumbel"] = gumbel / benchmark.stats["median"]


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
def test_clicks(benchmark: Any) -> None:
    rules: dict[str, Shortlist | None] = {"all": None}
    sizes = ((20, 0.2), (100, 0.2), (100, 0.05))
    rules |= {f"{size}, {floor}": Shortlist(size=size, floor=floor) for size, floor in sizes}
    played: dict[str, list[float]] = {}

    def play() -> None:
        for name, rule in rules.items():
            played[name] = [clicks(seed, rule) for seed in SEEDS]

    benchmark.pedantic(play, rounds=1)
    uniform = [true_rates(seed).mean() * VISITS for seed in SEEDS]
    for name, found in played.items():
        over = np.array(found) / uniform - 1.0
        benchmark.extra_info[f"lift over uniform, {name}"] = float(over.mean())
        benchmark.extra_info[f"standard error, {name}"] = float(over.std(ddof=1) / len(over) ** 0.5)


def true_rates(seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns the click rates of the market's creatives: log-normal around 2 %, as headlines'."""
    return np.exp(np.random.default_rng(seed).normal(np.log(0.02), 0.35, ARMS))


def clicks(seed: int, rule: Shortlist | None) -> float:
    """Returns the expected clicks of what was shown; ids alone tell the creatives apart."""
    rates, visitors = true_rates(seed), np.random.default_rng(1000 + seed).random(VISITS)
    actions = tuple(Action(f"{number}") for number in range(ARMS))
    policy, total = open_policy({"name": "text_thompson"}), 0.0
    served, whole, lots = policy, policy.pmf(CONTEXT, actions), None
    for number, luck in enumerate(visitors.tolist()):
        event_id = f"{seed}-{number}"
        if number % EVERY == 0:
            served = load_policy(policy.to_bytes())
            whole = served.pmf(CONTEXT, actions)
            lots = None if rule is None else WeightedSampler(whole, rule.floor)
        offered, pmf = actions, whole
        if rule is not None and lots is not None:
            let = lots.draw(seed_of(event_id, f"v@{number // EVERY}"), rule.size).indices
            offered = tuple(actions[index] for index in let.tolist())
            pmf = served.pmf(CONTEXT, offered)
        chosen = sample(pmf, event_id)
        rate = rates[int(offered[chosen].id)]
        total += rate
        decision = Decision(
            event_id=event_id,
            placement="home",
            timestamp_ms=number,
            context=CONTEXT,
            actions=(offered[chosen],),
            pmf=(1.0,),
            index=0,
            policy_version="v",
        )
        policy.learn(decision, float(luck < rate))
    return float(total)
