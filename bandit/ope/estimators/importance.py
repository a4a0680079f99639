"""Estimators that weigh what was earned by how much more probable the policy makes it.

They need no model of rewards: with w = target / propensity, w r has the policy's value as its
mean, if the log gave every action that the policy takes some propensity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import Batch, Estimate, Floats, RewardRange
from bandit.ope.estimators.running import Debiased, Mean, Ratio
from bandit.ope.intervals import LEVEL, clopper_pearson
from bandit.ope.units import RewardSupport, TermSums


@dataclass(frozen=True)
class Ips(Mean):
    """Inverse propensity score: mean(w r), unbiased (Horvitz & Thompson 1952, equation 5).

    >>> from bandit.ope.estimators.running import RunningEstimate
    >>> estimator = RunningEstimate(Ips())
    >>> estimator.add(Batch(np.array([1.0, 0.0]), np.array([0.25, 0.5]), np.array([0.5, 0.5])))
    >>> estimator.get().value
    1.0
    """

    def terms(self, batch: Batch) -> Floats:
        """Returns w r."""
        return (batch.weight * batch.reward)[None]


@dataclass(frozen=True)
class ClippedIps(Debiased):
    """IPS with no weight above `lambda_`: mean(min(w, λ) r) (Bottou et al. 2013, section 4.3).

    Biased, for rewards of one sign towards 0, and steadier; its interval is that of IPS.

    >>> from bandit.ope.estimators.running import RunningEstimate
    >>> estimator = RunningEstimate(ClippedIps(lambda_=2.0))
    >>> estimator.add(Batch(np.array([1.0, 0.0]), np.array([0.1, 0.5]), np.array([0.5, 0.5])))
    >>> estimator.get().value
    1.0
    """

    lambda_: float = 10.0

    def terms(self, batch: Batch) -> Floats:
        """Returns min(w, λ) r and w r."""
        weight = batch.weight
        return np.stack((np.minimum(weight, self.lambda_) * batch.reward, weight * batch.reward))


@dataclass(frozen=True)
class Snips(Ratio):
    """Self-normalised IPS: mean(w r) / mean(w) (Swaminathan & Joachims 2015, equation 9).

    Consistent, within the range of the rewards, and mostly closer than IPS.

    >>> from bandit.ope.estimators.running import RunningEstimate
    >>> estimator = RunningEstimate(Snips())
    >>> estimator.add(Batch(np.array([1.0, 0.0]), np.array([0.25, 0.5]), np.array([0.5, 0.5])))
    >>> round(estimator.get().value, 3)
    0.667
    """

    def terms(self, batch: Batch) -> Floats:
        """Returns w r and w."""
        weight = batch.weight
        return np.stack((weight * batch.reward, weight))


@dataclass(frozen=True)
class Mips(Mean):
    """Marginalised IPS: mean(u r) (Saito & Joachims 2022, equation 4).

    u is how much more probable the policy makes an action of the logged one's kind. Unbiased
    where actions of a kind earn the same; elsewhere biased by how much they differ.

    >>> import numpy as np
    >>> from bandit.ope.estimators.running import RunningEstimate
    >>> estimator, half = RunningEstimate(Mips()), np.full(2, 0.5)
    >>> estimator.add(Batch(np.array([1.0, 0.0]), half, half, marginal=np.array([1.5, 0.5])))
    >>> estimator.get().value
    0.75
    """

    def terms(self, batch: Batch) -> Floats:
        """Returns u r."""
        return (batch.marginals() * batch.reward)[None]

    def weighed(self, batch: Batch) -> tuple[Floats, Floats]:
        """Returns u and the rewards."""
        return batch.marginals(), batch.reward


class Replay:
    """The mean reward of the decisions that match (Li et al. 2011, algorithm 2).

    `target` is 1 where the policy chose the logged action too, and 0 elsewhere; a policy with
    a pmf is sampled first. Unbiased if the log was uniform; for any other log use IPS.

    The interval is Clopper and Pearson's where all rewards are 0 or 1 and no units are named, and
    as that of the other estimators otherwise.

    >>> replay, uniform = Replay(), np.full(3, 0.5)
    >>> replay.add(Batch(np.array([1.0, 0.0, 1.0]), uniform, np.array([1.0, 1.0, 0.0])))
    >>> replay.get().value
    0.5
    """

    def __init__(self, reward_range: RewardRange | None = None) -> None:
        self._n = 0
        self._matched = TermSums(1)
        self._support = RewardSupport(reward_range)
        self._binary = True

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch.

        Raises:
            EstimateError: a target propensity that is neither 0 nor 1.
        """
        matched = batch.target == 1.0
        if not (matched | (batch.target == 0.0)).all():
            raise EstimateError(
                "replay needs to know what the policy chose: target is 1 where it chose the "
                "logged action and 0 elsewhere; for a pmf, sample it first, or use ips"
            )
        reward = batch.reward[matched]
        self._n += len(batch)
        unit = None if batch.unit is None else batch.unit[matched]
        self._matched.add(reward[None], unit)
        self._support.add(np.ones(len(reward)), reward, unit)
        self._binary &= bool(((reward == 0.0) | (reward == 1.0)).all())

    @property
    def matches(self) -> int:
        """How many decisions of the log were the policy's as well."""
        return self._matched.n

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the mean reward of the matches; None without a match."""
        matches = self._matched
        if not matches.n:
            return Estimate(self._n, None, None)
        value = float(matches.mean[0])
        if self._binary and matches.units is None:
            successes = round(value * matches.n)
            return Estimate(self._n, value, clopper_pearson(successes, matches.n, level))
        if matches.independent < 2:
            return Estimate(self._n, value, None)
        error = matches.error(np.ones(1))
        return Estimate(self._n, value, self._support.interval(value, error, level))

    def __add__(self, other: Replay) -> Replay:
        total = Replay(self._support.reward_range)
        total._n = self._n + other._n
        total._support = self._support + other._support
        total._matched = self._matched + other._matched
        total._binary = self._binary and other._binary
        return total
