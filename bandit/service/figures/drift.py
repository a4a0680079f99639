"""Whether what something earns changed over time by more than chance does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from bandit.certainty import DRIFTED, unevenness
from bandit.service.figures.counts import Counts

STRETCHES: Final = 12
"""Into how many stretches of about as many showings the time is cut, at most."""
LEAST_SHOWN: Final = 100
LEAST_REWARDED: Final = 10.0
"""What a stretch needs at least, at the mean rate, for its own to be about normal."""


class Drift(NamedTuple):
    """How far the stretches' rates are apart, in standard deviations of what chance does.

    `first` and `last` are the rates of the first and the last stretch.
    """

    deviations: float
    drifts: bool
    first: float
    last: float


def drift_of(buckets: Sequence[Counts]) -> Drift | None:
    """Returns the drift over buckets in the order of time; None where there are too few showings.

    By the test of `bandit.certainty.unevenness`, which errs once in ten thousand looks.
    """
    stretches = _stretches([each for each in buckets if each.n])
    if len(stretches) < 3:
        return None
    pooled = Counts()
    for each in stretches:
        pooled.join(each)
    # One variance for all: that of a stretch with few rewards would be low where its mean is.
    variance = pooled.variance
    if not variance:
        return None
    rates = [each.total / each.n for each in stretches]
    errors = [math.sqrt(variance / each.n) for each in stretches]
    deviations = unevenness(rates, errors)
    return Drift(deviations, deviations >= DRIFTED, rates[0], rates[-1])


def _stretches(buckets: Sequence[Counts]) -> list[Counts]:
    """Returns the buckets joined into stretches that are long enough to be compared."""
    shown, earned = sum(each.n for each in buckets), abs(sum(each.total for each in buckets))
    if not earned:
        return []
    wanted = max(shown / STRETCHES, LEAST_SHOWN, LEAST_REWARDED * shown / earned)
    found: list[Counts] = []
    now = Counts()
    for each in buckets:
        now.join(each)
        if now.n >= wanted:
            found.append(now)
            now = Counts()
    if found:  # what is left at the end is too short to stand alone
        found[-1].join(now)
    return found
