"""Several slots of one request: each gets an action that no slot before it has.

Every slot is a decision of its own, with the pmf over what was left and the context that its
policy saw, so that each can be audited, learned from and evaluated without the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from bandit.errors import RequestError
from bandit.policy import Pmf, sample, sample_seed
from bandit.service.requests import MAX_SLOTS, RankSlot, check_features
from streams.events import UNREADABLE, Action

SLOT: Final = "slot"
"""The field of the context that tells a slot's policy which slot it is, and what it is like."""
ID: Final = "id"

PmfOf: TypeAlias = Callable[[Raw, tuple[Action, ...]], Pmf]
"""What the policy gives these actions in this context."""

_encode = msgspec.json.Encoder().encode
_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


class Choice(NamedTuple):
    """What one slot chose from: `pmf` has one entry an action, `chosen` is the index drawn."""

    context: Raw
    actions: tuple[Action, ...]
    pmf: tuple[float, ...]
    chosen: int


def choose(context: Raw, actions: tuple[Action, ...], seed: str, pmf_of: PmfOf) -> Choice:
    """Returns the draw that the seed gives from the policy's pmf over these actions."""
    pmf = tuple(pmf_of(context, actions).tolist())
    return Choice(context, actions, pmf, sample(pmf, seed))


def fill(
    slots: Sequence[RankSlot],
    context: Raw,
    actions: tuple[Action, ...],
    event_id: str,
    pmf_of: PmfOf,
) -> list[Choice]:
    """Returns one choice a slot, in order, no action twice; `check_slots` must have passed them.

    A slot chooses from the actions that no slot before it took and that it does not exclude, in
    the order in which they came, seen in its `slot_contexts`.

    Raises:
        RequestError: `features_invalid`, from `slot_contexts` or `pmf_of`.
    """
    taken: set[str] = set()
    choices: list[Choice] = []
    for number, (slot, seen) in enumerate(zip(slots, slot_contexts(context, slots), strict=True)):
        barred = taken.union(slot.excluded)
        left = tuple(action for action in actions if action.id not in barred)
        # Policies know the live creatives again by the tuple that holds them.
        left = left if len(left) < len(actions) else actions
        choice = choose(seen, left, sample_seed(event_id, number), pmf_of)
        taken.add(left[choice.chosen].id)
        choices.append(choice)
    return choices


def slot_contexts(context: Raw, slots: Sequence[RankSlot]) -> list[Raw]:
    """Returns what each slot's policy sees: the context, with the slot's id and features in `slot`.

    Raises:
        RequestError: `features_invalid`: the context has a field `slot`, or a slot's features
            one named `id`.

    >>> bytes(slot_contexts(Raw(b'{"hour": 9}'), [RankSlot("top", Raw(b'{"wide": 1}'))])[0])
    b'{"hour":9,"slot":{"id":"top","wide":1}}'
    """
    shared = _without(context, SLOT, "context")
    merged: list[Raw] = []
    for position, slot in enumerate(slots):
        own = _without(slot.features, ID, f"slots[{position}].features")
        merged.append(Raw(_encode({**shared, SLOT: {ID: slot.id, **own}})))
    return merged


def check_slots(slots: Sequence[RankSlot], actions: Sequence[Action]) -> None:
    """Refuses slots that are too many, cannot be told apart, or might be left with no action.

    What a slot is left with hangs on the draws before it. So it must have more actions than
    there are slots before it that might take one of them: no draw may make a request fail.

    Raises:
        RequestError: `slots_count_invalid`, `duplicate_slot_id` or `features_invalid`, whatever
            the actions; `slot_without_actions` (409), since they may be more at another time.
    """
    if not 0 < len(slots) <= MAX_SLOTS:
        message = f"{len(slots)} slots; 1 to {MAX_SLOTS}"
        raise RequestError(422, "slots_count_invalid", message, target="slots")
    twice, times = Counter(slot.id for slot in slots).most_common(1)[0]
    if times > 1:
        message = f"slot id {twice!r} comes {times} times; ids are unique within a request"
        raise RequestError(422, "duplicate_slot_id", message, target="slots")
    for position, slot in enumerate(slots):
        check_features(slot.features, f"slots[{position}].features")
    if len(slots) > len(actions) or any(slot.excluded for slot in slots):
        _check_enough(slots, frozenset(action.id for action in actions))


def _check_enough(slots: Sequence[RankSlot], ids: frozenset[str]) -> None:
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


def _without(features: Raw, name: str, target: str) -> dict[str, Raw]:
    """Returns the fields of the object, among which there must be none of that name."""
    try:
        fields = _fields.decode(features)
    except UNREADABLE as error:
        message = f"{target} cannot be read: {error}"
        raise RequestError(422, "features_invalid", message, target=target) from error
    if name in fields:
        message = f"{target} has a field {name!r}, which a slot's context needs; rename it"
        raise RequestError(422, "features_invalid", message, target=target)
    return fields
