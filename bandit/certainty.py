"""Intervals for a fixed number of decisions, with and without assuming that there are many.

An interval that is looked at while the log grows, until it pleases, does not cover at its level;
for that there are the confidence sequences in `bandit.betting`.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

from bandit.errors import EstimateError
from bandit.estimator import Interval

_TINY: Final = 1e-300


def check_level(level: float) -> float:
    """Returns the level.

    Raises:
        EstimateError: it is not strictly between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise EstimateError(f"level is {level}; expected above 0 and below 1, such as 0.95")
    return level


def quantile(level: float) -> float:
    """Returns how many standard errors to each side a normal interval of this level goes.

    >>> round(quantile(0.95), 2)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + check_level(level) / 2.0)


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


def beta_quantile(share: float, a: float, b: float) -> float:
    """Returns where the cdf of Beta(a, b) reaches `share`, by bisection to the last bit.

    >>> round(beta_quantile(0.5, 3.0, 3.0), 12)
    0.5
    """
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if beta_cdf(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def gamma_quantile(share: float, shape: float) -> float:
    """Returns where the cdf of Gamma(shape), of rate 1, reaches `share`.

    By the cube-root normal approximation (Wilson & Hilferty 1931): the middle 95 % are within
    3 % from a shape of 3 on, within 0.2 % from 12; below 3 the lower ones come out far too low.

    >>> round(gamma_quantile(0.5, 12.0), 2)
    11.67
    """
    spread = 1.0 / (9.0 * shape)
    root = 1.0 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread)
    return float(shape * max(root, 0.0) ** 3)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b), with a, b > 0, x in (0, 1)."""
    # the fraction converges quickly on one side of the mean; the other is its complement
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return math.exp(log_front) / (a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Returns 1 + d₁/(1 + d₂/(1 + ...)) of DLMF 8.17.22, by Lentz's method."""
    value = ratio = 1.0
    inverse = 0.0
    for step in range(1, 100_000):
        half = step // 2
        if step % 2:
            d = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            d = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        inverse = 1.0 / (1.0 + d * inverse or _TINY)
        ratio = 1.0 + d / ratio or _TINY
        value *= ratio * inverse
        if abs(ratio * inverse - 1.0) < 1e-15:
            return value
    raise EstimateError(f"the incomplete beta function of {x}, {a}, {b} does not converge")
