"""How exactly propensities were written down, told by the digits that they have.

People write .3333 for a third, and Vowpal Wabbit .333333. A weight made of such a number is off
by as much as its last digit allows, which is no sign that the propensity is wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.ope.base import Floats

MOST: Final = 7
"""Digits from which on a number counts as exact: beyond single precision none matter."""
FEWEST: Final = 2
SINGLE: Final = 6e-8
WHOLE: Final = 1e-9
NEGLIGIBLE: Final = 1e-6


class Digits:
    """The most decimals and significant digits that numbers above 0 have.

    >>> digits = Digits()
    >>> digits.add(np.array([0.3333, 0.0667]))
    >>> digits.decimals, digits.significant
    (4, 4)
    """

    def __init__(self) -> None:
        self.decimals = 0
        self.significant = 0

    @property
    def all_there(self) -> bool:
        """True if some number has so many digits that rounding shows in none."""
        return min(self.decimals, self.significant) >= MOST

    @property
    def half_decimal(self) -> float:
        """Half of the last decimal's unit: by how much a number may be off."""
        return 0.5 * 10.0 ** -max(self.decimals, FEWEST)

    @property
    def half_digit(self) -> float:
        """Half of the last significant digit's unit, of numbers from 1 to 10."""
        return 0.5 * 10.0 ** (1 - max(self.significant, FEWEST))

    def add(self, values: Floats) -> None:
        """Takes in numbers, shape (n,)."""
        if self.all_there:
            return
        known = np.unique(values)
        known = known[~is_exact(known)]
        if len(known):
            self.decimals = max(self.decimals, _decimals(known))
            self.significant = max(self.significant, _decimals(known / scale_of(known)) + 1)

    def half_units(self, values: Floats) -> Floats:
        """Returns by how much each number may be off, shape (n,)."""
        inexact = ~is_exact(values)
        found = np.zeros(len(values))
        if not self.all_there:
            known = values[inexact]
            found[inexact] = np.maximum(self.half_decimal, self.half_digit * scale_of(known))
        return found

    def __add__(self, other: Digits) -> Digits:
        total = Digits()
        total.decimals = max(self.decimals, other.decimals)
        total.significant = max(self.significant, other.significant)
        return total


class RoundingError:
    """By how much a sum may be off because numbers in it were rounded; added up with `+`."""

    def __init__(self) -> None:
        self._digits = Digits()
        self._leverage = 0.0
        self._scaled = 0.0

    def add(self, values: Floats, leverage: Floats) -> None:
        """Takes in numbers, and by how much the sum changes with each, shape (n,) both."""
        self._digits.add(values)
        if not self._digits.all_there:
            inexact = ~is_exact(values)
            known, moved = values[inexact], leverage[inexact]
            self._leverage += float(moved.sum())
            self._scaled += float((moved * scale_of(known)).sum())

    def get(self) -> float:
        """Returns the largest error of the sum, had all numbers been rounded the same way."""
        if self._digits.all_there:
            return 0.0
        return max(
            self._digits.half_decimal * self._leverage, self._digits.half_digit * self._scaled
        )

    def __add__(self, other: RoundingError) -> RoundingError:
        total = RoundingError()
        total._digits = self._digits + other._digits
        total._leverage = self._leverage + other._leverage
        total._scaled = self._scaled + other._scaled
        return total


def scale_of(values: Floats) -> Floats:
    """Returns the power of ten at or below each number, all above 0."""
    found: Floats = 10.0 ** np.floor(np.log10(values))
    return found


def is_exact(values: Floats) -> NDArray[np.bool_]:
    """Returns which numbers no rounding made: 0, and 1 over a whole number, such as .25."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / values
        whole = np.abs(inverse - np.round(inverse)) <= WHOLE * inverse
    exact: NDArray[np.bool_] = whole | (values <= 0.0)
    return exact


def _decimals(values: Floats) -> int:
    """Returns the fewest decimals with which all of these can be written, at most `MOST`."""
    for decimals in range(MOST):
        if (np.abs(values - np.round(values, decimals)) <= SINGLE * values).all():
            return decimals
    return MOST
