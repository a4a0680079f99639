"""Means and covariances of a stream of vectors, without keeping the stream.

Kept around the mean, not as sums of squares, so that a variance far below the mean's square
survives; parts are merged exactly but for rounding.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from bandit.estimator import Floats


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
