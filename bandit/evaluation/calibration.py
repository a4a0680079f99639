"""Whether a reward model's scores are what decisions then earned.

A doubly robust value is as steady as its model is right, and the direct method's is nothing but
the model; whoever reads either must see where the model is off.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from bandit.certainty import normal
from bandit.estimator import Floats, Interval
from bandit.moments import Moments

BINS: Final = 10
CHECK_LEVEL: Final = 0.999


class CalibrationBin(msgspec.Struct, frozen=True):
    """Decisions whose scores are alike: what the model expected, and what was earned."""

    n: int
    score: float
    reward: float
    interval: Interval | None


class Calibration(msgspec.Struct, frozen=True):
    """How scores and rewards of the logged actions go together, cross-fitted.

    Attributes:
        bias: the mean reward less the mean score.
        bias_interval: of the bias, at 99.9 %.
        slope: by how much the reward rises with the score; 1 where the model is right, less
            where it claims to know more than it does; None where all scores are alike.
        bins: decisions by their score, from the lowest.
        words: what to think of it.
    """

    bias: float
    bias_interval: Interval | None
    slope: float | None
    bins: tuple[CalibrationBin, ...]
    words: str


class Calibrating:
    """Keeps, for ranges of scores, what was expected and what came.

    The ranges hold equally many of the first decisions.
    """

    def __init__(self) -> None:
        self._edges: Floats | None = None
        self._bins = [Moments(2) for _ in range(BINS)]
        self._all = Moments(2)

    def add(self, score: Floats, reward: Floats) -> None:
        """Takes in decisions, shape (n,) each."""
        if not len(score):
            return
        if self._edges is None:
            self._edges = np.quantile(score, np.arange(1, BINS) / BINS)
        pairs = np.stack((score, reward))
        self._all.add(pairs)
        places = np.searchsorted(self._edges, score, side="right")
        for number, held in enumerate(self._bins):
            held.add(pairs[:, places == number])

    def get(self) -> Calibration | None:
        """Returns how well the model is calibrated; None of fewer than two decisions."""
        whole = self._all
        if whole.n < 2:
            return None
        covariance = whole.covariance()
        bias = float(whole.mean[1] - whole.mean[0])
        spread = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
        interval = normal(bias, float(np.sqrt(max(spread, 0.0) / whole.n)), CHECK_LEVEL)
        slope = float(covariance[0, 1] / covariance[0, 0]) if covariance[0, 0] > 1e-18 else None
        bins = tuple(_bin(held) for held in self._bins if held.n)
        return Calibration(bias, interval, slope, bins, _words(bias, interval, slope))


def _bin(held: Moments) -> CalibrationBin:
    score, reward = (float(mean) for mean in held.mean)
    interval = None
    if held.n > 1:
        interval = normal(reward, float(np.sqrt(held.covariance()[1, 1] / held.n)), 0.95)
    return CalibrationBin(held.n, score, reward, interval)


def _words(bias: float, interval: Interval, slope: float | None) -> str:
    if 0.0 not in interval:
        side = "less" if bias > 0.0 else "more"
        return f"The reward model expects {side} than was earned, by {abs(bias):.3g} a decision."
    if slope is None:
        return "The reward model expects the same of every decision; it helps no estimate."
    if slope < 0.5:
        return (
            f"Rewards rise by only {slope:.2g} of what the reward model's scores do: it claims to "
            "know more than it does. Prefer snips to dm."
        )
    return "The reward model's scores are what was earned, on average."
