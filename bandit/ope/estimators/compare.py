"""Two policies on one log: by how much the first is better, and how sure that is.

Both are judged on the same decisions, so most of the noise is common to both and cancels; the
difference is known far better than the two intervals side by side suggest.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np

from bandit.distributions import check_level
from bandit.errors import EstimateError
from bandit.ope.base import LEVEL, Batch, Estimate, Interval, Moments, normal
from bandit.ope.betting import DifferenceBets
from bandit.ope.estimators.bounded import UNIT, RewardRange
from bandit.ope.estimators.importance import Snips
from bandit.ope.estimators.running import Formula, parts, standard_error
from bandit.ope.estimators.slates import Slates

InputT = TypeVar("InputT", Batch, Slates)


class ValueDifference(Generic[InputT]):
    """The value of one policy less that of a baseline, by the same formula or two.

    The interval is normal by the delta method on the terms of both together, so covariances
    count. For a fixed number of decisions; `BettingDifference` is for looking as they come.

    >>> from bandit.ope.estimators.importance import Ips
    >>> difference, half = ValueDifference(Ips(), Ips()), np.full(2, 0.5)
    >>> policy = Batch(np.array([1.0, 0.0]), propensity=half, target=np.array([0.9, 0.1]))
    >>> baseline = Batch(np.array([1.0, 0.0]), propensity=half, target=half)
    >>> difference.add(policy, baseline)
    >>> round(difference.get().value, 6)
    0.4
    """

    def __init__(self, formula: Formula[InputT], baseline: Formula[InputT]) -> None:
        self._formulas: tuple[Formula[InputT], Formula[InputT]] = (formula, baseline)
        self._moments = Moments(formula.size + baseline.size)

    def add(self, batch: InputT, baseline: InputT) -> None:
        """Takes in the same decisions, as they are for the policy and for the baseline.

        Raises:
            EstimateError: they are not the same decisions, or lack what a formula needs.
        """
        same = len(batch) == len(baseline) and bool(
            (batch.reward == baseline.reward).all()
            and (batch.propensity == baseline.propensity).all()
        )
        if not same:
            raise EstimateError(
                "the two batches differ in rewards or propensities; a difference is of two "
                "policies on the same decisions"
            )
        formula, other = self._formulas
        for mine, theirs in zip(parts(batch), parts(baseline), strict=True):
            self._moments.add(np.concatenate((formula.terms(mine), other.terms(theirs))))

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the difference so far; above 0 where the policy earns more."""
        formula, other = self._formulas
        moments, size = self._moments, formula.size
        if not moments.n:
            return Estimate(0, None, None)
        first, centre = formula.at(moments.mean[:size])
        second, base = other.at(moments.mean[size:])
        if first is None or second is None:
            return Estimate(moments.n, None, None)
        if centre is None or base is None or moments.n < 2:
            return Estimate(moments.n, first - second, None)
        error = standard_error(np.concatenate((centre.gradient, -base.gradient)), moments)
        interval = normal(centre.value - base.value, error, level)
        return Estimate(moments.n, first - second, interval)

    def __add__(self, other: ValueDifference[InputT]) -> ValueDifference[InputT]:
        if self._formulas != other._formulas:
            raise EstimateError(f"{self._formulas} and {other._formulas} cannot be added up")
        total = ValueDifference(*self._formulas)
        total._moments = self._moments + other._moments
        return total


class BettingDifference:
    """SNIPS of one policy less SNIPS of another, with a confidence sequence of the difference.

    With `max_weight` the interval is far narrower where the two policies agree mostly: the choice
    for a canary or a shadow that differs little. See `DifferenceBets`.
    """

    def __init__(
        self, *, reward_range: RewardRange = UNIT, max_weight: float | None = None
    ) -> None:
        self._settings = (reward_range, max_weight)
        self._point = ValueDifference(Snips(), Snips())
        self._bets = DifferenceBets(max_weight)

    def add(self, batch: Batch, baseline: Batch) -> None:
        """Takes in the same decisions, as they are for the policy and for the baseline."""
        share = self._settings[0].scale(batch.reward)
        self._point.add(batch, baseline)
        self._bets.add(batch.weight, baseline.weight, share)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the difference, and the interval; the truth is inside at all times at once."""
        n, value, _ = self._point.get(level)
        low, high = self._bets.bounds((1.0 - check_level(level)) / 2.0)
        if not n or low > high:
            return Estimate(n, value, None)
        width = self._settings[0].width
        return Estimate(n, value, Interval("betting", level, low * width, high * width))

    def __add__(self, other: BettingDifference) -> BettingDifference:
        if self._settings != other._settings:
            raise EstimateError(f"settings {self._settings} and {other._settings} differ")
        total = BettingDifference(reward_range=self._settings[0], max_weight=self._settings[1])
        total._point = self._point + other._point
        total._bets = self._bets + other._bets
        return total
