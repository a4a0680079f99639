"""Means of terms over decisions, and how sure they are where decisions come in units.

Decisions of one user are not independent: with 20 a user the usual 95 % interval covers 80 %, with
100 it covers 59 %. Sums by user have no such fault (cluster-robust variance: Liang & Zeger 1986).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import Floats, Moments, RewardRange, Units
from bandit.ope.intervals import Interval, Support, mean_interval, student

MOST_UNITS: Final = 131_072
"""Units that are kept apart; more are put together at random, which leaves the variance right."""
GROUPS: Final = 65_536
STEADY: Final = 10.0
"""As how many rewards it counts that weights and rewards are independent."""
ROUNDING: Final = 1e-10
"""Variance, as a share of the range squared, that may come of rounding alone."""
FIRST_BITS: Final = 1_048_576
WAITING: Final = 262_144
"""Rows that are kept before they are added to their units' sums."""


def hash_units(names: Sequence[str]) -> Units:
    """Returns a hash of each name, shape (n,), the same in every process."""
    known: dict[str, int] = {}
    for name in set(names):
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        known[name] = int.from_bytes(digest, "big")
    return np.array([known[name] for name in names], dtype=np.uint64)


class UnitSums:
    """Sums of terms by unit, and how many decisions each unit has; added up with `+`.

    >>> sums = UnitSums(1)
    >>> sums.add(np.array([[1.0, 2.0, 4.0]]), np.array([7, 9, 7], dtype=np.uint64))
    >>> [column.tolist() for column in sums.get()]
    [[[5.0, 2.0]], [2.0, 1.0]]
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._groups = 0
        self._keys: Units = np.zeros(0, dtype=np.uint64)
        self._sums: Floats = np.zeros((size + 1, 0))
        self._waiting: list[tuple[Units, Floats]] = []
        self._n_waiting = 0

    def add(self, terms: Floats, units: Units) -> None:
        """Takes in decisions: terms of shape (size, n), units of shape (n,)."""
        self._wait(units, np.concatenate((terms, np.ones((1, terms.shape[1])))))

    def get(self) -> tuple[Floats, Floats]:
        """Returns the sums, shape (size, units), and each unit's decisions, shape (units,)."""
        self._compact()
        return self._sums[:-1], self._sums[-1]

    def __add__(self, other: UnitSums) -> UnitSums:
        total = UnitSums(self._size)
        total._groups = max(self._groups, other._groups)
        for one in (self, other):
            one._compact()
            total._wait(one._keys, one._sums)
        return total

    def _wait(self, units: Units, sums: Floats) -> None:
        self._waiting.append((units, sums))
        self._n_waiting += len(units)
        if self._n_waiting >= WAITING:
            self._compact()

    def _compact(self) -> None:
        if not self._waiting:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        sums = np.concatenate([self._sums, *(sums for _, sums in self._waiting)], axis=1)
        self._waiting, self._n_waiting = [], 0
        if self._groups:
            keys %= np.uint64(self._groups)
        self._keys, self._sums = _by_key(keys, sums)
        if len(self._keys) > MOST_UNITS:
            self._groups = GROUPS
            self._keys, self._sums = _by_key(self._keys % np.uint64(GROUPS), self._sums)


def _by_key(keys: Units, sums: Floats) -> tuple[Units, Floats]:
    unique, places = np.unique(keys, return_inverse=True)
    found: Floats = np.zeros((len(sums), len(unique)))
    for row, values in zip(found, sums, strict=True):
        row += np.bincount(places, weights=values, minlength=len(unique))
    return unique, found


class TermSums:
    """The means of some terms, and the standard errors of functions of them.

    Without units the variance of f(means) is gᵀ C g / n, with f's gradient g and the terms'
    covariance C (van der Vaart 1998, theorem 3.1). With m units, of which unit c has n_c decisions
    whose terms sum to t_c, it is m / (m - 1) Σ (gᵀ (t_c - n_c mean))² / n².
    """

    def __init__(self, size: int) -> None:
        self.moments = Moments(size)
        self.units: UnitSums | None = None

    @property
    def n(self) -> int:
        """How many decisions were taken in."""
        return self.moments.n

    @property
    def mean(self) -> Floats:
        """The means, shape (size,)."""
        return self.moments.mean

    @property
    def independent(self) -> int:
        """How many decisions there are, or units, which do not depend on each other."""
        return self.n if self.units is None else len(self.units.get()[1])

    def add(self, terms: Floats, units: Units | None) -> None:
        """Takes in terms of shape (size, n), and the unit of each decision, or None for all.

        Raises:
            EstimateError: some decisions have units and others have none.
        """
        if not terms.shape[1]:
            return
        if self.n and (units is None) != (self.units is None):
            raise EstimateError("some decisions have a unit and others have none; name all or none")
        self.moments.add(terms)
        if units is not None:
            self.units = self.units or UnitSums(len(terms))
            self.units.add(terms, units)

    def error(self, gradient: Floats) -> float:
        """Returns the standard error of a function of the means, by its gradient; 0 of one unit."""
        n = self.n
        if self.units is None:
            variance = float(gradient @ self.moments.covariance() @ gradient) / n
            return math.sqrt(max(variance, 0.0))
        sums, counts = self.units.get()
        m = len(counts)
        if m < 2:
            return 0.0
        apart = gradient @ sums - counts * float(gradient @ self.mean)
        return math.sqrt(float(apart @ apart) * m / (m - 1)) / n

    def __add__(self, other: TermSums) -> TermSums:
        if self.n and other.n and (self.units is None) != (other.units is None):
            raise EstimateError("some decisions have a unit and others have none; name all or none")
        total = TermSums(len(self.mean))
        total.moments = self.moments + other.moments
        if self.units is not None and other.units is not None:
            total.units = self.units + other.units
        else:
            total.units = self.units or other.units
        return total


class FirstDecisions:
    """Which decisions are the first of their unit, in 128 KiB however many there are.

    An interval that holds at all times needs decisions that do not depend on those before, and a
    user's first has none before it. Which it is, is known before the reward. With 100,000 users
    one in twenty is taken for somebody else, and left out.

    >>> first = FirstDecisions()
    >>> [first.take(user) for user in ("ann", "bob", "ann")]
    [True, True, False]
    """

    def __init__(self, seen: bytes = b"") -> None:
        self._seen = bytearray(seen or bytes(FIRST_BITS // 8))

    def take(self, unit: str) -> bool:
        """Returns whether this unit comes for the first time, and remembers it."""
        byte, bit = divmod(int(hash_units([unit])[0]) % FIRST_BITS, 8)
        new = not self._seen[byte] >> bit & 1
        self._seen[byte] |= 1 << bit
        return new

    def to_bytes(self) -> bytes:
        """Returns what is kept, from which the constructor makes the same."""
        return bytes(self._seen)


class RewardSupport:
    """Where the rewards of a log lie, and what its decisions are worth for a policy.

    Args:
        reward_range: what the rewards are said to lie in; None: as those seen do.
    """

    def __init__(self, reward_range: RewardRange | None = None) -> None:
        self.reward_range = reward_range
        self.low, self.high = math.inf, -math.inf
        self.rewards = self._matched = 0
        self._weights = TermSums(1)
        self._earned: Floats = np.zeros(2)

    def add(self, weight: Floats, reward: Floats, units: Units | None) -> None:
        """Takes in decisions: how much more probable the policy makes them, and their rewards."""
        if not len(reward):
            return
        self.low = min(self.low, float(reward.min()))
        self.high = max(self.high, float(reward.max()))
        self.rewards += int(((weight > 0.0) & (reward != 0.0)).sum())
        self._matched += int((weight > 0.0).sum())
        self._earned += weight @ reward, weight @ (reward * reward)
        self._weights.add(weight[None], units)

    @property
    def unit(self) -> float:
        """The share of all weight that a typical decision has, or a typical unit; 1 of nothing."""
        return self._shares()[1]

    def _shares(self) -> tuple[float, float]:
        """Returns the share that a typical decision has, and the one that a typical unit has."""
        weights = self._weights
        if not weights.n or not weights.mean[0]:
            return 1.0, 1.0
        total = weights.n * float(weights.mean[0])
        by_decision = float(weights.moments.comoment[0, 0]) / total**2 + 1.0 / weights.n
        if weights.units is None:
            return by_decision, by_decision
        by_unit = weights.units.get()[0][0]
        return by_decision, float(by_unit @ by_unit) / total**2

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest that a value can be; alike where nothing is known.

        Rewards of one sign lie between 0 and the largest that was seen; if all were alike, in the
        range they are said to lie in as well. Those of both signs lie where those seen and those
        said do.
        """
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        if self.low == self.high or (low < 0.0 < high and self.reward_range is not None):
            told = self.reward_range or RewardRange()
            low, high = min(low, told.low), max(high, told.high)
        return low, high

    def within(self, value: float) -> float:
        """Returns the value, or the end of the rewards' range that it lies beyond.

        An estimate that is unbiased or doubly robust may lie where no mean reward can. Its
        projection onto the range is nearer to every value that is possible, in each log.
        """
        low, high = self.ends
        return min(max(value, low), high) if low < high else value

    def interval(
        self, value: float, error: float, level: float, *, debiased: bool = False
    ) -> Interval | None:
        """Returns the interval of a value; None of nothing, and where no weight is above 0.

        It is around the value as `within` has it, and lies between the same ends. A Beta
        distribution suits rewards of one sign (`mean_interval`). For rewards of both signs it is
        Student's interval.
        """
        low, high = self.ends
        value = self.within(value)
        if not low < high or not self._weights.n or not self._weights.mean[0]:
            return None
        suffix = "_debiased" if debiased else ""
        if low == 0.0 or high == 0.0:
            by_decision, by_unit = self._shares()
            # of rewards that nobody earned it is not known whether they come by user or one by one
            support = Support(low, high, math.sqrt(by_decision * by_unit), 1.0 / by_unit - 1.0)
            error = self._steadied(error, high - low)
            return mean_interval(value, error, support, level, method="beta" + suffix)
        if error <= 1e-12 * max(abs(value), 1.0):
            return None
        found = student(value, error, level, free=1.0 / self.unit - 1.0, method="normal" + suffix)
        ends = max(found.low, low), min(found.high, high)
        return Interval(found.method, level, *ends) if ends[0] < ends[1] else None

    def _steadied(self, error: float, width: float) -> float:
        """Returns the standard error, of few rewards drawn towards the one of rewards at random.

        Ten rewards of which none has a large weight by chance would look sure. If weights and
        rewards were independent, the variance of their weighted mean would be σ² u, with σ² the
        rewards' variance and u the share of a typical decision's weight. The ratio of the two,
        the design effect d (Kish 1965), is taken as (k d + 10) / (k + 10) after k rewards, or k
        decisions without one if these are fewer; where units are named not as less than d.
        """
        total = self._weights.n * float(self._weights.mean[0])
        mean, square = self._earned / total
        spread = float(square - mean * mean)
        if spread <= ROUNDING * width * width:
            return error
        random = spread * self._shares()[0]
        binary = abs(square - mean * (self.low + self.high)) <= 1e-9 * width * width
        seen = min(self.rewards, self._matched - self.rewards) if binary else self.rewards
        design = error * error / random
        steadied = (seen * design + STEADY) / (seen + STEADY)
        if self._weights.units is not None:
            steadied = max(steadied, design)
        return math.sqrt(steadied * random)

    def __add__(self, other: RewardSupport) -> RewardSupport:
        total = RewardSupport(self.reward_range)
        total.low, total.high = min(self.low, other.low), max(self.high, other.high)
        total.rewards = self.rewards + other.rewards
        total._matched = self._matched + other._matched
        total._earned = self._earned + other._earned
        total._weights = self._weights + other._weights
        return total
