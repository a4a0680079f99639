"""Estimators that ask a reward model first, and correct its answer by what was really earned.

Written with w = target / propensity, s the model's score of the logged action, and e its
expectation over the policy's pmf. Those that shrink weights print the interval of plain DR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from bandit.ope.base import Batch, Estimate, Floats, RewardRange
from bandit.ope.estimators.running import (
    Debiased,
    Linear,
    Mean,
    Plain,
    Point,
    centred,
    ratio,
)
from bandit.ope.intervals import LEVEL
from bandit.ope.units import RewardSupport, TermSums


@dataclass(frozen=True)
class Dm(Debiased):
    """The direct method: mean(e), as good as the model and no better (Beygelzimer & Langford 2009).

    The spread of its answers says nothing of the model's own error, so its interval is the one
    of DR. Where the value lies outside of it, the model is off.
    """

    modelled: ClassVar[bool] = True

    def terms(self, batch: Batch) -> Floats:
        """Returns e and e + w (r - s)."""
        score, expected = batch.scores()
        return np.stack((expected, expected + batch.weight * (batch.reward - score)))


@dataclass(frozen=True)
class Dr(Mean):
    """Doubly robust: mean(e + w (r - s)) (Dudík, Langford & Li 2011, equation 2).

    Unbiased where the model was not fitted to the same decisions; the better the model, the
    steadier.

    >>> from bandit.ope.estimators.running import RunningEstimate
    >>> estimator, half = RunningEstimate(Dr()), np.array([0.5, 0.5])
    >>> estimator.add(Batch(np.array([1.0, 0.0]), half, half, score=half, expected_score=half))
    >>> estimator.get().value
    0.5
    """

    modelled: ClassVar[bool] = True

    def terms(self, batch: Batch) -> Floats:
        """Returns e + w (r - s)."""
        score, expected = batch.scores()
        return (expected + batch.weight * (batch.reward - score))[None]


@dataclass(frozen=True)
class Sndr(Plain):
    """Self-normalised DR: mean(e) + mean(w (r - s)) / mean(w) (Thomas & Brunskill 2016, 4.2).

    Consistent. Where no logged action is one of the policy's, it is the direct method, and has
    no interval.
    """

    size = 3
    modelled: ClassVar[bool] = True

    def terms(self, batch: Batch) -> Floats:
        """Returns e, w (r - s), and w."""
        score, expected = batch.scores()
        weight = batch.weight
        return np.stack((expected, weight * (batch.reward - score), weight))

    def at(self, means: Floats) -> Point:
        """Returns mean(e) + mean(w (r - s)) / mean(w)."""
        corrected = ratio(means, 1, 2)
        if corrected is None:
            return Point(float(means[0]), None)
        gradient = corrected.gradient.copy()
        gradient[0] = 1.0
        return centred(Linear(float(means[0]) + corrected.value, gradient))


@dataclass(frozen=True)
class SwitchDr(Debiased):
    """SWITCH: DR where w ≤ `lambda_`, elsewhere the model alone (Wang et al. 2017, equation 6).

    Biased towards the model; its interval is that of DR.
    """

    lambda_: float = 10.0
    modelled: ClassVar[bool] = True

    def terms(self, batch: Batch) -> Floats:
        """Returns e + w [w ≤ λ] (r - s) and e + w (r - s)."""
        weight = batch.weight
        return _shrunk(batch, weight, np.where(weight <= self.lambda_, weight, 0.0))


@dataclass(frozen=True)
class DrOs(Debiased):
    """DR with optimistic shrinkage, λ w / (w² + λ) for w (Su et al. 2020, equation 8).

    Between the direct method (λ = 0) and DR (λ = ∞); its interval is that of DR.
    """

    lambda_: float = 100.0
    modelled: ClassVar[bool] = True

    def terms(self, batch: Batch) -> Floats:
        """Returns e + λ w / (w² + λ) (r - s) and e + w (r - s)."""
        weight = batch.weight
        return _shrunk(batch, weight, shrink(weight, self.lambda_))


def shrink(weight: Floats, lambda_: float) -> Floats:
    """Returns λ w / (w² + λ): near w for small weights, and never above √λ / 2."""
    if lambda_ == 0.0:
        return np.zeros_like(weight)
    return weight / (1.0 + weight * weight / lambda_)


def _shrunk(batch: Batch, weight: Floats, shrunk: Floats) -> Floats:
    score, expected = batch.scores()
    residual = batch.reward - score
    return np.stack((expected + shrunk * residual, expected + weight * residual))


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

    def __init__(self, reward_range: RewardRange | None = None) -> None:
        self._sums = TermSums(2)
        self._support = RewardSupport(reward_range)

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch."""
        score, expected = batch.scores()
        weight = batch.weight
        self._sums.add(np.stack((expected, weight * (batch.reward - score))), batch.unit)
        self._support.add(weight, batch.reward, batch.unit)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the blend, and DR's interval."""
        sums = self._sums
        if not sums.n:
            return Estimate(0, None, None)
        direct, apart = (float(mean) for mean in sums.mean)
        within = self._support.within
        if sums.n == 1:
            return Estimate(1, within(direct + apart), None)
        interval = None
        if sums.independent > 1 and self._support.rewards:
            error = sums.error(np.ones(2))
            interval = self._support.interval(direct + apart, error, level, debiased=True)
        return Estimate(sums.n, within(direct + self.share() * apart), interval)

    def share(self) -> float:
        """Returns β; 1 is DR and 0 the direct method. Of at least two decisions."""
        covariance = self._sums.moments.covariance() / self._sums.n
        apart, spread = float(self._sums.mean[1]), float(covariance[1, 1])
        bias = max(apart * apart - spread, 0.0)
        if bias + spread == 0.0:
            return 1.0
        return min(max((bias - float(covariance[0, 1])) / (bias + spread), 0.0), 1.0)

    def __add__(self, other: Self) -> Self:
        total = type(self)(self._support.reward_range)
        total._sums = self._sums + other._sums
        total._support = self._support + other._support
        return total
