"""Do the intervals hold the truth as often as they say, where the truth is known?

Worlds of two kinds of visitors and three creatives, with rates as of clicks (about 2 %) and as of
a game (about 30 %), logs of 300 to 30,000 decisions, and a reward model that is off by chance. Each
estimator and interval judges 400 logs of each; of 95 % intervals 380 should hold the policy's
value, more where a method promises it for any number of decisions (betting, bernstein).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.estimators import open_estimator

LOGS = 400
SHARES = np.array([0.3, 0.7])
LOGGED = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
TARGET = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
RATES = {
    "clicks": np.array([[0.010, 0.030, 0.020], [0.025, 0.015, 0.040]]),
    "game": np.array([[0.10, 0.40, 0.25], [0.30, 0.20, 0.60]]),
}
METHODS = (
    ("ips", False),
    ("snips", False),
    ("snips", True),
    ("dm", False),
    ("dr", False),
    ("dr", True),
    ("sndr", False),
    ("dros", False),
    ("blend", False),
    ("betting", False),
    ("bernstein", False),
)


def draw(n: int, rng: np.random.Generator, rates: np.ndarray) -> Batch:
    """A log, and the scores of a model that is a third off."""
    visitor = rng.choice(2, n, p=SHARES)
    action = (rng.random(n)[:, None] > LOGGED[visitor].cumsum(axis=1)[:, :-1]).sum(axis=1)
    scores = rates * rng.uniform(2 / 3, 4 / 3, rates.shape)
    expected = (TARGET * scores).sum(axis=1)[visitor]
    reward = (rng.random(n) < rates[visitor, action]).astype(np.float64)
    columns = (LOGGED[visitor, action], TARGET[visitor, action], scores[visitor, action], expected)
    return Batch(reward, *columns)


@pytest.mark.parametrize("world", RATES)
@pytest.mark.parametrize("n", [300, 3000, 30_000])
def test_coverage(benchmark: Any, world: str, n: int) -> None:
    rates, rng = RATES[world], np.random.default_rng([n, len(world)])
    truth = float((SHARES[:, None] * TARGET * rates).sum())
    logs = LOGS
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}

    def judge() -> None:
        for _ in range(logs):
            batch = draw(n, rng, rates)
            for name, bootstrap in METHODS:
                estimator = open_estimator(name, bootstrap=bootstrap)
                estimator.add(batch)
                interval = estimator.get(0.95).interval
                key = f"{name}_bootstrap" if bootstrap else name
                if interval is not None:
                    held.setdefault(key, []).append(truth in interval)
                    widths.setdefault(key, []).append(interval.high - interval.low)

    benchmark.pedantic(judge, rounds=1)
    for key, inside in held.items():
        benchmark.extra_info[f"{key}_coverage"] = round(float(np.mean(inside)), 4)
        benchmark.extra_info[f"{key}_width"] = round(float(np.mean(widths[key])), 5)
        if len(inside) < logs:
            benchmark.extra_info[f"{key}_without_interval"] = logs - len(inside)
