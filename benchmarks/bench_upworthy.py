"""What would each policy have earned on real headline tests, above showing all alike?

The Upworthy archive, 1,040 tests, five seeds, by `copyloop replay`'s own rules. The default policy
starts from weights that were fitted on this archive, so its plain case is in-sample. It is also
played on each half of the tests with weights from the others (`held_out`), with each embedding:
that is what unseen tests would give. A case takes minutes to half an hour, so `make bench` leaves
this file out; name it to pytest, with `-o python_files='bench_*.py' --timeout 0`, and choose
cases by `-k`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from bandit.abtests.contrasts import contrasts_of_tests
from bandit.abtests.data import AbTest
from bandit.abtests.prior import fit_prior
from bandit.abtests.replay import HORIZON, make_stage, play_new
from bandit.abtests.report import PolicyResult, make_report
from bandit.features.flatten import Embedding
from bandit.policies import parse_policy
from benchmarks.upworthy import DATA, read_upworthy
from streams.events import PolicySpec

SEEDS = 5
POLICIES = (
    "default",
    "uniform",
    "epsilon_greedy",
    "thompson",
    "thompson:alpha=1.4,beta=90",
    "gaussian_thompson:mean=0.01,sd=0.005,noise=0.1",
    "top_two",
    "discounted_thompson",
    "lin_ts",
    "lin_ucb",
    "vw:--cb_explore_adf --squarecb --cb_type mtr",
)

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="the Upworthy archive is not at ../shared"),
    pytest.mark.benchmark(timer=time.process_time),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_lift(benchmark: Any, policy: str) -> None:
    # What the others see of a text matters little, and MiniLM reads for a minute.
    embedding: Embedding = "minilm" if policy == "default" else "wordllama"
    tests = read_upworthy()
    spec = parse_policy(policy)
    clicks = benchmark.pedantic(partial(earned, tests, spec, embedding), rounds=1)
    benchmark.extra_info.update(figures(policy, tests, clicks))


@pytest.mark.parametrize("embedding", ["minilm", "wordllama"])
def test_lift_held_out(benchmark: Any, embedding: Embedding) -> None:
    """The default, on each half of the tests with weights from all tests that are not in it."""
    tests = read_upworthy()
    known = read_upworthy(min_headlines=2, min_impressions=100)
    halves = tests[0::2], tests[1::2]

    def play_halves() -> list[Any]:
        return [earned(half, learned_without(half, known, embedding), embedding) for half in halves]

    even, odd = benchmark.pedantic(play_halves, rounds=1)
    both = np.empty((SEEDS, len(tests)))
    both[:, 0::2], both[:, 1::2] = even, odd
    benchmark.extra_info.update(figures("default", tests, both))
    for name, half, clicks in (("even", halves[0], even), ("odd", halves[1], odd)):
        found = result(name, half, clicks)
        benchmark.extra_info[f"lift on {name} tests"] = found.lift
        benchmark.extra_info[f"its standard error on {name} tests"] = found.lift_se


def learned_without(
    half: Sequence[AbTest], known: Sequence[AbTest], embedding: Embedding
) -> PolicySpec:
    """Returns the default with weights from the tests that are not in the half."""
    held = {test.id for test in half}
    prior = fit_prior(
        contrasts_of_tests([test for test in known if test.id not in held], embedding)
    )
    return {"name": "text_thompson", "weights": prior.weights}


def earned(tests: Sequence[AbTest], spec: PolicySpec, embedding: Embedding) -> Any:
    """Returns the clicks of each seed in each test, shape (SEEDS, n_tests)."""
    stages = [make_stage(test, HORIZON, embedding) for test in tests]
    return np.array([list(play_new(stages, spec, seed=seed)) for seed in range(SEEDS)], dtype=float)


def result(name: str, tests: Sequence[AbTest], clicks: Any) -> PolicyResult:
    rounds = np.array([test.rounds(HORIZON) for test in tests])
    report = make_report(
        [name],
        clicks=clicks[None],
        rounds=rounds,
        uniform=rounds * np.array([test.uniform_ctr for test in tests]),
        best=rounds * np.array([test.best_ctr for test in tests]),
    )
    return report.results[0]


def figures(name: str, tests: Sequence[AbTest], clicks: Any) -> dict[str, Any]:
    found = result(name, tests, clicks)
    return {
        "lift": found.lift,
        "its standard error": found.lift_se,
        "captured": found.captured,
        "ctr": found.ctr,
        "tests": len(tests),
        "seeds": SEEDS,
        "of each seed": [result(name, tests, one[None]).lift for one in clicks],
    }
