"""Quantiles of the distributions that intervals and policies need, without SciPy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

from bandit.errors import EstimateError

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


@lru_cache(maxsize=4096)
def student_quantile(level: float, free: float) -> float:
    """Returns how many standard errors to each side Student's interval goes.

    `free` are the degrees of freedom, above 0, not necessarily whole. With x the quantile of
    Beta(½, free / 2) at the level, it is √(free x / (1 - x)).

    >>> round(student_quantile(0.95, 4), 3)
    2.776
    """
    x = beta_quantile(check_level(level), 0.5, free / 2.0)
    return math.sqrt(free * x / (1.0 - x)) if x < 1.0 else math.inf


def beta_quantile(share: float, a: float, b: float) -> float:
    """Returns where the cdf of Beta(a, b) reaches `share`, in (0, 1).

    By Newton's method within a bracket that is halved where a step would leave it.

    >>> round(beta_quantile(0.5, 3.0, 3.0), 12)
    0.5
    """
    low, high = 0.0, 1.0
    log_scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    x = min(max(a / (a + b), _TINY), 1.0 - 1e-16)
    for _ in range(200):
        apart = beta_cdf(x, a, b) - share
        low, high = (x, high) if apart < 0.0 else (low, x)
        log_density = log_scale + (a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x)
        step = apart * math.exp(min(-log_density, 700.0))
        after = x - step
        # near an end the density says little, and the place is known by its order of magnitude
        inside = low < after < high and after > x / 8.0
        after = after if inside else math.sqrt(low * high) if low > 0.0 else high / 64.0
        if not low < after < high:
            after = (low + high) / 2.0
        if abs(after - x) <= 1e-15 * x or after in (low, high):
            return after
        x = after
    return x


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
