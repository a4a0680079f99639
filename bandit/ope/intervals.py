"""Every interval that is printed: one place says how it is made, so all lie where they can.

The mean of rewards in a range lies in that range, and so does its interval. A log in which nothing
was earned says that little is earned, and not that nothing ever is.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from bandit.distributions import beta_quantile, check_level, quantile, student_quantile

LEVEL: Final = 0.95
Z_95: Final = 1.6448536269514722
"""The one-sided 95 % quantile of the normal distribution."""
LARGEST: Final = 1e6
"""Beta parameters above which the score interval is the same to four digits, and far cheaper."""
MANY: Final = 100.0
"""Degrees of freedom from which on Student's quantile counts as the normal one."""


class Interval(msgspec.Struct, frozen=True):
    """Where the true value lies, but for a share of at most 1 - `level` of all such intervals.

    `method` says how it came about: `beta`, `beta_debiased` around another value, `normal` and
    `normal_debiased` where rewards have both signs, and for differences, `log_normal` of a ratio,
    `clopper_pearson`, `bootstrap`, `jeffreys`, `empirical_bernstein`, `betting_by_unit`, or
    `betting`, which alone may be looked at again and again while the log grows.
    """

    method: str
    level: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


class Support(NamedTuple):
    """Where rewards lie, and how much the decisions are worth; see `mean_interval`.

    Attributes:
        low: the least that the mean can be.
        high: the largest.
        unit: the share of all weight that a typical decision has: 1 over the effective sample size
            (Kish 1965); where decisions come in units, the geometric mean of that and the same of
            units.
        free: degrees of freedom: the effective number of decisions, or of units, less one.
    """

    low: float
    high: float
    unit: float
    free: float


def normal(value: float, error: float, level: float, *, method: str = "normal") -> Interval:
    """Returns value ± quantile x standard error, which covers at its level in large samples."""
    half = quantile(level) * error
    return Interval(method, level, value - half, value + half)


def student(
    value: float, error: float, level: float, *, free: float, method: str = "normal"
) -> Interval:
    """Returns value ± Student's quantile x standard error; `free` are its degrees of freedom.

    They are one less than the effective number of decisions, or of users. From 100 on it is
    `normal`.
    """
    if free >= MANY:
        return normal(value, error, level, method=method)
    half = student_quantile(level, max(free, 1.0)) * error
    return Interval(method, level, value - half, value + half)


def mean_interval(
    value: float, error: float, support: Support, level: float, *, method: str = "beta"
) -> Interval:
    """Returns the interval of a mean that lies in a range: of a Beta distribution of that spread.

    As Korn & Graubard (1998) have it for samples in clusters: a rate v with standard error s is
    worth n* = v (1 - v) / s² decisions, and gets the interval of a rate seen in so many. As
    Jeffreys's, with half a decision more of the lowest reward and half of the highest, so that
    nothing earned leaves a width. With u the share of a typical decision's weight:

        p = (v + u/2) / (1 + u),   S = s² + u² (1/2 - v (1 - v)),   p, 1 - p ≥ √(S/2)
        n* = p (1 - p) / S · (z / t)²,   Beta(p (n* + 1), (1 - p) (n* + 1))

    where t is Student's quantile, if there are fewer than 100 degrees of freedom. The Beta
    distribution is as skewed as sums of rare rewards are, for which a normal interval is too low.

    Args:
        value: the estimate; one outside of the range counts as its end.
        error: its standard error; may be 0.
        support: the range, and the effective sample size.
        level: of the interval.
        method: what to call it.

    >>> nothing = mean_interval(0.0, 0.0, Support(0.0, 1.0, 1 / 30, 29.0), 0.95)
    >>> nothing.low, round(nothing.high, 2)
    (0.0, 0.08)
    """
    low, high, unit, free = support
    width = high - low
    share = min(max((value - low) / width, 0.0), 1.0)
    spread = (error / width) ** 2 + unit * unit * (0.5 - share * (1.0 - share))
    least = min(math.sqrt(spread / 2.0), 0.5)
    centre = min(max((share + unit / 2.0) / (1.0 + unit), least), 1.0 - least)
    wider = quantile(level) / student_quantile(level, max(free, 1.0)) if free < MANY else 1.0
    n = centre * (1.0 - centre) / spread * wider * wider + 1.0
    below, above = beta_bounds(centre * n, (1.0 - centre) * n, level)
    # of a decision or two the centre may lie so far from the estimate that a tail cuts it off
    return Interval(
        method,
        level,
        low if share == 0.0 else low + width * min(below, share),
        high if share == 1.0 else low + width * max(above, share),
    )


def beta_bounds(a: float, b: float, level: float) -> tuple[float, float]:
    """Returns the middle of Beta(a, b) that has this probability."""
    tail = (1.0 - check_level(level)) / 2.0
    if min(a, b) > LARGEST:
        return wilson_interval(a / (a + b), a + b, z=quantile(level))
    return beta_quantile(tail, a, b), beta_quantile(1.0 - tail, a, b)


def jeffreys(rate: float, n: float, level: float) -> Interval:
    """Returns the interval of a rate's posterior after `n` decisions, which need not be whole.

    The prior is Beta(½, ½). A rate of 0 has 0 for its lower bound, a rate of 1 has 1 for its upper.
    """
    low, high = beta_bounds(0.5 + rate * n, 0.5 + (1.0 - rate) * n, level)
    return Interval("jeffreys", level, low if rate > 0.0 else 0.0, high if rate < 1.0 else 1.0)


def mean_band(
    n: float, total: float, squares: float, low: float, high: float, *, design: float = 1.0
) -> tuple[float, float]:
    """Returns the 95 % score interval of a mean, from sums alone: for the very many of a page.

    It is Wilson's for a rate that was seen in n* = v (1 - v) / s² decisions, which is how many
    there are where rewards are `low` or `high`, and otherwise how many of these would tell as much.

    Args:
        n: how many rewards there are, at least 1.
        total: their sum.
        squares: the sum of their squares.
        low: the least that a reward can be.
        high: the largest, above `low`.
        design: by how much decisions that depend on each other raise the variance (Kish 1965).

    >>> [round(bound, 3) for bound in mean_band(100, 20.0, 20.0, 0.0, 1.0)]
    [0.133, 0.289]
    """
    width, mean = high - low, total / n
    share = min(max((mean - low) / width, 0.0), 1.0)
    rate = share * (1.0 - share)
    variance = max(squares / n - mean * mean, rate / n * (width * width)) / (width * width)
    worth = rate * n / variance if variance else n
    below, above = wilson_interval(share, max(worth / design, 0.0), z=quantile(LEVEL))
    return low + width * below, low + width * above


def ratio_interval(
    value: float, other: float, log_error: float, level: float, *, free: float
) -> Interval:
    """Returns the interval of value / other - 1, normal in the logarithm of the ratio.

    Both are above 0; `log_error` is the standard error of log(value / other). The interval is
    above -1, as every relative change of what is not negative.
    """
    around = student(math.log(value / other), log_error, level, free=free)
    low, high = (math.expm1(min(bound, 700.0)) for bound in (around.low, around.high))
    return Interval("log_normal", level, low, high)


def relative_bounds(
    difference: tuple[float, float], value: tuple[float, float]
) -> tuple[float | None, float | None]:
    """Returns the bounds of d / (v - d), given those of d and of v; None for none.

    With d = v - w it is v / w - 1, of what is above 0: where w may be 0 nothing bounds it above.
    The bounds hold where both of those given do.

    >>> [round(bound, 3) for bound in relative_bounds((0.01, 0.03), (0.09, 0.11))]
    [0.1, 0.5]
    >>> relative_bounds((0.01, 0.1), (0.09, 0.11))[1] is None
    True
    """

    def at(apart: float, value: float) -> float | None:
        return apart / (value - apart) if value > apart else None

    # it rises with d; with v it falls where d is above 0, and rises where d is below
    (low, high), (least, most) = difference, value
    return at(low, most if low > 0.0 else least), at(high, least if high > 0.0 else most)


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
    low = max(0.0, (centre - margin) / scale) if rate > 0.0 else 0.0
    return low, min(1.0, (centre + margin) / scale) if rate < 1.0 else 1.0
