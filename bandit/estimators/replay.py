"""Rejection replay: what was earned where the log did what the policy would have done.

The oldest way to judge a policy offline, and the only one here that needs no propensities, but
a log that was made by choosing uniformly at random.
"""

from __future__ import annotations

import numpy as np

from bandit.certainty import clopper_pearson, normal
from bandit.errors import EstimateError
from bandit.estimator import LEVEL, Batch, Estimate
from bandit.moments import Moments


class Replay:
    """The mean reward of the decisions that match (Li et al. 2011, algorithm 2).

    `target` is 1 where the policy chose the logged action too, and 0 elsewhere; a policy with
    a pmf is sampled first. Unbiased if the log was uniform; for any other log use IPS.

    The interval is Clopper and Pearson's where all rewards are 0 or 1, and normal otherwise.

    >>> replay, uniform = Replay(), np.full(3, 0.5)
    >>> replay.add(Batch(np.array([1.0, 0.0, 1.0]), uniform, np.array([1.0, 1.0, 0.0])))
    >>> replay.get().value
    0.5
    """

    def __init__(self) -> None:
        self._n = 0
        self._matched = Moments(1)
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
        self._matched.add(reward[None])
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
        if self._binary:
            successes = round(value * matches.n)
            return Estimate(self._n, value, clopper_pearson(successes, matches.n, level))
        if matches.n < 2:
            return Estimate(self._n, value, None)
        error = float(np.sqrt(matches.covariance()[0, 0] / matches.n))
        return Estimate(self._n, value, normal(value, error, level))

    def __add__(self, other: Replay) -> Replay:
        total = Replay()
        total._n = self._n + other._n
        total._matched = self._matched + other._matched
        total._binary = self._binary and other._binary
        return total
