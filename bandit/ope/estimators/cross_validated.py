"""The estimator that cross-validation would choose, without a split.

No estimator is the best on every log: a reward model can be right or off, and weights small or
large. What an estimator says of one part of the log is held against what SNIPS says of the rest.
"""

from __future__ import annotations

from typing import Final, Self

import numpy as np

from bandit.ope.base import Batch, Estimate, Floats, RewardRange
from bandit.ope.estimators.doubly_robust import Dm, Dr, DrOs, Sndr, SwitchDr
from bandit.ope.estimators.importance import ClippedIps, Snips
from bandit.ope.estimators.running import Formula, Linear, parts, single
from bandit.ope.intervals import LEVEL
from bandit.ope.units import RewardSupport, TermSums

CHOICES: Final[dict[str, Formula[Batch]]] = {
    "snips": Snips(),
    "sndr": Sndr(),
    "dr": Dr(),
    "switch_dr": SwitchDr(),
    "dros": DrOs(),
    "clipped_ips": ClippedIps(),
    "dm": Dm(),
}
"""The validator first."""
SAME: Final = 1e-9
"""Errors that differ by less, as a share, differ by rounding alone."""


class CrossValidated:
    """The value of the estimator whose error on held out decisions is the least.

    Cross-validation with SNIPS as the validator (Cief, Kveton & Kompan 2025, arXiv 2405.15332), in
    the limit of infinitely many splits. With parts sized by the two variances, as the authors take
    them, the squared difference of an estimator on one part to SNIPS on the other is on average,
    for estimators that are nearly linear in the decisions,

        (V - V_snips)² + Var(V + V_snips).

    Both terms follow from the sums that are kept anyway, so that it needs neither splits nor draws,
    and parts of a log can be added up. The interval is the one of SNIPS; as with all that rest on a
    model, there is none where nothing that the policy does earned anything.

    >>> estimator, half = CrossValidated(), np.full(2, 0.5)
    >>> estimator.add(Batch(np.array([1.0, 0.0]), half, half, score=half, expected_score=half))
    >>> estimator.get().value
    0.5
    """

    def __init__(self, reward_range: RewardRange | None = None) -> None:
        self._sums = TermSums(sum(formula.size for formula in CHOICES.values()))
        self._support = RewardSupport(reward_range)

    def add(self, batch: Batch) -> None:
        """Takes in the decisions of a batch."""
        for part in parts(batch):
            terms = np.concatenate([formula.terms(part) for formula in CHOICES.values()])
            self._sums.add(terms, part.unit)
        self._support.add(batch.weight, batch.reward, batch.unit)

    def get(self, level: float = LEVEL) -> Estimate:
        """Returns the chosen estimator's value, and the interval of SNIPS."""
        n, support, chosen = self._sums.n, self._support, self.chosen
        if chosen is None:
            return Estimate(0, None, None)
        found = self._found()
        value = support.within(found[chosen].value)
        untold = "snips" not in found or self._sums.independent < 2
        if untold or not support.rewards:
            return Estimate(n, value, None)
        centre, debiased = found["snips"], chosen != "snips"
        error = self._sums.error(centre.gradient)
        return Estimate(n, value, support.interval(centre.value, error, level, debiased=debiased))

    @property
    def chosen(self) -> str | None:
        """The estimator whose value it takes: `dr` where SNIPS says nothing; None of nothing."""
        if not self._sums.n:
            return None
        found = self._found()
        if "snips" not in found or self._sums.independent < 2:
            return "dr"
        validator = found["snips"]
        errors = {
            name: (mine.value - validator.value) ** 2
            + self._sums.error(mine.gradient + validator.gradient) ** 2
            for name, mine in found.items()
        }
        most = min(errors.values()) * (1.0 + SAME)
        return next(name for name, error in errors.items() if error <= most)

    def _found(self) -> dict[str, Linear]:
        """Returns each estimator that says something, as a function of all terms."""
        means, start, found = self._sums.mean, 0, {}
        for name, formula in CHOICES.items():
            mine = means[start : start + formula.size]
            own = single(mine, 0) if formula.debiased else formula.at(mine).centre
            if own is not None:
                gradient: Floats = np.zeros(len(means))
                gradient[start : start + formula.size] = own.gradient
                found[name] = Linear(own.value, gradient)
            start += formula.size
        return found

    def __add__(self, other: Self) -> Self:
        total = type(self)(self._support.reward_range)
        total._sums = self._sums + other._sums
        total._support = self._support + other._support
        return total
