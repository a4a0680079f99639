"""How often does the drift check cry wolf, and how soon does it see that a rate changed?

A creative that is clicked in 2 % of its showings, looked at after every stretch of a thousand, 60
stretches long. The baseline looks as often with a z-test of level .01 between the first and the
second half of what there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bandit.distributions import quantile
from bandit.ope.drift import ALPHA, TimeBucket, drift_of

RUNS = 1000
STRETCHES = 60
SHOWINGS = 1000
RATE = 0.02
CHANGED_AT = 20


def series(rng: np.random.Generator, after: float) -> list[TimeBucket]:
    rates = [RATE] * CHANGED_AT + [after] * (STRETCHES - CHANGED_AT)
    return [TimeBucket(SHOWINGS, float(clicks)) for clicks in rng.binomial(SHOWINGS, rates)]


def first_alarm(
    stretches: Sequence[TimeBucket], says: Callable[[Sequence[TimeBucket]], bool]
) -> float:
    """Returns after how many stretches the first look says so, infinity if none does."""
    looks = (upto for upto in range(2, len(stretches) + 1) if says(stretches[:upto]))
    return next(looks, math.inf)


def checked(stretches: Sequence[TimeBucket]) -> bool:
    found = drift_of(stretches)
    return found is not None and found.drifts


def z_test(stretches: Sequence[TimeBucket]) -> bool:
    middle = len(stretches) // 2
    sums = [np.sum(part, axis=0) for part in (stretches[:middle], stretches[middle:])]
    (n, clicks), (m, others) = sums
    rate = (clicks + others) / (n + m)
    sd = math.sqrt(max(rate * (1.0 - rate), 1e-12) * (1.0 / n + 1.0 / m))
    return bool(abs(clicks / n - others / m) > quantile(1.0 - ALPHA) * sd)


def test_false_alarms(benchmark: Any) -> None:
    rng = np.random.default_rng(1)
    steady = [series(rng, RATE) for _ in range(RUNS)]
    alarms = benchmark.pedantic(
        lambda: np.mean([math.isfinite(first_alarm(each, checked)) for each in steady]), rounds=1
    )
    naive = np.mean([math.isfinite(first_alarm(each, z_test)) for each in steady])
    benchmark.extra_info.update(
        runs=RUNS, looks=STRETCHES - 1, alpha=ALPHA, false_alarms=alarms, z_test_false_alarms=naive
    )


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.25, 1.5, 2.0])
def test_delay(benchmark: Any, factor: float) -> None:
    rng = np.random.default_rng(2)
    changed = [series(rng, RATE * factor) for _ in range(RUNS // 5)]
    alarms = benchmark.pedantic(
        lambda: np.array([first_alarm(each, checked) for each in changed]), rounds=1
    )
    seen = alarms[np.isfinite(alarms) & (alarms > CHANGED_AT)]
    benchmark.extra_info.update(
        factor=factor,
        found=len(seen) / len(changed),
        early=float(np.mean(alarms <= CHANGED_AT)),
        median_showings_until_found=float(np.median(seen) - CHANGED_AT) * SHOWINGS,
    )
