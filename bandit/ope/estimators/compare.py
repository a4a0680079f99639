"""Two policies on one log: by how much the first is better, and how sure that is.

Both are judged on the same decisions, so most of the noise is common to both and cancels; the
difference is known far better than the two intervals side by side suggest.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import numpy as np

from bandit.distributions import check_level
from bandit.errors import EstimateError
from bandit.ope.base import UNIT, Batch, Estimate, RewardRange
from bandit.ope.betting import DifferenceBets
from bandit.ope.estimators.bounded import betting_name
from bandit.ope.estimators.importance import Snips
from bandit.ope.estimators.running import Formula, Point, parts
from bandit.ope.estimators.slates import Slates
from bandit.ope.intervals import LEVEL, Interval, ratio_interval, student
from bandit.ope.units import RewardSupport, TermSums

NO_SPREAD: Final = 1e-12

InputT = TypeVar("InputT", Batch, Slates)


class ValueDifference(Generic[InputT]):
    """The value of one policy less that of a baseline, by the same formula or two.

    Both values are where the rewards lie (`RewardSupport.within`), as an evaluation prints them,
    and the interval is around their difference. It is Student's, by the delta method on the terms
    of both together, so covariances count, and by unit where batches name them. For a fixed number
    of decisions;
    `BettingDifference` is for looking as they come. There is none between policies that have not
    differed in any decision that earned something.

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
        self._sums = TermSums(formula.size + baseline.size)
        self._supports = (RewardSupport(), RewardSupport())

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
            terms = np.concatenate((formula.terms(mine), other.terms(theirs)))
            self._sums.add(terms, mine.unit)
        self._supports[0].add(*formula.weighed(batch), batch.unit)
        self._supports[1].add(*other.weighed(baseline), baseline.unit)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the difference so far; above 0 where the policy earns more."""
        n, (first, centre), (second, base) = self._points()
        if first is None or second is None:
            return Estimate(n, None, None)
        if centre is None or base is None or self._sums.independent < 2 or self._untold():
            return Estimate(n, first - second, None)
        error = self._sums.error(np.concatenate((centre.gradient, -base.gradient)))
        if error <= NO_SPREAD * max(abs(first), abs(second), NO_SPREAD):
            return Estimate(n, first - second, None)
        found = student(centre.value - base.value, error, level, free=self._free)
        low, high = self._supports[0].ends
        ends = max(found.low, low - high), min(found.high, high - low)
        return Estimate(n, first - second, Interval(found.method, level, *ends))

    def lift(self, level: float = LEVEL) -> Estimate:
        """Returns by what share of the baseline's value the policy earns more: value / other - 1.

        None where either value is not above 0.
        """
        n, (first, centre), (second, base) = self._points()
        if first is None or second is None or min(first, second) <= 0.0:
            return Estimate(n, None, None)
        lift = first / second - 1.0
        known = centre is not None and base is not None and self._sums.independent > 1
        if not known or centre is None or base is None or self._untold():
            return Estimate(n, lift, None)
        if min(centre.value, base.value) <= 0.0:
            return Estimate(n, lift, None)
        gradient = (centre.gradient / centre.value, -base.gradient / base.value)
        error = self._sums.error(np.concatenate(gradient))
        if error <= NO_SPREAD:
            return Estimate(n, lift, None)
        interval = ratio_interval(centre.value, base.value, error, level, free=self._free)
        return Estimate(n, lift, interval)

    def _points(self) -> tuple[int, Point, Point]:
        formula, other = self._formulas
        n, means = self._sums.n, self._sums.mean
        if not n:
            return 0, Point(None, None), Point(None, None)
        points = formula.at(means[: formula.size]), other.at(means[formula.size :])
        mine, theirs = (
            _within(point, support) for point, support in zip(points, self._supports, strict=True)
        )
        return n, mine, theirs

    @property
    def _free(self) -> float:
        """Degrees of freedom: as many rewards as there are tell of a variance, and no more."""
        return min(min(1.0 / each.unit, each.rewards) for each in self._supports) - 1.0

    def _untold(self) -> bool:
        """True if the formulas rest on a model, and either policy did nothing that earned."""
        modelled = any(formula.modelled for formula in self._formulas)
        return modelled and not all(support.rewards for support in self._supports)

    def __add__(self, other: ValueDifference[InputT]) -> ValueDifference[InputT]:
        if self._formulas != other._formulas:
            raise EstimateError(f"{self._formulas} and {other._formulas} cannot be added up")
        total = ValueDifference(*self._formulas)
        total._sums = self._sums + other._sums
        mine, theirs = self._supports, other._supports
        total._supports = (mine[0] + theirs[0], mine[1] + theirs[1])
        return total


def _within(point: Point, support: RewardSupport) -> Point:
    value, centre = point
    return Point(
        None if value is None else support.within(value),
        None if centre is None else centre._replace(value=support.within(centre.value)),
    )


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
        self._by_unit = False

    def add(self, batch: Batch, baseline: Batch) -> None:
        """Takes in the same decisions, as they are for the policy and for the baseline."""
        share = self._settings[0].scale(batch.reward)
        self._point.add(batch, baseline)
        self._bets.add(batch.weight, baseline.weight, share, batch.unit)
        self._by_unit = batch.unit is not None

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the difference, and the interval; the truth is inside at all times at once."""
        n, value, _ = self._point.get(level)
        low, high = self._bets.bounds((1.0 - check_level(level)) / 2.0)
        if not n or low > high:
            return Estimate(n, value, None)
        width, name = self._settings[0].width, betting_name(by_unit=self._by_unit)
        return Estimate(n, value, Interval(name, level, low * width, high * width))

    def __add__(self, other: BettingDifference) -> BettingDifference:
        if self._settings != other._settings:
            raise EstimateError(f"settings {self._settings} and {other._settings} differ")
        total = BettingDifference(reward_range=self._settings[0], max_weight=self._settings[1])
        total._point = self._point + other._point
        total._bets = self._bets + other._bets
        total._by_unit = self._by_unit or other._by_unit
        return total
