"""Estimators that weigh what was earned by how much more probable the policy makes it.

They need no model of rewards: with w = target / propensity, w r has the policy's value as its
mean, if the log gave every action that the policy takes some propensity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandit.estimator import Batch, Floats
from bandit.estimators.running import Linear, ratio, single


@dataclass(frozen=True)
class Ips:
    """Inverse propensity score: mean(w r), unbiased (Horvitz & Thompson 1952, equation 5).

    >>> from bandit.estimators.running import Running
    >>> estimator = Running(Ips())
    >>> estimator.add(Batch(np.array([1.0, 0.0]), np.array([0.25, 0.5]), np.array([0.5, 0.5])))
    >>> estimator.get().value
    1.0
    """

    size = 1
    method = "normal"

    def terms(self, batch: Batch) -> Floats:
        """Returns w r."""
        return (batch.weight * batch.reward)[None]

    def value(self, means: Floats) -> float:
        """Returns mean(w r)."""
        return float(means[0])

    def centre(self, means: Floats) -> Linear:
        """Returns mean(w r)."""
        return single(means, 0)


@dataclass(frozen=True)
class ClippedIps:
    """IPS with no weight above `lambda_`: mean(min(w, λ) r) (Bottou et al. 2013, section 4.3).

    Biased, for rewards of one sign towards 0, and steadier; its interval is that of IPS.

    >>> from bandit.estimators.running import Running
    >>> estimator = Running(ClippedIps(lambda_=2.0))
    >>> estimator.add(Batch(np.array([1.0, 0.0]), np.array([0.1, 0.5]), np.array([0.5, 0.5])))
    >>> estimator.get().value
    1.0
    """

    lambda_: float = 10.0

    size = 2
    method = "normal_debiased"

    def terms(self, batch: Batch) -> Floats:
        """Returns min(w, λ) r and w r."""
        weight = batch.weight
        return np.stack((np.minimum(weight, self.lambda_) * batch.reward, weight * batch.reward))

    def value(self, means: Floats) -> float:
        """Returns mean(min(w, λ) r)."""
        return float(means[0])

    def centre(self, means: Floats) -> Linear:
        """Returns mean(w r)."""
        return single(means, 1)


@dataclass(frozen=True)
class Snips:
    """Self-normalised IPS: mean(w r) / mean(w) (Swaminathan & Joachims 2015, equation 9).

    Consistent, within the range of the rewards, and mostly closer than IPS.

    >>> from bandit.estimators.running import Running
    >>> estimator = Running(Snips())
    >>> estimator.add(Batch(np.array([1.0, 0.0]), np.array([0.25, 0.5]), np.array([0.5, 0.5])))
    >>> round(estimator.get().value, 3)
    0.667
    """

    size = 2
    method = "normal"

    def terms(self, batch: Batch) -> Floats:
        """Returns w r and w."""
        weight = batch.weight
        return np.stack((weight * batch.reward, weight))

    def value(self, means: Floats) -> float | None:
        """Returns mean(w r) / mean(w); None if the policy takes none of the logged actions."""
        found = self.centre(means)
        return None if found is None else found.value

    def centre(self, means: Floats) -> Linear | None:
        """Returns mean(w r) / mean(w)."""
        return ratio(means, 0, 1)
