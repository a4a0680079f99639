"""Intervals by the bootstrap, of a stream: what is resampled are sums over blocks, not decisions.

For estimates whose error is far from normal, such as few and large rewards. A block holds
decisions that followed each other, so what hangs together within one is resampled together.
"""

from __future__ import annotations

from typing import Final, Generic, Self

import numpy as np

from bandit.certainty import check_level
from bandit.errors import EstimateError
from bandit.estimator import LEVEL, Estimate, Floats, Interval
from bandit.estimators.running import Formula, InputT, parts

BLOCKS: Final = 1024
REPLICATES: Final = 1000


class Resampled(Generic[InputT]):
    """A formula's estimate with a percentile bootstrap interval (Efron 1979) in bounded memory.

    Up to 2,048 decisions each is a block, and this is the usual bootstrap; from then on blocks
    double whenever there are that many. The replicates' means are of blocks drawn with
    replacement, weighed by their length. Around the formula's consistent centre, as `Running`.

    Args:
        formula: what to estimate.
        seed: of the resampling.

    >>> from bandit.estimator import Batch
    >>> from bandit.estimators.importance import Ips
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
        """Takes in the decisions of a batch.

        Raises:
            EstimateError: the batch lacks what the formula needs.
        """
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
        value = self.formula.value(self._sums.sum(axis=1) / n)
        if value is None or len(self._counts) < 2:
            return Estimate(n, value, None)
        centres = [
            found.value
            for means in self._replicates()
            if (found := self.formula.centre(means)) is not None
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
