"""Between a reward model's answer and the doubly robust one, as far as the log says.

On small logs a fair model is closer to the truth than any unbiased estimate, on large ones its
bias is all that is left of the error. Where between the two to stand can be estimated too.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from bandit.certainty import normal
from bandit.estimator import LEVEL, Batch, Estimate
from bandit.estimators.running import standard_error
from bandit.moments import Moments


class Blend:
    """DM + β (DR - DM), with β of the least estimated squared error, in [0, 1].

    It is a blend of two as in MAGIC (Thomas & Brunskill 2016, section 7). With d = DR - DM, whose
    mean is the model's bias B, the squared error is (1 - β)² B² + Var(DM + β d), least at
    β = (B² - Cov(DM, d)) / (B² + Var d), where B² is estimated by d² - Var d or 0. The interval
    is the one of DR.

    >>> estimator, half = Blend(), np.full(2, 0.5)
    >>> estimator.add(Batch(np.array([1.0, 0.0]), half, half, score=half, expected_score=half))
    >>> estimator.get().value
    0.5
    """

    def __init__(self) -> None:
        self._moments = Moments(2)

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch.

        Raises:
            EstimateError: the batch comes without a model's predictions.
        """
        score, expected = batch.scores()
        self._moments.add(np.stack((expected, batch.weight * (batch.reward - score))))

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the blend, and DR's interval."""
        moments = self._moments
        if not moments.n:
            return Estimate(0, None, None)
        direct, apart = (float(mean) for mean in moments.mean)
        if moments.n == 1:
            return Estimate(1, direct + apart, None)
        error = standard_error(np.ones(2), moments)
        interval = normal(direct + apart, error, level, method="normal_debiased")
        return Estimate(moments.n, direct + self.share() * apart, interval)

    def share(self) -> float:
        """Returns β; 1 is DR and 0 the direct method. Of at least two decisions."""
        covariance = self._moments.covariance() / self._moments.n
        apart, spread = float(self._moments.mean[1]), float(covariance[1, 1])
        bias = max(apart * apart - spread, 0.0)
        if bias + spread == 0.0:
            return 1.0
        return min(max((bias - float(covariance[0, 1])) / (bias + spread), 0.0), 1.0)

    def __add__(self, other: Self) -> Self:
        total = type(self)()
        total._moments = self._moments + other._moments
        return total
