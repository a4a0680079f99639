"""Intervals for a fixed number of decisions, with and without assuming that there are many.

An interval that is looked at while the log grows, until it pleases, does not cover at its level;
for that there are the confidence sequences in `bandit.ope.betting`.
"""

from __future__ import annotations

import math
from typing import Final

from bandit.distributions import beta_quantile, check_level, quantile
from bandit.ope.base import Interval

Z_95: Final = 1.6448536269514722
"""The one-sided 95 % quantile of the normal distribution."""


def normal(value: float, error: float, level: float, *, method: str = "normal") -> Interval:
    """Returns value ± quantile x standard error, which covers at its level in large samples."""
    half = quantile(level) * error
    return Interval(method, level, value - half, value + half)


def bernstein_lower(mean: float, variance: float, n: int, *, largest: float, alpha: float) -> float:
    """Returns a lower bound of a mean, for any n: wrong with probability `alpha` at most.

    mean - √(2 V ln(2/α) / n) - 7 c ln(2/α) / (3 (n - 1)), for values in [0, c] (Maurer & Pontil
    2009, theorem 4).

    Args:
        mean: of the values.
        variance: their sample variance V.
        n: how many there are, at least 2.
        largest: c, known beforehand.
        alpha: in (0, 1).
    """
    log = math.log(2.0 / alpha)
    return mean - math.sqrt(2.0 * variance * log / n) - 7.0 * largest * log / (3.0 * (n - 1))


def clopper_pearson(successes: int, n: int, level: float) -> Interval:
    """Returns the exact interval for the rate behind `successes` in `n` independent trials.

    Its bounds are quantiles of Beta(s, n - s + 1) and Beta(s + 1, n - s) (Clopper & Pearson
    1934). It covers at its level or above for any n.

    >>> interval = clopper_pearson(0, 10, 0.95)
    >>> interval.low, round(interval.high, 4)
    (0.0, 0.3085)
    """
    tail = (1.0 - check_level(level)) / 2.0
    low = beta_quantile(tail, successes, n - successes + 1) if successes else 0.0
    high = beta_quantile(1.0 - tail, successes + 1, n - successes) if successes < n else 1.0
    return Interval("clopper_pearson", level, low, high)


def wilson_interval(rate: float, n: float, *, z: float = Z_95) -> tuple[float, float]:
    """Returns the score interval of a rate seen in `n` trials, clipped to [0, 1] (Wilson 1927).

    >>> [round(bound, 3) for bound in wilson_interval(0.5, 100)]
    [0.419, 0.581]
    """
    rate = min(max(rate, 0.0), 1.0)
    centre = rate + z * z / (2 * n)
    margin = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)
