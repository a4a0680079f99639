"""What each slot of a request chooses from: what no slot before it took, or a shortlist of that.

Every slot is a decision of its own, so that each can be audited and learned from alone. A shortlist
is drawn for each request, where a placement has more creatives than a decision should hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bandit.eligibility import WeightedSample, WeightedSampler, digest, seed_of
from bandit.errors import RequestError
from bandit.policy import Pmf, sample_seed
from bandit.service.choosing.candidates import (
    ActionDistribution,
    CandidateSet,
    Selection,
)
from bandit.service.choosing.candidates import SlotRequest as SlotRequest
from streams.events import EMPTY, UNREADABLE, Action, Context
from streams.events.placement import Shortlist, Shortlisted
from streams.events.slates import SLOT, slot_context

DistributionOf: TypeAlias = Callable[[Raw, CandidateSet], ActionDistribution]
"""How likely each candidate is in this context."""

_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


ONE_SLOT: Final = (SlotRequest("", 0, EMPTY),)
"""The slots of a request for one action."""


def fill(
    slots: Sequence[SlotRequest],
    contexts: Sequence[Raw],
    candidates: CandidateSet,
    event_id: str,
    distribution_of: DistributionOf,
) -> list[Selection]:
    """Returns one selection a slot, in order, no action twice; `check_enough` has passed them.

    A slot chooses from the actions that no slot before it took and that it does not exclude, in
    the order in which they came. Its draw depends on the event id and on its number.
    """
    taken: set[str] = set()
    selections: list[Selection] = []
    for slot, context in zip(slots, contexts, strict=True):
        left = candidates.without(taken.union(slot.excluded), slot.first)
        distribution = distribution_of(context, left)
        chosen = distribution.draw(sample_seed(event_id, slot.number))
        taken.add(left.actions[chosen].id)
        selections.append(
            Selection(context, distribution, chosen, slot.number, among=candidates, request=slot)
        )
    return selections


def slot_contexts(context: Raw, slots: Sequence[SlotRequest]) -> list[Raw]:
    """Returns what each slot's policy sees: the context, with the slot's features in `slot`.

    Raises:
        RequestError: `features_invalid`: the context has a field `slot`.

    >>> bytes(slot_contexts(Raw(b'{"hour": 9}'), [SlotRequest("top", 0, Raw(b'{"wide": 1}'))])[0])
    b'{"hour":9,"slot":{"wide": 1}}'
    """
    shared = fields_without(context, SLOT, "context")
    return [slot_context(shared, slot.features) for slot in slots]


def check_enough(slots: Sequence[SlotRequest], actions: Sequence[Action]) -> None:
    """Refuses slots of which one might be left with no action.

    What a slot is left with hangs on the draws before it. So it must have more actions than
    there are slots before it that might take one of them: no draw may make a request fail.

    Raises:
        RequestError: `slot_without_actions` (409): there may be more actions at another time.
    """
    if len(slots) <= len(actions) and not any(slot.excluded for slot in slots):
        return
    ids = frozenset(action.id for action in actions)
    open_to = [ids.difference(slot.excluded) for slot in slots]
    for position, own in enumerate(open_to):
        rivals = sum(not own.isdisjoint(other) for other in open_to[:position])
        if len(own) <= rivals:
            raise RequestError(
                409,
                "slot_without_actions",
                f"slot {slots[position].id!r} may take {len(own)} of {len(ids)} actions, and "
                f"{rivals} slots before it may take them first; exclude fewer, or send more",
                target=f"slots[{position}]",
            )


def fields_without(features: Raw, name: str, target: str) -> dict[str, Raw]:
    """Returns the fields of a JSON object.

    Raises:
        RequestError: `features_invalid`: one has that name, or it cannot be read.
    """
    try:
        fields = _fields.decode(features)
    except UNREADABLE as error:
        message = f"{target} cannot be read: {error}"
        raise RequestError(422, "features_invalid", message, target=target) from error
    if name in fields:
        message = f"{target} has a field {name!r}, which a slot's context needs; rename it"
        raise RequestError(422, "features_invalid", message, target=target)
    return fields


KEPT_FOR: Final = 20.0
"""How many times as long as it took to find them weights are kept, whatever policy comes then.

So a policy that is soon replaced costs a twentieth of the time, at most.
"""

PmfOf: TypeAlias = Callable[[Context, tuple[Action, ...]], Pmf]
"""What the policy gives these actions in this context."""


class _Kept(NamedTuple):
    """Weights, whose they are, and until when on the clock they are kept for another."""

    version: str
    sampler: WeightedSampler
    until: float


class DrawnShortlist(NamedTuple):
    """A shortlist: `actions`, in the creatives' order, and how it was drawn."""

    actions: tuple[Action, ...]
    sampler: ShortlistSampler
    kept: _Kept
    sample: WeightedSample
    of: int

    def note(self, creative_id: str) -> Shortlisted:
        """Returns what a decision that chose this creative keeps of the draw."""
        index = self.sampler.index_of(creative_id)
        return Shortlisted(
            size=len(self.actions),
            of=self.of,
            floor=self.sampler.rule.floor,
            weights=self.kept.version,
            among=self.sampler.digest,
            catalogue=self.sampler.catalogue_offset,
            inclusion=self.kept.sampler.inclusion(index, self.sample.until),
        )


class ShortlistSampler:
    """Draws from the live creatives of one placement, as the catalogue has them.

    Args:
        rule: the placement's, of fewer than there are creatives.
        actions: all that are live.
        catalogue_offset: as far as the catalogue had been read when they were.
        clock: seconds, for how long a policy took over all of them.
    """

    def __init__(
        self,
        rule: Shortlist,
        actions: tuple[Action, ...],
        catalogue_offset: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rule = rule
        self.catalogue_offset = catalogue_offset
        self.digest = digest(actions)
        self._actions = actions
        self._clock = clock
        self._index = {action.id: index for index, action in enumerate(actions)}
        self._kept: _Kept | None = None

    def index_of(self, creative_id: str) -> int:
        """Returns where among all that are live the creative is."""
        return self._index[creative_id]

    def size(self, slots: Sequence[SlotRequest]) -> int:
        """Returns how long a shortlist is: so long that no slot can be left without an action."""
        return max(self.rule.size, len(slots) + max(len(slot.excluded) for slot in slots))

    def shortlist(
        self, version: str, pmf_of: PmfOf, actions: tuple[Action, ...], event_id: str, size: int
    ) -> DrawnShortlist | None:
        """Returns a shortlist of these actions, None if they are no more than `size`.

        Args:
            version: of the policy that `pmf_of` asks.
            pmf_of: its pmf; it is asked now and then about all that are live, without a context.
            actions: those of the live creatives that may be shown now, in their order.
            event_id: the decision's.
            size: how many.
        """
        if len(actions) <= size:
            return None
        kept, barred, allowed = self._weighed(version, pmf_of), None, actions
        if len(actions) < len(self._actions):
            barred, allowed = self._barred(actions)
        sample = kept.sampler.draw(seed_of(event_id, kept.version), size, barred)
        chosen = tuple(allowed[index] for index in sample.indices.tolist())
        return DrawnShortlist(chosen, self, kept, sample, len(actions))

    def _weighed(self, version: str, pmf_of: PmfOf) -> _Kept:
        """Returns weights, anew for another version unless that would take too much of the time."""
        kept, now = self._kept, self._clock()
        if kept is None or (kept.version != version and now >= kept.until):
            sampler = WeightedSampler(pmf_of(EMPTY, self._actions), self.rule.floor)
            done = self._clock()
            kept = self._kept = _Kept(version, sampler, done + (done - now) * KEPT_FOR)
        return kept

    def _barred(self, actions: tuple[Action, ...]) -> tuple[NDArray[np.bool_], tuple[Action, ...]]:
        """Returns which are not among the actions, and those that are at the place of theirs."""
        barred = np.ones(len(self._actions), dtype=np.bool_)
        allowed = list(self._actions)
        for action in actions:
            index = self._index[action.id]
            barred[index], allowed[index] = False, action
        return barred, tuple(allowed)
