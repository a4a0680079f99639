"""What several slots that were filled together would have earned under another policy.

The slots of one event share a page: what is put in the first leaves less for the second, and may
be why the second is clicked. How much of that an estimator allows for is what tells these apart;
those that allow for less need far fewer events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import SLACK, Batch, Floats, Units
from bandit.ope.estimators.running import Linear, Plain, Point, Ratio, centred, ratio


@dataclass(frozen=True)
class Slates:
    """Events with several slots as columns, each of shape (n, slots), float64.

    Attributes:
        reward: what each slot earned; 0 where the event has no such slot.
        propensity: of what was put there, given the slots before; 1 where there is none.
        target: likewise under the policy to be judged; 1 where there is none.
        unit: a hash of the unit that each event is of, shape (n,); None where all are independent.

    Raises:
        EstimateError: columns of other shapes, or a value that cannot be.
    """

    reward: Floats
    propensity: Floats
    target: Floats
    unit: Units | None = None

    def __post_init__(self) -> None:
        shape = self.reward.shape
        if len(shape) != 2 or {self.propensity.shape, self.target.shape} != {shape}:
            raise EstimateError(
                f"slates are of shapes {shape}, {self.propensity.shape} and {self.target.shape}; "
                "expected three of the same (events, slots)"
            )
        if not np.isfinite(self.reward).all():
            raise EstimateError("a slate's reward is not finite")
        if not ((self.propensity > 0.0) & (self.propensity <= 1.0 + SLACK)).all():
            raise EstimateError("a slate's propensity is not above 0 and at most 1")
        if not ((self.target >= 0.0) & (self.target <= 1.0 + SLACK)).all():
            raise EstimateError("a slate's target is not from 0 to 1")

    def __len__(self) -> int:
        return len(self.reward)

    def __getitem__(self, rows: slice) -> Slates:
        """Returns the slates of these events."""
        unit = None if self.unit is None else self.unit[rows]
        return Slates(self.reward[rows], self.propensity[rows], self.target[rows], unit)

    @property
    def weight(self) -> Floats:
        """How much more probable each slot's content is under the policy to be judged."""
        return self.target / self.propensity

    def rewards(self) -> tuple[Floats, Floats]:
        """Returns the mean weight of each event's slots, and what they earned together."""
        return self.weight.mean(axis=1), self.reward.sum(axis=1)

    def whole(self) -> Batch:
        """Returns each event as one decision: its summed reward, and the products of its slots."""
        columns = (self.propensity.prod(axis=1), self.target.prod(axis=1))
        return Batch(self.reward.sum(axis=1), *columns, unit=self.unit)


@dataclass(frozen=True)
class SlateSnips(Ratio):
    """The whole page as one action: mean(Π w · Σ r) / mean(Π w), SNIPS of slates.

    Right whatever slots do to each other, and of little use past two or three slots.
    """

    def weighed(self, batch: Slates) -> tuple[Floats, Floats]:
        """Returns Π w and Σ r."""
        return batch.weight.prod(axis=1), batch.reward.sum(axis=1)

    def terms(self, batch: Slates) -> Floats:
        """Returns Π w · Σ r, and Π w."""
        weight = batch.weight.prod(axis=1)
        return np.stack((weight * batch.reward.sum(axis=1), weight))


@dataclass(frozen=True)
class SlatesBySlot(Plain):
    """The sum of what each slot is worth: Σₖ mean(vₖ rₖ) / mean(vₖ).

    With `cascade` a slot's reward depends on the slots before it, and vₖ is w₁…wₖ: reward
    interaction IPS (McInerney et al. 2020, equation 9), self-normalised. The slots of copyloop
    are filled in their order, each from what is left, so this is exact for them unless a later
    slot takes clicks from an earlier one. Without, a slot's reward depends on that slot alone,
    and vₖ is wₖ: independent IPS (Li et al. 2018, item-position click model), self-normalised.
    Its weights are as small as those of single decisions.
    """

    slots: int
    cascade: bool

    @property
    def size(self) -> int:
        """Two terms a slot."""
        return 2 * self.slots

    def terms(self, batch: Slates) -> Floats:
        """Returns vₖ rₖ of each slot, and vₖ of each."""
        weight = batch.weight.cumprod(axis=1) if self.cascade else batch.weight
        return np.concatenate(((weight * batch.reward).T, weight.T))

    def weighed(self, batch: Slates) -> tuple[Floats, Floats]:
        """Returns a weight and Σ r: with `cascade` the mean of vₖ, else that of what earned most.

        One weight has to stand for those of all slots. The mean of independent ones would look
        surer than each slot is.
        """
        if self.cascade:
            weight: Floats = batch.weight.cumprod(axis=1).mean(axis=1)
        else:
            weight = batch.weight[np.arange(len(batch)), batch.reward.argmax(axis=1)]
        return weight, batch.reward.sum(axis=1)

    def at(self, means: Floats) -> Point:
        """Returns the sum over slots; None if a slot is never filled as the policy would."""
        total, gradient = 0.0, np.zeros(len(means))
        for number in range(self.slots):
            found = self.slot(means, number)
            if found is None:
                return Point(None, None)
            total, gradient = total + found.value, gradient + found.gradient
        return centred(Linear(total, gradient))

    def slot(self, means: Floats, number: int) -> Linear | None:
        """Returns what one slot is worth."""
        return ratio(means, number, self.slots + number)


@dataclass(frozen=True)
class SlatePi(Ratio):
    """The pseudoinverse estimator: mean(v Σ r) / mean(v), with v = 1 + Σₖ (wₖ - 1).

    For rewards of the whole page, such as one purchase, that are a sum of what each slot adds to
    it. Swaminathan et al. 2017, equation 5, in its closed form for slots that were filled
    independently, normalised as in their wPI; where each is filled from what is left, it is near.
    """

    def weighed(self, batch: Slates) -> tuple[Floats, Floats]:
        """Returns v, which may be below 0, and Σ r."""
        return 1.0 + (batch.weight - 1.0).sum(axis=1), batch.reward.sum(axis=1)

    def terms(self, batch: Slates) -> Floats:
        """Returns v Σ r, and v."""
        weight = 1.0 + (batch.weight - 1.0).sum(axis=1)
        return np.stack((weight * batch.reward.sum(axis=1), weight))
