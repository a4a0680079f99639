"""Slots of one request: each gets an action that no slot before it has.

Every slot is a decision of its own, with the pmf over what was left and the context that its
policy saw, so that each can be audited, learned from and evaluated without the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from bandit.errors import RequestError
from bandit.policy import sample_seed
from bandit.service.candidates import ActionDistribution, CandidateSet, Selection
from streams.events import EMPTY, UNREADABLE, Action

SLOT: Final = "slot"
"""The field of the context that tells a slot's policy which slot it is, and what it is like."""

DistributionOf: TypeAlias = Callable[[Raw, CandidateSet], ActionDistribution]
"""How likely each candidate is in this context."""

_encode = msgspec.json.Encoder().encode
_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


class SlotRequest(NamedTuple):
    """A slot to fill.

    Attributes:
        id: the caller's name for it.
        number: what it has in the log; its draw depends on it.
        features: what the policy sees as the context's field `slot`, as JSON.
        excluded: ids of actions that it does not show.
        first: the action that comes first where it is left.
    """

    id: str
    number: int
    features: Raw
    excluded: Sequence[str] = ()
    first: str | None = None


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
    the order in which they came.

    Args:
        slots: what to fill.
        contexts: what each slot's policy sees.
        candidates: what may be chosen.
        event_id: what the draws depend on, with each slot's number.
        distribution_of: asked once a slot.

    Raises:
        RequestError: from `distribution_of`.
    """
    taken: set[str] = set()
    selections: list[Selection] = []
    for slot, context in zip(slots, contexts, strict=True):
        left = candidates.without(taken.union(slot.excluded), slot.first)
        distribution = distribution_of(context, left)
        chosen = distribution.draw(sample_seed(event_id, slot.number))
        taken.add(left.actions[chosen].id)
        selections.append(Selection(context, distribution, chosen, slot.number))
    return selections


def slot_contexts(context: Raw, slots: Sequence[SlotRequest]) -> list[Raw]:
    """Returns what each slot's policy sees: the context, with the slot's features in `slot`.

    Raises:
        RequestError: `features_invalid`: the context has a field `slot`.

    >>> bytes(slot_contexts(Raw(b'{"hour": 9}'), [SlotRequest("top", 0, Raw(b'{"wide": 1}'))])[0])
    b'{"hour":9,"slot":{"wide": 1}}'
    """
    shared = fields_without(context, SLOT, "context")
    return [Raw(_encode({**shared, SLOT: slot.features})) for slot in slots]


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
