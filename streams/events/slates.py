"""The decisions of one request with several slots: their context and actions are written once.

A slate is one record, and so is each step of its join, as far as its slots take it together.
Readers get single decisions and interactions from `each_decision` and `each_interaction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby, repeat
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from streams.events.decisions import Action, Context, Decision, Interaction, Outcome, Status
from streams.events.fields import (
    EMPTY,
    FALLBACK_VERSION,
    FIRST_VERSION,
    SHORTLIST_VERSION,
    SLATE_VERSION,
    Id,
    JsonObject,
    Slot,
    TimestampMs,
    Version,
)
from streams.events.placement import Shortlisted, TrafficCap

SLOT: Final = "slot"
"""The field of the context that tells a slot's policy which slot it is, and what it is like."""

Runs: TypeAlias = tuple[float | tuple[float, int], ...]
"""A pmf; `[p, n]` stands for n entries of p one after another."""

_encode = msgspec.json.Encoder().encode
_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
MOST_ENTRIES: Final = 100_000
"""How long the pmfs of a slate may be together."""


class SlateSlot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one slot of a slate chose; `slot`, `pmf` and `index` as in `Decision`.

    Its actions are those of the slate that no slot before it took, less the `excluded` ones, with
    `first` in front: both are indices into the slate's. `features` are the context's field `slot`.
    """

    slot: Slot
    pmf: Runs
    index: int
    features: JsonObject | UnsetType = UNSET
    excluded: tuple[int, ...] = ()
    first: int | None = None
    inclusion: float | UnsetType = UNSET


class Slate(Struct, frozen=True, kw_only=True, tag_field="type", tag="slate"):
    """The decisions of one request with several slots, in the order in which they were made.

    The fields are those of `Decision`. The context is without the field `slot`. `lid` names the
    actions of all slots; `shortlist` is that of the first slot, and the others differ from it in
    `inclusion` alone.
    """

    event_id: Id
    placement: str
    timestamp_ms: TimestampMs
    context: Context
    actions: tuple[Action, ...]
    slots: tuple[SlateSlot, ...]
    policy_version: str
    deferred: bool = False
    fallback: Literal[True] | UnsetType = UNSET
    shortlist: Shortlisted | UnsetType = UNSET
    lid: TrafficCap | UnsetType = UNSET
    traceparent: str | None = None
    v: Version = SLATE_VERSION

    def __post_init__(self) -> None:
        if self.v < SLATE_VERSION:
            raise ValueError(f"v is {self.v}; a slate is of schema {SLATE_VERSION} or newer")
        if not self.slots or len({each.slot for each in self.slots}) < len(self.slots):
            raise ValueError("slots must be at least one, each with a number of its own")
        if sum(_length(each.pmf) for each in self.slots) > MOST_ENTRIES:
            raise ValueError(f"the pmfs have more than {MOST_ENTRIES} entries")
        self.decisions()

    def decisions(self) -> tuple[Decision, ...]:
        """Returns the decision of each slot, whole.

        Raises:
            ValueError: a slot's is none.
        """
        fields = slot_fields(self.context)
        taken: set[int] = set()
        made = []
        for each in self.slots:
            left = self._left(each, taken)
            if not 0 <= each.index < len(left):
                raise ValueError(f"index {each.index} is not one of {len(left)} actions")
            taken.add(left[each.index])
            made.append(self._decision(each, fields, tuple(self.actions[n] for n in left)))
        return tuple(made)

    def _left(self, each: SlateSlot, taken: set[int]) -> list[int]:
        barred = taken.union(each.excluded)
        left = [number for number in range(len(self.actions)) if number not in barred]
        if each.first in left:
            left.sort(key=lambda number: number != each.first)
        return left

    def _decision(
        self, each: SlateSlot, fields: dict[str, Raw], actions: tuple[Action, ...]
    ) -> Decision:
        shortlist, lid = self.shortlist, self.lid
        if shortlist and each.inclusion is not UNSET:
            shortlist = replace(shortlist, inclusion=each.inclusion)
        if lid:
            named = tuple(action.id for action in actions if action.id in lid.actions)
            lid = TrafficCap(lid.share, named) if named else UNSET
        return Decision(
            event_id=self.event_id,
            placement=self.placement,
            timestamp_ms=self.timestamp_ms,
            context=slot_context(fields, each.features or EMPTY),
            actions=actions,
            pmf=whole_pmf(each.pmf),
            index=each.index,
            policy_version=self.policy_version,
            slot=each.slot,
            deferred=self.deferred,
            fallback=self.fallback,
            shortlist=shortlist,
            lid=lid,
            traceparent=self.traceparent,
            v=_version(fallback=bool(self.fallback), shortlist=bool(shortlist)),
        )


class SlateReward(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one slot of a slate; the fields are those of `Interaction`."""

    slot: Slot
    reward: float
    previous_reward: float | None = None
    outcomes: tuple[Outcome, ...] = ()


class SlateInteraction(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="slate_interaction"
):
    """Interactions of several slots of one slate, whose sequences follow each other.

    The fields are those of `Interaction`; `sequence` is that of the first of `slots`.
    """

    source: int
    sequence: int
    decision: Slate
    slots: tuple[SlateReward, ...]
    status: Status
    timestamp_ms: int
    v: Version = SLATE_VERSION

    def __post_init__(self) -> None:
        known = {each.slot for each in self.decision.slots}
        if not self.slots or not known.issuperset(each.slot for each in self.slots):
            raise ValueError("slots must be at least one, each a slot of the slate")

    def interactions(self) -> tuple[Interaction, ...]:
        """Returns the interaction of each slot, whole."""
        decisions = {decision.slot: decision for decision in self.decision.decisions()}
        return tuple(
            Interaction(
                source=self.source,
                sequence=sequence,
                decision=decisions[each.slot],
                reward=each.reward,
                status=self.status,
                timestamp_ms=self.timestamp_ms,
                previous_reward=each.previous_reward,
                outcomes=each.outcomes,
            )
            for sequence, each in enumerate(self.slots, self.sequence)
        )


def each_decision(event: object) -> tuple[Decision, ...]:
    """Returns the decisions that an event holds, none if it is another event."""
    match event:
        case Decision():
            return (event,)
        case Slate():
            return event.decisions()
    return ()


def each_interaction(event: object) -> tuple[Interaction, ...]:
    """Returns the interactions that an event holds, none if it is another event."""
    match event:
        case Interaction():
            return (event,)
        case SlateInteraction():
            return event.interactions()
    return ()


def slot_fields(context: Raw) -> dict[str, Raw]:
    """Returns the fields of a context, for `slot_context`.

    Raises:
        ValueError: the context is no JSON object, or has a field `slot`.
    """
    fields = _fields.decode(context)
    if SLOT in fields:
        raise ValueError(f"the context has a field {SLOT!r}, which a slot's context needs")
    return fields


def slot_context(fields: dict[str, Raw], features: Raw) -> Raw:
    """Returns what a slot's policy sees: the context, with the slot's features in `slot`.

    >>> bytes(slot_context({"hour": Raw(b"9")}, Raw(b'{"wide": 1}')))
    b'{"hour":9,"slot":{"wide": 1}}'
    """
    return Raw(_encode({**fields, SLOT: features}))


def runs_of(pmf: Sequence[float]) -> Runs:
    """Returns a pmf with what is alike in a row said once.

    >>> runs_of([0.5, 0.25, 0.25]), whole_pmf((0.5, (0.25, 2)))
    ((0.5, (0.25, 2)), (0.5, 0.25, 0.25))
    """
    counted = ((share, sum(1 for _ in run)) for share, run in groupby(pmf))
    return tuple(share if n == 1 else (share, n) for share, n in counted)


def whole_pmf(runs: Runs) -> tuple[float, ...]:
    """Returns the pmf with each entry by itself."""
    rows = (repeat(*run) if isinstance(run, tuple) else (run,) for run in runs)
    return tuple(chain.from_iterable(rows))


def _version(*, fallback: bool, shortlist: bool) -> int:
    """Returns the schema that a single decision with these fields is of."""
    if shortlist:
        return SHORTLIST_VERSION
    return FALLBACK_VERSION if fallback else FIRST_VERSION


def _length(runs: Runs) -> int:
    return sum(max(run[1], 0) if isinstance(run, tuple) else 1 for run in runs)
