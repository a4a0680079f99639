"""Confidence sequences by betting: intervals that hold at all times at once.

A fixed-n interval is wrong too often for a reader who looks at a growing log, and stops when the
interval says so. These are wrong, at any time ever, with probability 1 - level at most. The log
may be adaptive: that the logged propensities are right is all that is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Self, TypeAlias

import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import Floats, Units
from bandit.ope.units import UnitSums

# Stakes from bold to shy. The best one depends on the variance and on how long the log is; four
# a decade cost a width of a few percent against knowing it.
STAKES: Final = np.geomspace(1e-5, 1e3, 33)
ROWS: Final = 65_536

BetSums: TypeAlias = tuple[int, list[float]]


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

    With units a bet is made on each unit's sum x of n values, (1 + μ x) / (1 + μ m n), so values of
    one unit may depend on each other. It is fair where what a unit's values are does not depend on
    how many it has; and, since a unit's sum grows, for one look at a log that is finished.

    >>> bets = Bets()
    >>> bets.add(np.ones(100))
    >>> 0.9 < bets.lower(0.05) < 1.0
    True
    """

    def __init__(self) -> None:
        self.n = 0
        self._logs: Floats = np.zeros(len(STAKES))
        self._units: UnitSums | None = None

    def add(self, values: Floats, units: Units | None = None) -> None:
        """Takes in values of at least 0, shape (n,), and the unit of each, or None for all."""
        self.n += len(values)
        if units is not None:
            self._units = self._units or UnitSums(1)
            self._units.add(values[None], units)
            return
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

    def sums(self) -> BetSums:
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
        threshold, log_wealth = -math.log(alpha), self._wealth()
        if log_wealth(0.0) < threshold:
            return 0.0
        low, high = 0.0, 1.0
        while log_wealth(high) >= threshold:
            low, high = high, 2.0 * high
        # wealth falls as the mean rises
        while high - low > 1e-12 * high:
            middle = (low + high) / 2.0
            if log_wealth(middle) >= threshold:
                low = middle
            else:
                high = middle
        return low

    def log_wealth(self, mean: float) -> float:
        """Returns the log of what a stake of 1 became, betting that the mean is above `mean`."""
        return self._wealth()(mean)

    def _wealth(self) -> Callable[[float], float]:
        """Returns `log_wealth` of what was taken in so far."""
        logs, stakes = self._logs, STAKES
        sizes, times = np.ones(1), np.array([float(self.n)])
        if self._units is not None:
            sums, counts = self._units.get()
            stakes = STAKES * len(counts) / self.n
            logs = np.array([np.log1p(stake * sums[0]).sum() for stake in stakes])
            sizes, times = np.unique(counts, return_counts=True)

        def log_wealth(mean: float) -> float:
            left = logs - np.log1p(np.outer(stakes * mean, sizes)) @ times
            top = float(left.max())
            return top + math.log(float(np.exp(left - top).mean()))

        return log_wealth

    def __add__(self, other: Self) -> Self:
        total = type(self)()
        total.n = self.n + other.n
        total._logs = self._logs + other._logs
        total._units = self._units or other._units
        if self._units is not None and other._units is not None:
            total._units = self._units + other._units
        return total


class ValueBets:
    """Bounds of what a policy earns, as a share of the range of rewards.

    For shares 0 ≤ r ≤ 1, w r has the policy's value as its mean, and w (1 - r) one minus it, or
    less where the log never shows what the policy would: a lower bound of either mean bounds the
    value, whatever the weights w are (Karampatziakis, Mineiro & Ramdas 2021). The value of a
    policy that learns is its mean over the decisions taken in: Π (1 + μ mₜ) is at most
    (1 + μ m̄)ⁿ, so the bets are fair against that mean too.

    Args:
        max_weight: the largest that a weight can be; if known, half of the upper bound's error
            goes to a bet on `max_weight` - w r.

    >>> bets = ValueBets()
    >>> bets.add(np.full(1000, 1.0), np.tile([0.0, 1.0], 500))
    >>> low, high = bets.bounds(0.025)
    >>> 0.4 < low < 0.5 < high < 0.6
    True
    """

    def __init__(self, max_weight: float | None = None) -> None:
        self.below, self.above = Bets(), Bets()
        self._max_weight = max_weight
        self._known = Bets()

    @property
    def n(self) -> int:
        """How many decisions were taken in."""
        return self.below.n

    def add(self, weight: Floats, share: Floats, units: Units | None = None) -> None:
        """Takes in decisions: how much more probable the policy makes them, and their rewards.

        Raises:
            EstimateError: a weight is above `max_weight`.
        """
        _check_weight(weight, self._max_weight)
        self.below.add(weight * share, units)
        self.above.add(weight * (1.0 - share), units)
        if self._max_weight is not None:
            self._known.add(self._max_weight - weight * share, units)

    def add_one(self, weight: float, share: float) -> None:
        """Takes in one decision, as `add` does but for rounding; where no `max_weight` is known."""
        self.below.add_one(weight * share)
        self.above.add_one(weight * (1.0 - share))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Returns the bounds, each wrong with probability alpha at most; they may contradict."""
        low = min(self.below.lower(alpha), 1.0)
        return low, max(_upper(self.above, self._max_weight, self._known, alpha), 0.0)

    def sums(self) -> tuple[BetSums, BetSums]:
        """Returns all that is kept without `max_weight`, from which `of` makes the same."""
        return self.below.sums(), self.above.sums()

    @classmethod
    def of(cls, below: BetSums, above: BetSums) -> Self:
        """Returns the bets whose `sums` these are."""
        found = cls()
        found.below, found.above = Bets.of(*below), Bets.of(*above)
        return found

    def __add__(self, other: Self) -> Self:
        total = type(self)(self._max_weight)
        total.below, total.above = self.below + other.below, self.above + other.above
        total._known = self._known + other._known
        return total


class DifferenceBets:
    """Bounds of how much more one policy earns than another, as a share of the range of rewards.

    With v and w the weights of the two, v r + w (1 - r) ≥ 0 has the mean 1 + the difference,
    whatever the weights (Waudby-Smith et al. 2022, section 5). With `max_weight`, W, half of the
    error goes to bets on W + (v - w) r, which does not vary at all where the two policies agree.
    """

    def __init__(self, max_weight: float | None = None) -> None:
        self._max_weight = max_weight
        self._free = (Bets(), Bets())
        self._known = (Bets(), Bets())

    def add(
        self, policy: Floats, baseline: Floats, share: Floats, units: Units | None = None
    ) -> None:
        """Takes in decisions: the weights of both policies, and the rewards."""
        bound = self._max_weight
        _check_weight(policy, bound)
        _check_weight(baseline, bound)
        self._free[0].add(policy * share + baseline * (1.0 - share), units)
        self._free[1].add(baseline * share + policy * (1.0 - share), units)
        if bound is not None:
            apart = (policy - baseline) * share
            self._known[0].add(bound + apart, units)
            self._known[1].add(bound - apart, units)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Returns the bounds, each wrong with probability alpha at most; they may contradict."""
        below, above = (
            _upper(free, self._max_weight, known, alpha)
            for free, known in zip(self._free, self._known, strict=True)
        )
        return max(-below, -1.0), min(above, 1.0)

    def __add__(self, other: Self) -> Self:
        total = type(self)(self._max_weight)
        total._free = (self._free[0] + other._free[0], self._free[1] + other._free[1])
        total._known = (self._known[0] + other._known[0], self._known[1] + other._known[1])
        return total


def _upper(free: Bets, bound: float | None, known: Bets, alpha: float) -> float:
    """Returns 1 less the lower bound of `free`, or bound less that of `known` if less."""
    if bound is None:
        return 1.0 - free.lower(alpha)
    return min(1.0 - free.lower(alpha / 2.0), bound - known.lower(alpha / 2.0))


def _check_weight(weight: Floats, max_weight: float | None) -> None:
    if max_weight is not None and len(weight) and weight.max() > max_weight * (1.0 + 1e-9):
        raise EstimateError(
            f"a weight of {weight.max():g} is above max_weight, {max_weight:g}; give the largest "
            "that there can be: 1 over the smallest propensity that the log's policy gives"
        )
