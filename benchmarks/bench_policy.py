"""What does a policy cost: asked right after it learned, asked again, and to learn?

CPU time, with creatives as they are in production: structural attributes and an embedding each,
and a context of seven features. Baselines of the same run: Vowpal Wabbit parsing every action's
text anew each time, and Thompson sampling as one draw from each Beta, which gives no pmf.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from msgspec import Raw

from bandit.features.flatten import Feature, creative_features, flatten, vw_text
from bandit.policies import open_policy, parse_policy
from bandit.policies.vw.model import VwModel
from bandit.policy import Policy
from streams.events import Action, Decision, encode

POLICIES = (
    "uniform",
    "epsilon_greedy",
    "thompson",
    "gaussian_thompson",
    "top_two",
    "text_thompson",
    "lin_ts",
    "vw",
    "floor:policy=thompson",
)
SIZES = (4, 10, 100, 1000, 10_000)
SHOWINGS = 300
"""Rewards that a policy has learned, on average, of each action before it is measured."""

CONTEXT = Raw(
    json.dumps(
        {
            "hour": 21,
            "user": {"plan": "free", "age": 0.33, "tags": ["sleep", "home"]},
            "device": {"os": "ios", "width": 1280},
        }
    ).encode()
)
TEXT = "sleep better tonight with our new mattress and save 20% now why wait for your dream"

cpu = pytest.mark.benchmark(timer=time.process_time, warmup=False)


@pytest.fixture(scope="module")
def actions() -> tuple[Action, ...]:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(TEXT.split(), size=7)) for _ in range(max(SIZES))]
    return tuple(
        Action(f"creative-{number}", creative_features({"headline": text}, "wordllama"))
        for number, text in enumerate(texts)
    )


def decisions(actions: tuple[Action, ...], n: int, seed: int) -> list[tuple[Decision, float]]:
    """Returns decisions from a uniform log, with clicks at rates of 0.5 to 2.5 %."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.005, 0.025, len(actions))
    pmf = (1.0 / len(actions),) * len(actions)
    made = []
    for number, index in enumerate(rng.integers(len(actions), size=n).tolist()):
        decision = Decision(
            event_id=f"{number}",
            placement="home",
            timestamp_ms=number,
            context=CONTEXT,
            actions=actions,
            pmf=pmf,
            index=index,
            policy_version="v",
        )
        made.append((decision, float(rng.random() < rates[index])))
    return made


def taught(text: str, actions: tuple[Action, ...]) -> Policy:
    """Returns the policy after some history: 300 showings an action, 3,000 in all at most.

    Of 10,000 actions 100: to learn, Vowpal Wabbit looks at each of them.
    """
    policy = open_policy(parse_policy(text))
    showings = min(SHOWINGS * len(actions), 3000 if len(actions) <= 1000 else 100)
    for decision, reward in decisions(actions, showings, seed=2):
        policy.learn(decision, reward)
    return policy


def rounds(n_actions: int) -> int:
    return 300 if n_actions <= 10 else 30 if n_actions <= 1000 else 3


@cpu
@pytest.mark.parametrize("n_actions", SIZES)
@pytest.mark.parametrize("text", POLICIES)
def test_asked_after_learning(
    benchmark: Any, actions: tuple[Action, ...], text: str, n_actions: int
) -> None:
    """What replay pays: each answer follows a new reward."""
    policy, shown = taught(text, actions[:n_actions]), actions[:n_actions]
    policy.pmf(CONTEXT, shown)
    more = cycle(decisions(shown, 500, seed=3))

    def learn_first() -> tuple[tuple[Any, ...], dict[str, Any]]:
        policy.learn(*next(more))
        return (CONTEXT, shown), {}

    pmf = benchmark.pedantic(policy.pmf, setup=learn_first, rounds=rounds(n_actions))
    assert pmf.sum() == pytest.approx(1.0)


@cpu
@pytest.mark.parametrize("n_actions", SIZES)
@pytest.mark.parametrize("text", POLICIES)
def test_asked_again(
    benchmark: Any, actions: tuple[Action, ...], text: str, n_actions: int
) -> None:
    """What a request pays between two snapshots."""
    policy, shown = taught(text, actions[:n_actions]), actions[:n_actions]
    policy.pmf(CONTEXT, shown)
    n = 20 if n_actions <= 100 else 2
    benchmark.pedantic(policy.pmf, (CONTEXT, shown), rounds=rounds(n_actions), iterations=n)


@cpu
@pytest.mark.parametrize("n_actions", SIZES[1:])
@pytest.mark.parametrize("text", POLICIES)
def test_learning(benchmark: Any, actions: tuple[Action, ...], text: str, n_actions: int) -> None:
    policy, shown = taught(text, actions[:n_actions]), actions[:n_actions]
    more = cycle(decisions(shown, 500, seed=3))
    benchmark.pedantic(lambda: policy.learn(*next(more)), rounds=rounds(n_actions), iterations=10)


@cpu
@pytest.mark.parametrize("n_actions", SIZES[1:])
def test_a_decision_as_json(benchmark: Any, actions: tuple[Action, ...], n_actions: int) -> None:
    """What every request pays besides the policy: the decision holds each action's features."""
    (decision, _), *_ = decisions(actions[:n_actions], 1, seed=3)
    data = benchmark.pedantic(encode, (decision,), rounds=30, iterations=10)
    benchmark.extra_info["bytes"] = len(data)
    benchmark.extra_info["bytes an action"] = len(data) / n_actions


def best_seconds(call: Callable[[], object], n: int) -> float:
    """Returns the median CPU time of one call, over eleven batches of `n`."""
    batches = []
    for _ in range(11):
        start = time.process_time()
        for _ in range(n):
            call()
        batches.append((time.process_time() - start) / n)
    return float(np.median(batches))


@cpu
def test_vw_with_prepared_actions(benchmark: Any, actions: tuple[Action, ...]) -> None:
    """Against the same model, to which each request is written and parsed as text."""
    args, shown = "--cb_explore_adf --squarecb --cb_type mtr", actions[:10]
    policy = open_policy({"name": "vw", "args": args})
    plain = VwModel(args)
    named = [
        (Feature("id", each.id, 1.0), *flatten(each.features, namespace="action")) for each in shown
    ]

    def parse_and_predict() -> object:
        shared = vw_text(flatten(CONTEXT, namespace="context"))
        lines = [f"shared {shared}", *map(vw_text, named)]
        return plain.predict([plain.parse(line) for line in lines])

    policy.pmf(CONTEXT, shown)
    baseline = best_seconds(parse_and_predict, 50)
    benchmark.pedantic(policy.pmf, (CONTEXT, shown), rounds=100, iterations=50)
    benchmark.extra_info["times faster than parsing text"] = baseline / benchmark.stats["median"]


@cpu
@pytest.mark.parametrize("n_actions", [4, 10, 100])
def test_thompson_against_a_draw(
    benchmark: Any, actions: tuple[Action, ...], n_actions: int
) -> None:
    """Against one draw from every arm's Beta, which picks an action but knows no propensity."""
    shown = actions[:n_actions]
    policy = taught("thompson", shown)
    rng = np.random.default_rng(4)
    clicks = rng.binomial(SHOWINGS, 0.015, n_actions).astype(float)
    alpha, beta = 1.0 + clicks, 99.0 + SHOWINGS - clicks
    baseline = best_seconds(lambda: rng.beta(alpha, beta).argmax(), 200)
    more = cycle(decisions(shown, 500, seed=3))

    def learn_first() -> tuple[tuple[Any, ...], dict[str, Any]]:
        policy.learn(*next(more))
        return (CONTEXT, shown), {}

    benchmark.pedantic(policy.pmf, setup=learn_first, rounds=rounds(n_actions))
    benchmark.extra_info["times the cost of a draw"] = benchmark.stats["median"] / baseline
