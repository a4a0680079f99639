"""Estimates whose intervals hold for any number of decisions, not only for many.

They assume no normality, only that rewards lie in a range known beforehand. No weight needs to be
bounded: w r ≥ 0 gives a lower bound of the value, and w (1 - r) ≥ 0, whose mean is 1 - value,
the upper one (Karampatziakis, Mineiro & Ramdas 2021; Waudby-Smith et al. 2022, section 3).
"""

from __future__ import annotations

import numpy as np

from bandit.distributions import check_level
from bandit.errors import EstimateError
from bandit.ope.base import UNIT as UNIT
from bandit.ope.base import Batch, Estimate, Moments
from bandit.ope.base import RewardRange as RewardRange
from bandit.ope.betting import ValueBets
from bandit.ope.estimators.importance import Snips
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.intervals import LEVEL, Interval, bernstein_lower


class BettingIps:
    """SNIPS with a confidence sequence: look as often as you like, stop when you like.

    Right for adaptive logs too. With `max_weight`, the largest that a weight can be (such as 1
    over the log's exploration floor, or the number of actions of a uniform log), half of the upper
    bound's error goes to a bet on `max_weight` - w r, which for rare rewards is far lower.

    The interval is None where the bounds contradict each other: then the logged propensities
    cannot be right.

    >>> estimator, half = BettingIps(), np.full(200, 0.5)
    >>> estimator.add(Batch(reward=np.ones(200), propensity=half, target=half))
    >>> interval = estimator.get().interval
    >>> interval.method, interval.low > 0.95, interval.high
    ('betting', True, 1.0)
    """

    def __init__(
        self, *, reward_range: RewardRange = UNIT, max_weight: float | None = None
    ) -> None:
        self._settings = (reward_range, max_weight)
        self._point = RunningEstimate(Snips())
        self._bets = ValueBets(max_weight)
        self._by_unit = False

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch."""
        self._bets.add(batch.weight, self._settings[0].scale(batch.reward), batch.unit)
        self._by_unit = batch.unit is not None
        self._point.add(batch)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns SNIPS, and the interval; the true value is inside at all times at once."""
        if not self._bets.n:
            return Estimate(0, None, None)
        low, high = self._bets.bounds((1.0 - check_level(level)) / 2.0)
        interval = scaled(betting_name(by_unit=self._by_unit), level, low, high, self._settings[0])
        return Estimate(self._bets.n, self._point.get(level).value, interval)

    def __add__(self, other: BettingIps) -> BettingIps:
        if self._settings != other._settings:
            raise EstimateError(f"settings {self._settings} and {other._settings} differ")
        total = BettingIps(reward_range=self._settings[0], max_weight=self._settings[1])
        total._point = self._point + other._point
        total._bets = self._bets + other._bets
        total._by_unit = self._by_unit or other._by_unit
        return total


class BernsteinIps:
    """SNIPS with empirical Bernstein bounds, for a fixed number of decisions, however small.

    Weights are clipped at `lambda_`, which may loosen a bound but never makes it wrong.
    """

    def __init__(self, *, reward_range: RewardRange = UNIT, lambda_: float = 10.0) -> None:
        self._settings = (reward_range, lambda_)
        self._point = RunningEstimate(Snips())
        self._bounds = Moments(2)

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch."""
        reward_range, lambda_ = self._settings
        share = reward_range.scale(batch.reward)
        weight = np.minimum(batch.weight, lambda_)
        self._point.add(batch)
        self._bounds.add(np.stack((weight * share, weight * (1.0 - share))))

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns SNIPS, and the interval."""
        (reward_range, lambda_), n = self._settings, self._bounds.n
        value = self._point.get(level).value
        if n < 2:
            return Estimate(n, value, None)
        variance = np.diag(self._bounds.covariance())
        tail = (1.0 - check_level(level)) / 2.0
        below, above = (
            bernstein_lower(float(mean), float(v), n, largest=lambda_, alpha=tail)
            for mean, v in zip(self._bounds.mean, variance, strict=True)
        )
        low, high = max(below, 0.0), 1.0 - max(above, 0.0)
        return Estimate(n, value, scaled("empirical_bernstein", level, low, high, reward_range))

    def __add__(self, other: BernsteinIps) -> BernsteinIps:
        if self._settings != other._settings:
            raise EstimateError(f"settings {self._settings} and {other._settings} differ")
        total = BernsteinIps(reward_range=self._settings[0], lambda_=self._settings[1])
        total._point = self._point + other._point
        total._bounds = self._bounds + other._bounds
        return total


def betting_name(*, by_unit: bool) -> str:
    """Returns what intervals by betting are called: by unit they hold for one look only."""
    return "betting_by_unit" if by_unit else "betting"


def scaled(
    method: str, level: float, low: float, high: float, reward_range: RewardRange
) -> Interval | None:
    """Returns the interval in rewards; None where `low` is above `high`."""
    if low > high:
        return None
    width = reward_range.width
    return Interval(method, level, reward_range.low + low * width, reward_range.low + high * width)
