"""The estimator protocol: what a policy that did not choose would have earned, and how sure.

An estimator takes in a log in batches and keeps a few sums, so that logs larger than memory can
be judged and parts of a log judged on many machines: what each kept is added up with `+`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.errors import EstimateError, RewardOutside
from bandit.ope.intervals import LEVEL, Interval

Floats: TypeAlias = NDArray[np.float64]
Units: TypeAlias = NDArray[np.uint64]
"""A hash of the unit, such as the user, that each decision is of."""

SLACK: Final = 1e-6


@dataclass(frozen=True)
class Batch:
    """Decisions of a log as columns, each of shape (n,), float64.

    Attributes:
        reward: what the logged action earned.
        propensity: the logged probability of the logged action, in (0, 1].
        target: the probability that the policy to be judged gives the logged action, in [0, 1].
        score: what a reward model expects of the logged action; None without a model.
        expected_score: the model's expectation over the pmf of the policy to be judged.
        marginal: how much more probable the policy to be judged makes an action like the logged
            one; None where nobody said which are alike.

    Raises:
        EstimateError: columns of other shapes, or a value that cannot be.
    """

    reward: Floats
    propensity: Floats
    target: Floats
    score: Floats | None = None
    expected_score: Floats | None = None
    marginal: Floats | None = None
    unit: Units | None = None

    def __post_init__(self) -> None:
        if (self.score is None) != (self.expected_score is None):
            raise EstimateError("score and expected_score come together; only one was given")
        shape = self.reward.shape
        for name, column in self._columns():
            if column.ndim != 1 or column.shape != shape:
                raise EstimateError(
                    f"{name} is of shape {column.shape}; expected one value a decision, {shape}"
                )
            # a sum is finite if all are, and costs a fraction of asking each
            if not np.isfinite(column.sum()) and not np.isfinite(column).all():
                raise EstimateError(f"{name} holds {_first(column, ~np.isfinite(column))}")
        if not len(self):
            return
        if self.propensity.min() <= 0.0 or self.propensity.max() > 1.0 + SLACK:
            outside = (self.propensity <= 0.0) | (self.propensity > 1.0 + SLACK)
            raise EstimateError(
                f"propensity holds {_first(self.propensity, outside)}; expected above 0 and at "
                "most 1, the probability with which the logged action was chosen"
            )
        if self.target.min() < 0.0 or self.target.max() > 1.0 + SLACK:
            outside = (self.target < 0.0) | (self.target > 1.0 + SLACK)
            raise EstimateError(f"target holds {_first(self.target, outside)}; expected 0 to 1")

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def weight(self) -> Floats:
        """How much more probable the logged action is under the policy to be judged."""
        return self.target / self.propensity

    def rewards(self) -> tuple[Floats, Floats]:
        """Returns `weight` and `reward`."""
        return self.weight, self.reward

    def scores(self) -> tuple[Floats, Floats]:
        """Returns `score` and `expected_score`."""
        if self.score is None or self.expected_score is None:
            raise EstimateError(
                "this estimator needs a reward model's predictions; give score and expected_score"
            )
        return self.score, self.expected_score

    def marginals(self) -> Floats:
        """Returns `marginal`."""
        if self.marginal is None:
            raise EstimateError(
                "this estimator needs to know which actions are alike, and the log's whole pmf; "
                "give marginal"
            )
        return self.marginal

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Batch:
        """Returns the batch of these rows."""
        part = object.__new__(Batch)
        # what was checked once stays right
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            object.__setattr__(part, name, None if column is None else column[rows])
        return part

    def _columns(self) -> list[tuple[str, Floats]]:
        columns = [(name, getattr(self, name)) for name in self.__dataclass_fields__]
        return [(name, column) for name, column in columns if column is not None]


class RewardRange(NamedTuple):
    """The least and the largest reward that there can be."""

    low: float = 0.0
    high: float = 1.0

    @property
    def width(self) -> float:
        """How far apart they are."""
        return self.high - self.low

    def scale(self, reward: Floats) -> Floats:
        """Returns the rewards as shares of the range, in [0, 1].

        Raises:
            RewardOutside: a reward outside of the range.
        """
        outside = (reward < self.low) | (reward > self.high)
        if outside.any():
            raise RewardOutside(
                f"a reward of {reward[outside][0]}; this interval needs them to lie in the range "
                f"given, {self.low} to {self.high}; give another with --rewards LOW HIGH"
            )
        return (reward - self.low) / self.width


UNIT: RewardRange = RewardRange()


class Estimate(NamedTuple):
    """What an estimator says after `n` decisions.

    `value` is None where nothing can be said, such as a replay without a match; `interval` is
    None where nothing is known of the error, such as after a single decision.
    """

    n: int
    value: float | None
    interval: Interval | None


class Estimator(Protocol):
    """A streaming estimate of a policy's value.

    The order in which decisions come does not matter but for rounding, and neither does whether
    one estimator took them all or several did that were then added up.
    """

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch.

        Raises:
            EstimateError: the batch lacks what this estimator needs, or a reward or a weight is
                outside of the range that it was given.
        """

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the estimate so far, with an interval of this level, in (0, 1)."""

    def __add__(self, other: Self) -> Self:
        """Returns the estimator that has taken in what both did, which stay as they are.

        Raises:
            EstimateError: the two are of different kinds or settings.
        """


def _first(column: Floats, where: NDArray[np.bool_]) -> str:
    row = int(np.flatnonzero(where)[0])
    return f"{column[row]} in row {row}"


class Moments:
    """Count, mean and comoment of vectors of one size (Chan, Golub & LeVeque 1983, equation 2.1).

    >>> moments = Moments(1)
    >>> moments.add(np.array([[1.0, 2.0, 3.0]]))
    >>> moments.mean.tolist(), moments.covariance().tolist()
    ([2.0], [[1.0]])
    """

    def __init__(self, size: int) -> None:
        self.n = 0
        self.mean: Floats = np.zeros(size)
        self.comoment: Floats = np.zeros((size, size))

    def add(self, terms: Floats) -> None:
        """Takes in vectors, one a column: shape (size, n)."""
        n = terms.shape[1]
        if n:
            mean = terms.mean(axis=1)
            centred = terms - mean[:, None]
            self._merge(n, mean, centred @ centred.T)

    def covariance(self) -> Floats:
        """Returns the sample covariance, shape (size, size); of at least two vectors."""
        return self.comoment / (self.n - 1)

    def __add__(self, other: Self) -> Self:
        total = type(self)(len(self.mean))
        for part in (self, other):
            if part.n:
                total._merge(part.n, part.mean, part.comoment)
        return total

    def _merge(self, n: int, mean: Floats, comoment: Floats) -> None:
        total = self.n + n
        apart = mean - self.mean
        self.mean = self.mean + apart * (n / total)
        self.comoment = self.comoment + comoment + np.outer(apart, apart) * (self.n * n / total)
        self.n = total
