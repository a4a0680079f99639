"""Showings and what they earned, as sums that are added to and joined."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from bandit.distributions import quantile

_QUANTILE: Final = quantile(0.95)


class Counts(Struct):
    """How often something was shown, what that earned, and how likely it was, summed up.

    >>> counts = Counts(n=100, total=20.0, squares=20.0)
    >>> low, high = counts.band()
    >>> round(counts.rate, 2), round(low, 3), round(high, 3)
    (0.2, 0.121, 0.279)
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    expected: float = 0.0

    def add(self, reward: float, previous: float | None) -> None:
        """Counts a reward, or what it is now in place of what it was."""
        old = 0.0 if previous is None else previous
        self.n += previous is None
        self.total += reward - old
        self.squares += reward * reward - old * old

    @property
    def rate(self) -> float | None:
        """The mean reward, None if nothing was shown."""
        return self.total / self.n if self.n else None

    def band(self) -> tuple[float, float] | tuple[None, None]:
        """Returns mean ± 1.96 standard errors, None for fewer than two showings.

        It covers at 95 % for one look at many showings, not for looking on until it pleases.
        """
        if self.n < 2:
            return None, None
        mean = self.total / self.n
        half = _QUANTILE * math.sqrt(self.variance / self.n)
        return mean - half, mean + half

    @property
    def variance(self) -> float:
        """The variance of a reward, estimated; 0 for fewer than two showings."""
        if self.n < 2:
            return 0.0
        mean = self.total / self.n
        return max(self.squares / self.n - mean * mean, 0.0) * self.n / (self.n - 1)

    def join(self, other: Counts) -> None:
        """Takes in all that the other counted."""
        self.n += other.n
        self.total += other.total
        self.squares += other.squares
        self.expected += other.expected
