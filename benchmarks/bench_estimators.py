"""How fast is a policy's value estimated from a million decisions, and is it the same value?

The baseline is the Open Bandit Pipeline (obp) on the same arrays in the same run. Three figures
are kept apart. `speedup_value_and_interval`: value and 95 % interval, ours from the moments that
it keeps anyway, obp's by its bootstrap of 100 replicates. `speedup_value_alone`: the value and
nothing else on both sides, from the same (decisions, actions) arrays.
`speedup_value_columns_given`: as before, but ours is given what the logged actions' pmf and scores
are, as a log has them, while obp must be given the whole arrays. obp 0.5.7 asks for old versions of
everything; to have it beside ours, make an environment with it and pandas < 3 (`pip install
--no-deps --ignore-requires-python obp==0.5.7`), let a .pth file there point to our own, and run
this with its Python.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.estimators import FORMULAS, open_estimator, slate_formula
from bandit.ope.estimators.running import value_alone
from bandit.ope.estimators.slates import Slates

N = 1_000_000
ACTIONS = 10
REPLICATES = 100
NAMES = {
    "ips": "InverseProbabilityWeighting",
    "snips": "SelfNormalizedInverseProbabilityWeighting",
    "dm": "DirectMethod",
    "dr": "DoublyRobust",
    "sndr": "SelfNormalizedDoublyRobust",
    "switch_dr": "SwitchDoublyRobust",
    "dros": "DoublyRobustWithShrinkage",
}


class Arrays(NamedTuple):
    """A log and what a policy and a reward model say of it; the last two of shape (n, actions)."""

    reward: np.ndarray
    action: np.ndarray
    propensity: np.ndarray
    pmf: np.ndarray
    scores: np.ndarray


def arrays(n: int = N) -> Arrays:
    rng = np.random.default_rng(0)
    logged = rng.dirichlet(np.full(ACTIONS, 2.0), size=1000)[rng.integers(0, 1000, n)]
    pmf = rng.dirichlet(np.full(ACTIONS, 1.0), size=1000)[rng.integers(0, 1000, n)]
    action = np.minimum((rng.random(n)[:, None] > logged.cumsum(axis=1)).sum(axis=1), ACTIONS - 1)
    scores = rng.uniform(0.0, 0.3, (n, ACTIONS))
    rows = np.arange(n)
    reward = (rng.random(n) < scores[rows, action]).astype(np.float64)
    return Arrays(reward, action, logged[rows, action], pmf, scores)


def as_batch(name: str, data: Arrays) -> Batch:
    places = np.arange(len(data.reward)) * ACTIONS + data.action
    columns = [data.reward, data.propensity, data.pmf.ravel()[places]]
    if name not in ("ips", "snips"):
        expected = np.einsum("ij,ij->i", data.pmf, data.scores)
        columns += [data.scores.ravel()[places], expected]
    return Batch(*columns)


def ours(name: str, data: Arrays) -> tuple[float, float, float]:
    estimator = open_estimator(name)
    estimator.add(as_batch(name, data))
    found = estimator.get()
    assert found.value is not None
    assert found.interval is not None
    return found.value, found.interval.low, found.interval.high


def theirs(name: str, data: Arrays) -> tuple[Callable[[], float], Callable[[], Any]]:
    """What gives obp's value, and what its interval."""
    ope = pytest.importorskip("obp.ope", reason="the baseline, obp, is not installed")
    formula = FORMULAS[name]
    settings = {"lambda_": formula.lambda_} if hasattr(formula, "lambda_") else {}
    estimator = getattr(ope, NAMES[name])(**settings)
    given = {
        "reward": data.reward,
        "action": data.action,
        "pscore": data.propensity,
        "action_dist": data.pmf[:, :, None],
        "position": np.zeros(len(data.reward), dtype=int),
        "estimated_rewards_by_reg_model": data.scores[:, :, None],
    }

    def interval() -> Any:
        return estimator.estimate_interval(
            **given, alpha=0.05, n_bootstrap_samples=REPLICATES, random_state=0
        )

    return lambda: estimator.estimate_policy_value(**given), interval


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def least_seconds(work: Callable[[], Any]) -> float:
    return min(cpu_seconds(work)[0] for _ in range(5))


def peak_mb(work: Callable[[], Any]) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_million_decisions(benchmark: Any, name: str) -> None:
    data = arrays()
    value, interval = theirs(name, data)
    expected, value_seconds = value(), least_seconds(value)
    interval_seconds, bounds = cpu_seconds(interval)
    found, low, high = benchmark.pedantic(ours, args=(name, data), rounds=5, warmup_rounds=1)
    seconds = benchmark.stats.stats.median
    formula, batch = FORMULAS[name], as_batch(name, data)
    alone = least_seconds(lambda: value_alone(formula, as_batch(name, data)))
    columns = [batch.reward, batch.propensity, batch.target, batch.score, batch.expected_score]
    given = least_seconds(lambda: value_alone(formula, Batch(*columns)))
    figures = benchmark.extra_info
    figures["max_abs_diff"] = max(
        abs(found - expected), abs(value_alone(formula, batch) - expected)
    )
    figures["speedup_value_and_interval"] = (value_seconds + interval_seconds) / seconds
    figures["speedup_value_alone"] = value_seconds / alone
    figures["speedup_value_columns_given"] = value_seconds / given
    figures["obp_value_ms"] = round(1e3 * value_seconds, 1)
    figures["value_alone_ms"] = round(1e3 * alone, 2)
    figures["value_columns_given_ms"] = round(1e3 * given, 2)
    figures["decisions_per_cpu_second"] = round(N / seconds)
    width = bounds["95.0% CI (upper)"] - bounds["95.0% CI (lower)"]
    figures["width_vs_bootstrap"] = (high - low) / width
    figures["peak_mb"] = round(peak_mb(lambda: ours(name, data)), 1)
    figures["peak_mb_obp_value"] = round(peak_mb(value), 1)
    assert figures["max_abs_diff"] < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_kinds_of_actions(benchmark: Any) -> None:
    """MIPS where kinds are discrete, given that every action is of one: obp's from the same."""
    ope = pytest.importorskip("obp.ope", reason="the baseline, obp, is not installed")
    rng = np.random.default_rng(1)
    n, kind = 50_000, np.repeat(np.arange(4), 5)
    logged, pmf = (rng.dirichlet(np.ones(20), size=n) for _ in range(2))
    action = np.minimum((rng.random(n)[:, None] > logged.cumsum(axis=1)).sum(axis=1), 19)
    reward = (rng.random(n) < 0.1 + 0.1 * kind[action]).astype(np.float64)
    rows, same = np.arange(n), kind[None, :] == kind[action][:, None]
    marginal = (pmf * same).sum(axis=1) / (logged * same).sum(axis=1)
    batch = Batch(reward, logged[rows, action], pmf[rows, action], marginal=marginal)
    expected = ope.MarginalizedInverseProbabilityWeighting(n_actions=20).estimate_policy_value(
        reward=reward,
        action=action,
        pi_b=logged[:, :, None],
        action_dist=pmf[:, :, None],
        position=np.zeros(n, dtype=int),
        p_e_a=np.eye(4)[kind][:, :, None],
        action_embed=kind[action][:, None],
    )
    found = benchmark(lambda: value_alone(FORMULAS["mips"], batch))
    benchmark.extra_info["max_abs_diff"] = abs(found - expected)
    assert abs(found - expected) < 1e-6


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("slate_snips", "SelfNormalizedSlateStandardIPS"),
        ("slate_cascade", "SelfNormalizedSlateRewardInteractionIPS"),
        ("slate_independent", "SelfNormalizedSlateIndependentIPS"),
    ],
)
def test_slates(benchmark: Any, name: str, theirs: str) -> None:
    ope = pytest.importorskip("obp.ope", reason="the baseline, obp, is not installed")
    rng = np.random.default_rng(2)
    n, slots = 100_000, 3
    propensity, target = rng.uniform(0.2, 0.8, (n, slots)), rng.uniform(0.1, 0.9, (n, slots))
    slates = Slates((rng.random((n, slots)) < 0.2).astype(np.float64), propensity, target)
    given = {
        "slate_id": np.repeat(np.arange(n), slots),
        "reward": slates.reward.ravel(),
        "position": np.tile(np.arange(slots), n),
    }
    kinds = {"slate_snips": "", "slate_cascade": "_cascade", "slate_independent": "_item_position"}
    for key, columns in (("pscore", propensity), ("evaluation_policy_pscore", target)):
        product = {
            "slate_snips": lambda c: np.repeat(c.prod(axis=1), slots),
            "slate_cascade": lambda c: c.cumprod(axis=1).ravel(),
            "slate_independent": lambda c: c.ravel(),
        }[name]
        given[key + kinds[name]] = product(columns)
    estimator = getattr(ope, theirs)(len_list=slots)
    seconds, expected = cpu_seconds(lambda: estimator.estimate_policy_value(**given))
    formula = slate_formula(name, slots)
    found = benchmark(lambda: value_alone(formula, slates))
    benchmark.extra_info["max_abs_diff"] = abs(found - expected)
    benchmark.extra_info["speedup_value_alone"] = seconds / benchmark.stats.stats.median
    assert abs(found - expected) < 1e-6
