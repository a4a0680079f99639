"""Has a creative's reward rate changed? A test that may be looked at again and again.

A policy that never forgets keeps to what was true once. Whoever looks at figures every hour finds
some change by chance, though, so this keeps its rate of false alarms over all looks together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bandit.errors import EstimateError

Floats = NDArray[np.float64]

ALPHA: Final = 0.01
"""How probable a false alarm is, at most, over all looks at one series."""
_PRIOR: Final = 0.5
"""Jeffreys' prior Beta(½, ½) of each rate, which suits rates of any size."""
_SLACK: Final = 1e-9


class TimeBucket(NamedTuple):
    """What was shown in a span of time: `n` showings, which earned `total`, each in [0, 1]."""

    n: float
    total: float


class Drift(Struct, frozen=True):
    """How sure it is that the rate changed within a series.

    `log_evidence` is the natural log of an e-value; `drifts` says whether that reached 1 / alpha.
    `since` is the first bucket after the likeliest change, whose rates `before` and `after` are
    the means of either side.
    """

    log_evidence: float
    drifts: bool
    since: int
    before: float
    after: float


def drift_of(
    buckets: Sequence[TimeBucket], *, alpha: float = ALPHA, swing: float = 0.0
) -> Drift | None:
    """Returns what a series says of a change, None where it has no two buckets with showings.

    The hypothesis is that every reward has the same mean, whatever came before it; with `swing`,
    that each bucket's mean is at most so much times higher or lower than one rate. Against each
    boundary k between two buckets stands the alternative that the rate changed there, with a
    rate from Beta(½, ½) on either side and the weight 1 / (k (k + 1)). The evidence is their
    mixture's likelihood, of rewards as if Bernoulli, over the largest under the hypothesis: an
    e-process (Wasserman, Ramdas & Balakrishnan 2020), also for rewards between 0 and 1, for which
    that likelihood is convex. By Ville's inequality it reaches 1 / alpha at any time, while
    buckets are added at the end, with probability alpha at most. A policy may choose when a
    creative is shown as it likes.

    Args:
        buckets: oldest first, all of whose rewards are known; they may have no showings.
        alpha: the rate of false alarms, in (0, 1).
        swing: at least 0; 0.25 lets a daily cycle of ±20 % pass.

    Raises:
        EstimateError: rewards that sum to less than 0 or more than the showings.

    >>> steady, fallen = [TimeBucket(1000, 50)] * 10, [TimeBucket(1000, 20)] * 5
    >>> drift_of(steady).drifts
    False
    >>> found = drift_of(steady + fallen)
    >>> found.drifts, found.since, found.before, found.after
    (True, 10, 0.05, 0.02)
    """
    n, total = _sums(buckets)
    if np.count_nonzero(n) < 2:
        return None
    n_before, total_before = n.cumsum()[:-1], total.cumsum()[:-1]
    n_after, total_after = n.sum() - n_before, total.sum() - total_before
    split = _marginal(n_before, total_before) + _marginal(n_after, total_after)
    number = np.arange(1, len(n), dtype=np.float64)
    weighted = split - np.log(number * (number + 1.0))
    # Who thinks that the change is still to come is the mixture's rest, 1 / len(n).
    to_come = _marginal(n.sum(), total.sum()) - math.log(len(n))
    evidence = float(np.logaddexp.reduce(np.append(weighted, to_come)))
    evidence -= _steadiest(n, total, swing)
    inner = (n_before > 0.0) & (n_after > 0.0)
    likeliest = int(np.where(inner, split, -np.inf).argmax())
    return Drift(
        log_evidence=evidence,
        drifts=evidence >= -math.log(alpha),
        since=likeliest + 1,
        before=float(total_before[likeliest] / n_before[likeliest]),
        after=float(total_after[likeliest] / n_after[likeliest]),
    )


def _steadiest(n: Floats, total: Floats, swing: float) -> float:
    """Returns the largest log likelihood of rates that are one rate, but for the swing.

    It is concave in the logarithm of that rate, so thirds find it.
    """
    shown, earned = float(n.sum()), float(total.sum())
    if not 0.0 < earned < shown:
        return 0.0
    if swing == 0.0:
        return sum(part * math.log(part / shown) for part in (earned, shown - earned))
    seen = n > 0.0
    rates, times = total[seen] / n[seen], 1.0 + swing

    def likelihood(log_rate: float) -> float:
        rate = math.exp(log_rate)
        near = np.clip(rates, rate / times, min(rate * times, 1.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            one = np.where(total[seen] > 0.0, total[seen] * np.log(near), 0.0)
            rest = np.where(rates < 1.0, (n - total)[seen] * np.log1p(-near), 0.0)
        return float((one + rest).sum())

    low, high = math.log(rates[rates > 0.0].min() / times) - 1.0, 0.0
    while high - low > 1e-9:
        third = (high - low) / 3.0
        if likelihood(low + third) < likelihood(high - third):
            low += third
        else:
            high -= third
    return likelihood((low + high) / 2.0)


def drift_of_all(found: Sequence[Drift], *, alpha: float = ALPHA) -> tuple[float, bool]:
    """Returns the log evidence that any of several creatives' rates changed, and if it is enough.

    A placement's own mean rises as its policy learns, which is no drift. The mean of its
    creatives' e-values is one too, under the hypothesis that none of them changed, so the rate of
    false alarms is `alpha` for all of them together.
    """
    if not found:
        return -math.inf, False
    logs = np.array([each.log_evidence for each in found])
    evidence = float(np.logaddexp.reduce(logs)) - math.log(len(logs))
    return evidence, evidence >= -math.log(alpha)


def _sums(buckets: Sequence[TimeBucket]) -> tuple[Floats, Floats]:
    """Returns showings and rewards, each of shape (len(buckets),)."""
    sums = np.array(buckets, dtype=np.float64).reshape(-1, 2)
    n, total = sums[:, 0], sums[:, 1]
    wrong = ~((n >= 0.0) & (total >= -_SLACK * (1.0 + n)) & (total <= n + _SLACK * (1.0 + n)))
    if wrong.any():
        at = int(wrong.argmax())
        raise EstimateError(
            f"bucket {at} has {total[at]} of rewards in {n[at]} showings; each must be from 0 to "
            "1, so scale rewards of another range first"
        )
    # Corrections of fractional rewards leave sums a rounding outside what is possible.
    return n, np.clip(total, 0.0, n)


def _marginal(n: Floats, total: Floats) -> Floats:
    """Returns the log likelihood of buckets of one rate each, which the prior integrates out."""
    a, b = total + _PRIOR, n - total + _PRIOR
    log_beta: Floats = _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)
    return log_beta - math.log(math.pi)


_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
