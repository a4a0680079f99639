"""Confidence sequences by betting: intervals that hold at all times at once.

Whoever looks at a growing log and stops when the interval says so gets from these what a fixed-n
interval does not give: a wrong interval, at any time ever, with probability 1 - level at most.
The log may be adaptive: that the logged propensities are right is all that is assumed.
"""

from __future__ import annotations

import math
from typing import Final, Self

import numpy as np

from bandit.ope.base import Floats

# Stakes from bold to shy. The best one depends on the variance and on how long the log is; four
# a decade cost a width of a few percent against knowing it.
STAKES: Final = np.geomspace(1e-5, 1e3, 33)
ROWS: Final = 65_536


class Bets:
    """A bettor against every mean that values of at least 0 could have.

    For x ≥ 0 with mean m whatever came before, (1 + μ x) / (1 + μ m) has mean 1 for every stake
    μ ≥ 0. So the wealth K(m) = mean over stakes of Π (1 + μ x) / (1 + μ m) is a martingale at the
    true mean, and exceeds 1/α at some time with probability α at most (Ville 1939). Means where
    it did are refuted: with shares of capital λ = μ / (1 + μ m) these are the bets of
    Waudby-Smith & Ramdas (2024, section 4) for a mixture of constant λ, as Karampatziakis,
    Mineiro & Ramdas (2021) bet on off-policy values.

    In this form the data enter through the sums Σ log(1 + μ x) alone, which do not depend on m
    and can be added up.

    >>> bets = Bets()
    >>> bets.add(np.ones(100))
    >>> 0.9 < bets.lower(0.05) < 1.0
    True
    """

    def __init__(self) -> None:
        self.n = 0
        self._logs: Floats = np.zeros(len(STAKES))

    def add(self, values: Floats) -> None:
        """Takes in values of at least 0, shape (n,)."""
        self.n += len(values)
        # what earned nothing, mostly the most, moves no sum
        earned = values[values > 0.0]
        for start in range(0, len(earned), ROWS):
            part = earned[start : start + ROWS]
            for number, stake in enumerate(STAKES):
                self._logs[number] += float(np.log1p(stake * part).sum())

    def add_one(self, value: float) -> None:
        """Takes in one value of at least 0, as `add` does but for rounding."""
        self.n += 1
        if value > 0.0:
            self._logs += np.log1p(STAKES * value)

    def sums(self) -> tuple[int, list[float]]:
        """Returns all that is kept, from which `of` makes the same."""
        return self.n, self._logs.tolist()

    @classmethod
    def of(cls, n: int, logs: list[float]) -> Self:
        """Returns the bettor whose `sums` these are."""
        found = cls()
        found.n, found._logs = n, np.array(logs)
        return found

    def lower(self, alpha: float) -> float:
        """Returns the least mean that is not refuted, at least 0; alpha in (0, 1).

        The true mean is below it, at any time ever, with probability alpha at most.
        """
        threshold = -math.log(alpha)
        if self.log_wealth(0.0) < threshold:
            return 0.0
        low, high = 0.0, 1.0
        while self.log_wealth(high) >= threshold:
            low, high = high, 2.0 * high
        # wealth falls as the mean rises
        while high - low > 1e-12 * high:
            middle = (low + high) / 2.0
            if self.log_wealth(middle) >= threshold:
                low = middle
            else:
                high = middle
        return low

    def log_wealth(self, mean: float) -> float:
        """Returns the log of what a stake of 1 became, betting that the mean is above `mean`."""
        logs = self._logs - self.n * np.log1p(STAKES * mean)
        top = float(logs.max())
        return top + math.log(float(np.exp(logs - top).mean()))

    def __add__(self, other: Self) -> Self:
        total = type(self)()
        total.n = self.n + other.n
        total._logs = self._logs + other._logs
        return total
