"""How fast is a policy's value estimated from a million decisions, and is it the same value?

The baseline is the Open Bandit Pipeline (obp) on the same arrays in the same run. Both give a
value and a 95 % interval: obp by its bootstrap, of 100 replicates, ours from the moments that it
keeps anyway. obp 0.5.7 asks for old versions of everything; to have it beside ours, make an
environment with it and pandas < 3 (`pip install --no-deps --ignore-requires-python obp==0.5.7`),
let a .pth file there point to our own, and run this with its Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from bandit.estimator import Batch
from bandit.estimators import FORMULAS, open_estimator

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


def ours(name: str, data: Arrays) -> tuple[float, float, float]:
    rows = np.arange(len(data.reward))
    columns = [data.reward, data.propensity, data.pmf[rows, data.action]]
    if name not in ("ips", "snips"):
        columns += [data.scores[rows, data.action], np.einsum("ij,ij->i", data.pmf, data.scores)]
    estimator = open_estimator(name)
    estimator.add(Batch(*columns))
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


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_million_decisions(benchmark: Any, name: str) -> None:
    data = arrays()
    value, interval = theirs(name, data)
    value_seconds, expected = min(cpu_seconds(value) for _ in range(3))
    interval_seconds, bounds = cpu_seconds(interval)
    found, low, high = benchmark.pedantic(ours, args=(name, data), rounds=5, warmup_rounds=1)
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["max_abs_diff"] = abs(found - expected)
    benchmark.extra_info["speedup_vs_obp"] = (value_seconds + interval_seconds) / seconds
    benchmark.extra_info["speedup_vs_obp_value_alone"] = value_seconds / seconds
    benchmark.extra_info["decisions_per_cpu_second"] = round(N / seconds)
    width = bounds["95.0% CI (upper)"] - bounds["95.0% CI (lower)"]
    benchmark.extra_info["width_vs_bootstrap"] = (high - low) / width
    assert abs(found - expected) < 1e-6
