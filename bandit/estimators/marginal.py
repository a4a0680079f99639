"""IPS over what creatives are like, for more creatives than a log can try.

With thousands of actions nearly every weight is 0 or huge. Where reward depends on what an action
is like rather than on which one it is, the probability of any action like it is all that counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from bandit.estimator import Batch, Floats
from bandit.estimators.running import Linear, single


@dataclass(frozen=True)
class Mips:
    """Marginalised IPS: mean(u r) (Saito & Joachims 2022, equation 4).

    u is how much more probable the policy makes an action of the logged one's kind. Unbiased
    where actions of a kind earn the same; elsewhere biased by how much they differ.

    >>> import numpy as np
    >>> from bandit.estimators.running import Running
    >>> estimator, half = Running(Mips()), np.full(2, 0.5)
    >>> estimator.add(Batch(np.array([1.0, 0.0]), half, half, marginal=np.array([1.5, 0.5])))
    >>> estimator.get().value
    0.75
    """

    size = 1
    method = "normal"

    def terms(self, batch: Batch) -> Floats:
        """Returns u r."""
        return (batch.marginals() * batch.reward)[None]

    def value(self, means: Floats) -> float:
        """Returns mean(u r)."""
        return float(means[0])

    def centre(self, means: Floats) -> Linear:
        """Returns mean(u r)."""
        return single(means, 0)
