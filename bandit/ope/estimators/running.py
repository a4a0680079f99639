"""From an estimator's equation to a streaming, mergeable estimate with an interval.

Nearly every off-policy estimator is a smooth function of a few means over decisions. So it says
which means, and which function, and everything else is done here once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from bandit.distributions import check_level
from bandit.errors import EstimateError
from bandit.ope.base import LEVEL, Estimate, Floats, Interval, Moments, normal

NO_SPREAD: Final = 1e-12
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


InputT = TypeVar("InputT", bound=Rows)
InputT_contra = TypeVar("InputT_contra", bound=Rows, contravariant=True)


class Formula(Protocol[InputT_contra]):
    """An estimator as a function of the means of some terms; frozen, and equal to its like."""

    @property
    def size(self) -> int:
        """How many terms a decision has."""

    @property
    def method(self) -> str:
        """What its intervals are called: `normal`, or `normal_debiased` around another value."""

    def terms(self, batch: InputT_contra) -> Floats:
        """Returns the terms of each decision, shape (size, n).

        Raises:
            EstimateError: the batch lacks what the terms are made of.
        """

    def at(self, means: Floats) -> Point:
        """Returns the estimate and what its interval is around, given the means, shape (size,)."""


class RunningEstimate(Generic[InputT]):
    """The estimate of a formula over all decisions so far.

    The interval is normal by the delta method: the variance of f(means) is gᵀ C g / n with f's
    gradient g and the terms' covariance C (van der Vaart 1998, theorem 3.1).

    >>> from bandit.ope.base import Batch
    >>> from bandit.ope.estimators.importance import Ips
    >>> estimator = RunningEstimate(Ips())
    >>> half = np.full(4, 0.5)
    >>> estimator.add(Batch(reward=np.array([0.0, 1.0, 1.0, 0.0]), propensity=half, target=half))
    >>> estimator.get().value
    0.5
    """

    def __init__(self, formula: Formula[InputT]) -> None:
        self.formula = formula
        self.moments = Moments(formula.size)

    def add(self, batch: InputT) -> None:
        """Takes in the decisions of a batch."""
        for part in parts(batch):
            self.moments.add(self.formula.terms(part))

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the formula's value, and a normal interval around its consistent centre."""
        moments = self.moments
        value, centre = self.formula.at(moments.mean) if moments.n else Point(None, None)
        if value is None or centre is None or moments.n < 2:
            return Estimate(moments.n, value, None)
        error = standard_error(centre.gradient, moments)
        # rewards that were all alike, mostly all 0, say nothing of how they vary
        if error <= NO_SPREAD * max(abs(centre.value), 1.0):
            return Estimate(moments.n, value, None)
        interval = normal(centre.value, error, level, method=self.formula.method)
        return Estimate(moments.n, value, interval)

    def __add__(self, other: Self) -> Self:
        if self.formula != other.formula:
            raise EstimateError(f"{self.formula} and {other.formula} cannot be added up")
        total = type(self)(self.formula)
        total.moments = self.moments + other.moments
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


def standard_error(gradient: Floats, moments: Moments) -> float:
    """Returns the standard error of a function of the means, by its gradient."""
    variance = float(gradient @ moments.covariance() @ gradient) / moments.n
    return math.sqrt(max(variance, 0.0))


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


class Mean:
    """A formula that is the mean of one term."""

    size = 1
    method = "normal"

    def at(self, means: Floats) -> Point:
        """Returns the mean."""
        return centred(single(means, 0))


class Ratio:
    """A formula that is the mean of one term by that of another."""

    size = 2
    method = "normal"

    def at(self, means: Floats) -> Point:
        """Returns the ratio; None if the policy takes none of the logged actions."""
        return centred(ratio(means, 0, 1))


class Debiased:
    """A formula that is the mean of one term, with the interval of a second, consistent one."""

    size = 2
    method = "normal_debiased"

    def at(self, means: Floats) -> Point:
        """Returns the first mean, with an interval around the second."""
        return Point(float(means[0]), single(means, 1))


class Resampled(Generic[InputT]):
    """A formula's estimate with a percentile bootstrap interval (Efron 1979) in bounded memory.

    Up to 2,048 decisions each is a block, and this is the usual bootstrap; from then on blocks
    double whenever there are that many. The replicates' means are of blocks drawn with
    replacement, weighed by their length. Around the formula's centre, as `RunningEstimate`.

    Args:
        formula: what to estimate.
        seed: of the resampling.

    >>> from bandit.ope.base import Batch
    >>> from bandit.ope.estimators.importance import Ips
    >>> estimator, half = Resampled(Ips(), seed=1), np.full(400, 0.5)
    >>> estimator.add(Batch(np.tile([0.0, 1.0], 200), half, half))
    >>> interval = estimator.get().interval
    >>> interval.method, round(interval.low, 2), round(interval.high, 2)
    ('bootstrap', 0.45, 0.55)
    """

    def __init__(self, formula: Formula[InputT], *, seed: int = 0) -> None:
        self.formula = formula
        self._seed = seed
        self._length = 1
        self._sums: Floats = np.zeros((formula.size, 0))
        self._counts: Floats = np.zeros(0)

    def add(self, batch: InputT) -> None:
        """Takes in the decisions of a batch."""
        for part in parts(batch):
            terms = self.formula.terms(part)
            starts = np.arange(0, terms.shape[1], self._length)
            if len(starts):
                counts = np.diff(np.append(starts, terms.shape[1])).astype(np.float64)
                self._append(np.add.reduceat(terms, starts, axis=1), counts)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the formula's value, and the bootstrap's interval."""
        n = round(float(self._counts.sum()))
        if not n:
            return Estimate(0, None, None)
        value = self.formula.at(self._sums.sum(axis=1) / n).value
        if value is None or len(self._counts) < 2:
            return Estimate(n, value, None)
        centres = [
            found.value
            for means in self._replicates()
            if (found := self.formula.at(means).centre) is not None
        ]
        if len(centres) < REPLICATES or max(centres) == min(centres):
            return Estimate(n, value, None)
        tail = (1.0 - check_level(level)) / 2.0
        low, high = np.quantile(centres, [tail, 1.0 - tail])
        return Estimate(n, value, Interval("bootstrap", level, float(low), float(high)))

    def __add__(self, other: Self) -> Self:
        if (self.formula, self._seed) != (other.formula, other._seed):
            raise EstimateError(f"{self.formula} and {other.formula} cannot be added up")
        total = type(self)(self.formula, seed=self._seed)
        total._length = max(self._length, other._length)
        for one in (self, other):
            sums, counts = one._sums, one._counts
            for _ in range(round(np.log2(total._length / one._length))):
                sums, counts = _in_pairs(sums), _in_pairs(counts)
            total._append(sums, counts)
        return total

    def _append(self, sums: Floats, counts: Floats) -> None:
        self._sums = np.concatenate((self._sums, sums), axis=1)
        self._counts = np.concatenate((self._counts, counts))
        while len(self._counts) > 2 * BLOCKS:
            self._sums, self._counts = _in_pairs(self._sums), _in_pairs(self._counts)
            self._length *= 2

    def _replicates(self) -> Floats:
        """Returns the means of each replicate, shape (replicates, size)."""
        rng = np.random.default_rng(self._seed)
        n = len(self._counts)
        drawn = rng.integers(0, n, size=(REPLICATES, n))
        drawn += n * np.arange(REPLICATES)[:, None]
        times = np.bincount(drawn.ravel(), minlength=REPLICATES * n).reshape(REPLICATES, n)
        means: Floats = (times @ self._sums.T) / (times @ self._counts)[:, None]
        return means


def _in_pairs(values: Floats) -> Floats:
    """Returns the sums of neighbours along the last axis."""
    summed: Floats = np.add.reduceat(values, np.arange(0, values.shape[-1], 2), axis=-1)
    return summed
