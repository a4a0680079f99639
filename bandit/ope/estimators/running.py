"""From an estimator's equation to a streaming, mergeable estimate with an interval.

Nearly every off-policy estimator is a smooth function of a few means over decisions. So it says
which means, and which function, and everything else is done here once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, Self, TypeVar

import msgspec
import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import Estimate, Floats, RewardRange, Units
from bandit.ope.intervals import LEVEL, Interval
from bandit.ope.units import RewardSupport, TermSums

BLOCKS: Final = 1024
REPLICATES: Final = 1000
AT_ONCE: Final = 16_384
"""Rows whose terms stay in a core's cache; all at once would wait for memory at every step."""


class Linear(NamedTuple):
    """A function of means near where they are: its value there, and its gradient, (size,)."""

    value: float
    gradient: Floats


class Point(NamedTuple):
    """What a formula makes of means; None where that is nothing.

    `value` is the estimate. `centre` is what the interval is around, an estimate that is
    consistent: for an estimator that trades bias for variance not its own value but the one of
    its unbiased sibling. An interval around a biased value would cover less and less the larger
    the log is.
    """

    value: float | None
    centre: Linear | None


class Rows(Protocol):
    """What an estimator takes in: columns with a row a decision, or a row an event."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Self: ...

    def rewards(self) -> tuple[Floats, Floats]:
        """Returns the weight and the reward of each row, shape (n,) each."""

    @property
    def unit(self) -> Units | None:
        """A hash of the unit that each row is of, or None."""


InputT = TypeVar("InputT", bound=Rows)
InputT_contra = TypeVar("InputT_contra", bound=Rows, contravariant=True)


class Formula(Protocol[InputT_contra]):
    """An estimator as a function of the means of some terms; frozen, and equal to its like."""

    @property
    def size(self) -> int:
        """How many terms a decision has."""

    @property
    def debiased(self) -> bool:
        """True if the interval is around another, consistent value."""

    @property
    def modelled(self) -> bool:
        """True if it rests on a reward model."""

    def terms(self, batch: InputT_contra) -> Floats:
        """Returns the terms of each decision, shape (size, n).

        Raises:
            EstimateError: the batch lacks what the terms are made of.
        """

    def weighed(self, batch: InputT_contra) -> tuple[Floats, Floats]:
        """Returns how much each row counts, and what it earned; see `RewardSupport`."""

    def at(self, means: Floats) -> Point:
        """Returns the estimate and what its interval is around, given the means, shape (size,)."""


class RunningEstimate(Generic[InputT]):
    """The estimate of a formula over all decisions so far, with an interval by the delta method.

    The standard error of f(means) is by decision, or by unit where batches name them (`TermSums`),
    and the interval lies where the rewards do (`RewardSupport`). There is none where the policy
    does nothing that was logged, and with a reward model none where nothing that it does earned
    anything: the model's answers say nothing of its own error.

    >>> from bandit.ope.base import Batch
    >>> from bandit.ope.estimators.importance import Ips
    >>> estimator = RunningEstimate(Ips())
    >>> half = np.full(4, 0.5)
    >>> estimator.add(Batch(reward=np.array([0.0, 1.0, 1.0, 0.0]), propensity=half, target=half))
    >>> estimator.get().value
    0.5
    """

    def __init__(self, formula: Formula[InputT], reward_range: RewardRange | None = None) -> None:
        self.formula = formula
        self.sums = TermSums(formula.size)
        self.support = RewardSupport(reward_range)

    def add(self, batch: InputT) -> None:
        """Takes in the decisions of a batch."""
        for part in parts(batch):
            self.sums.add(self.formula.terms(part), part.unit)
        self.support.add(*self.formula.weighed(batch), batch.unit)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the formula's value, and an interval around its consistent centre.

        Both are where the rewards lie; see `RewardSupport.within`.
        """
        sums, n = self.sums, self.sums.n
        value, centre = self.formula.at(sums.mean) if n else Point(None, None)
        value = None if value is None else self.support.within(value)
        untold = self.formula.modelled and not self.support.rewards
        if value is None or centre is None or sums.independent < 2 or untold:
            return Estimate(n, value, None)
        error = self._error(centre)
        return Estimate(n, value, self._interval(centre.value, error, level))

    def _error(self, centre: Linear) -> float:
        return self.sums.error(centre.gradient)

    def _interval(self, value: float, error: float, level: float) -> Interval | None:
        return self.support.interval(value, error, level, debiased=self.formula.debiased)

    def __add__(self, other: Self) -> Self:
        if self.formula != other.formula:
            raise EstimateError(f"{self.formula} and {other.formula} cannot be added up")
        total = type(self)(self.formula, self.support.reward_range)
        total.sums = self.sums + other.sums
        total.support = self.support + other.support
        return total


def parts(batch: InputT) -> Iterator[InputT]:
    """Yields the batch in parts that fit into a cache."""
    if len(batch) <= AT_ONCE:
        yield batch
        return
    for start in range(0, len(batch), AT_ONCE):
        yield batch[start : start + AT_ONCE]


def value_alone(formula: Formula[InputT], batch: InputT) -> float | None:
    """Returns the formula's value of one batch, and nothing of how sure it is.

    For whoever asks for very many, such as a search: it skips the covariances.

    Raises:
        EstimateError: the batch lacks what the formula needs.
    """
    total = np.zeros(formula.size)
    for part in parts(batch):
        total += formula.terms(part).sum(axis=1)
    return formula.at(total / len(batch)).value if len(batch) else None


def ratio(means: Floats, above: int, below: int) -> Linear | None:
    """Returns means[above] / means[below] with its gradient; None where that is 0 / 0."""
    if means[below] == 0.0:
        return None
    value = float(means[above] / means[below])
    gradient = np.zeros(len(means))
    gradient[above] = 1.0 / means[below]
    gradient[below] = -value / means[below]
    return Linear(value, gradient)


def single(means: Floats, term: int) -> Linear:
    """Returns one of the means with its gradient."""
    gradient = np.zeros(len(means))
    gradient[term] = 1.0
    return Linear(float(means[term]), gradient)


def centred(found: Linear | None) -> Point:
    """Returns the point of a formula whose interval is around its own value."""
    return Point(None if found is None else found.value, found)


class Plain:
    """What most formulas have in common: no other value, no model, and the decisions' weights."""

    debiased: ClassVar[bool] = False
    modelled: ClassVar[bool] = False

    def weighed(self, batch: Any) -> tuple[Floats, Floats]:
        """Returns the weight and the reward of each row."""
        weight, reward = batch.rewards()
        return weight, reward


class Mean(Plain):
    """A formula that is the mean of one term."""

    size = 1

    def at(self, means: Floats) -> Point:
        """Returns the mean."""
        return centred(single(means, 0))


class Ratio(Plain):
    """A formula that is the mean of one term by that of another."""

    size = 2

    def at(self, means: Floats) -> Point:
        """Returns the ratio; None if the policy takes none of the logged actions."""
        return centred(ratio(means, 0, 1))


class Debiased(Plain):
    """A formula that is the mean of one term, with the interval of a second, consistent one."""

    size = 2
    debiased: ClassVar[bool] = True

    def at(self, means: Floats) -> Point:
        """Returns the first mean, with an interval around the second."""
        return Point(float(means[0]), single(means, 1))


class Resampled(RunningEstimate[InputT]):
    """A formula's estimate whose standard error is the bootstrap's (Efron 1979), in bounded memory.

    Up to 2,048 decisions, or units, each is drawn by itself, with replacement; from then on those
    that are put together at random are drawn together. The interval is the one of
    `RunningEstimate` with this standard error: percentiles of so few rewards would be too low.

    Args:
        formula: what to estimate.
        reward_range: what the rewards are said to lie in.
        seed: of the resampling.

    >>> from bandit.ope.base import Batch
    >>> from bandit.ope.estimators.importance import Ips
    >>> estimator, half = Resampled(Ips(), seed=1), np.full(400, 0.5)
    >>> estimator.add(Batch(np.tile([0.0, 1.0], 200), half, half))
    >>> interval = estimator.get().interval
    >>> interval.method, round(interval.low, 2), round(interval.high, 2)
    ('bootstrap', 0.45, 0.55)
    """

    def __init__(
        self,
        formula: Formula[InputT],
        reward_range: RewardRange | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(formula, reward_range)
        self._seed = seed
        self._length = 1
        self._blocks: Floats = np.zeros((formula.size, 0))
        self._counts: Floats = np.zeros(0)

    def add(self, batch: InputT) -> None:
        """Takes in the decisions of a batch."""
        super().add(batch)
        if batch.unit is not None:
            return
        for part in parts(batch):
            terms = self.formula.terms(part)
            starts = np.arange(0, terms.shape[1], self._length)
            if len(starts):
                counts = np.diff(np.append(starts, terms.shape[1])).astype(np.float64)
                self._append(np.add.reduceat(terms, starts, axis=1), counts)

    def _error(self, centre: Linear) -> float:
        """Returns the standard deviation of the replicates that say something."""
        centres = [
            found.value
            for means in self._replicates()
            if (found := self.formula.at(means).centre) is not None
        ]
        return float(np.std(centres, ddof=1)) if len(centres) > 1 else 0.0

    def _interval(self, value: float, error: float, level: float) -> Interval | None:
        found = super()._interval(value, error, level)
        return None if found is None else msgspec.structs.replace(found, method="bootstrap")

    def __add__(self, other: Self) -> Self:
        if self._seed != other._seed:
            raise EstimateError(f"seeds {self._seed} and {other._seed} cannot be added up")
        total = super().__add__(other)
        total._seed = self._seed
        total._length = max(self._length, other._length)
        for one in (self, other):
            sums, counts = one._blocks, one._counts
            for _ in range(round(np.log2(total._length / one._length))):
                sums, counts = _in_pairs(sums), _in_pairs(counts)
            total._append(sums, counts)
        return total

    def _append(self, sums: Floats, counts: Floats) -> None:
        self._blocks = np.concatenate((self._blocks, sums), axis=1)
        self._counts = np.concatenate((self._counts, counts))
        while len(self._counts) > 2 * BLOCKS:
            self._blocks, self._counts = _in_pairs(self._blocks), _in_pairs(self._counts)
            self._length *= 2

    def _replicates(self) -> Floats:
        """Returns the means of each replicate, shape (replicates, size)."""
        sums, counts = self._blocks, self._counts
        if self.sums.units is not None:
            sums, counts = self.sums.units.get()
            while len(counts) > 2 * BLOCKS:
                sums, counts = _in_pairs(sums), _in_pairs(counts)
        rng = np.random.default_rng(self._seed)
        n = len(counts)
        drawn = rng.integers(0, n, size=(REPLICATES, n))
        drawn += n * np.arange(REPLICATES)[:, None]
        times = np.bincount(drawn.ravel(), minlength=REPLICATES * n).reshape(REPLICATES, n)
        means: Floats = (times @ sums.T) / (times @ counts)[:, None]
        return means


def _in_pairs(values: Floats) -> Floats:
    """Returns the sums of neighbours along the last axis."""
    summed: Floats = np.add.reduceat(values, np.arange(0, values.shape[-1], 2), axis=-1)
    return summed
