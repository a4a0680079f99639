"""Whether a log's weights are what right propensities give: 1 on average.

A mean is off only beyond its own noise and the rounding of the propensities. Where the log does
not say which actions could be chosen, the fault may be there, and not in the propensities.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bandit.distributions import quantile
from bandit.ope.base import Batch, Floats
from bandit.ope.checks.rounding import NEGLIGIBLE, RoundingError
from bandit.ope.intervals import Interval

# a check that is made of every policy must hardly ever cry wolf
CHECK_LEVEL: Final = 0.9999


class MeanWeight:
    """The mean of weights, how noisy it is, and how rounded; added up with `+`."""

    def __init__(self) -> None:
        self.n = 0
        self._sum = 0.0
        self._squares = 0.0
        self._expected = 0.0
        self._rounding = RoundingError(), RoundingError()

    @property
    def mean(self) -> float:
        """The mean weight."""
        return self._sum / self.n if self.n else 0.0

    def add(self, propensity: Floats, target: Floats, squares: Floats | None = None) -> None:
        """Takes in decisions, shape (n,) each.

        A log that has not yet met its heavy weights is noisier than it looks. Of propensities p
        that are right, the mean square of a weight is Σ t²/p over all actions, with t for what
        the policy gives them. Where only the logged action's are known, it is at least
        t²/p + (1-t)²/(1-p), since the others have the rest of both (Cauchy-Schwarz).

        Args:
            propensity: of the logged actions.
            target: what the policy gives them.
            squares: Σ t²/p, where whole pmfs are known.
        """
        weight = target / propensity
        if squares is None:
            rest = np.maximum(1.0 - propensity, 0.0)
            others = np.zeros_like(rest)
            np.divide((1.0 - target) ** 2, rest, out=others, where=rest > 1e-12)
            squares = target * weight + others
        self.n += len(weight)
        self._sum += float(weight.sum())
        self._squares += float((weight**2).sum())
        self._expected += float(squares.sum())
        self._rounding[0].add(propensity, weight / propensity)
        self._rounding[1].add(target, 1.0 / propensity)

    def off(self) -> bool:
        """True if the mean is not 1, whatever noise and rounding may explain."""
        if self.n < 2 or not self._sum:
            return False
        seen = (self._squares / self.n - self.mean**2) * self.n / (self.n - 1)
        # what the mean square would be if the weights seen were as many as there should be
        scaled = self._squares / self._sum - 1.0
        variance = max(seen, scaled, self._expected / self.n - 1.0, 0.0)
        noise = quantile(CHECK_LEVEL) * math.sqrt(variance / self.n)
        rounding = sum(error.get() for error in self._rounding) / self.n
        return abs(self.mean - 1.0) > noise + rounding + NEGLIGIBLE

    def __add__(self, other: MeanWeight) -> MeanWeight:
        total = MeanWeight()
        total.n = self.n + other.n
        total._sum = self._sum + other._sum
        total._squares = self._squares + other._squares
        total._expected = self._expected + other._expected
        one, two = zip(self._rounding, other._rounding, strict=True)
        total._rounding = one[0] + one[1], two[0] + two[1]
        return total


class WeightCheck:
    """Finds weights that are off, and whether the actions are to blame; added up with `+`."""

    def __init__(self) -> None:
        self._own = MeanWeight()
        self._even = MeanWeight()
        self._actions = 0
        self._unnamed = False

    def add(
        self, batch: Batch, n_actions: Floats | None = None, squares: Floats | None = None
    ) -> None:
        """Takes in decisions.

        Args:
            batch: the decisions.
            n_actions: how many actions each is taken to choose from, shape (n,), where the log
                does not say and the policy's answer rests on it; 0 where the log names none.
            squares: see `MeanWeight`.
        """
        self._own.add(batch.propensity, np.minimum(batch.target, 1.0), squares)
        if n_actions is None or not len(batch):
            return
        if not n_actions.all():
            self._unnamed = True
            return
        self._even.add(batch.propensity, 1.0 / n_actions)
        self._actions = max(self._actions, int(n_actions.max()))

    def verdict(self, interval: Interval | None = None) -> tuple[str, str] | None:
        """Returns a code and words where the weights cannot be trusted; None where they can.

        Args:
            interval: of the mean weight, by units, which may be wider than decisions alone tell.
        """
        if self._unnamed:
            return "actions_unknown", (
                "The log does not name its actions, so nobody knows what this policy would have "
                "done. Name their column with --column action=COLUMN."
            )
        if not self._own.off() or (interval and interval.low <= 1.0 <= interval.high):
            return None
        mean = f"The weights' mean is {self._own.mean:.3g} and should be 1"
        if self._even.off():
            return "actions_unknown", (
                f"{mean}. The log does not say which actions each decision could choose from: it "
                f"names {self._actions}, and the propensities are those of "
                f"{self._actions * self._even.mean:.3g}. Say which with --column actions=COLUMN "
                "or available.ACTION=COLUMN, or check the propensities."
            )
        if self._own.mean < 1.0:
            return "weights_off", (
                f"{mean}: the policy does what the log has hardly tried, or the logged "
                "propensities are not those the actions were chosen with."
            )
        return "weights_off", (
            f"{mean}: the logged propensities are not those the actions were chosen with."
        )

    def __add__(self, other: WeightCheck) -> WeightCheck:
        total = WeightCheck()
        total._own = self._own + other._own
        total._even = self._even + other._even
        total._actions = max(self._actions, other._actions)
        total._unnamed = self._unnamed or other._unnamed
        return total
