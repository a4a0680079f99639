"""What a join remembers, and its bytes.

A decision is kept as the JSON that it came as: nothing of it is lost, it costs a third of the
memory of the parsed one, and it goes into the state and into interactions as it is.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from streams.errors import CheckpointError
from streams.events import FIRST_VERSION, Decision, Outcome, Status
from streams.join.reward import Terms, earned, in_order

VERSION: Final = 2
OPEN: Final = 0
CLOSED: Final = 1
PAST: Final = 2

Key: TypeAlias = tuple[str, int]
"""An event's id and the slot."""


class Arrival(Struct, array_like=True, gc=False):
    """An outcome and its record; `due_ms` and `ordinal` are of one that waits for a decision."""

    outcome: Outcome
    at_ms: int
    offset: int
    due_ms: int = 0
    ordinal: int = 0


class Entry(Struct, array_like=True, gc=False):
    """A decision: open until its window ends, closed until the longest does, then just known.

    `timestamp_ms` is what it says, `arrived_ms` what its record says.
    `terms` is an index into those of the state, `told` the reward of its last interaction;
    `awaited` means that it is deferred and not activated yet. Equal dues fall due in the order
    of `ordinal`. What is past keeps neither its JSON nor its outcomes.
    """

    event_id: str
    slot: int
    ordinal: int
    terms: int
    timestamp_ms: int
    arrived_ms: int
    due_ms: int
    awaited: bool
    json: bytes
    phase: int = OPEN
    told: float | None = None
    arrivals: dict[str, Arrival] | None = None


class State(Struct, array_like=True):
    """All of it; `early` are the outcomes that came before their decision."""

    source: int
    time_ms: int
    sequence: int
    ordinal: int
    terms: list[Terms]
    entries: list[Entry]
    early: list[Arrival]
    v: int = VERSION


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


def pack(state: State) -> bytes:
    """Returns the state as msgpack: equal for equal states."""
    return _encode(state)


def unpack(data: bytes) -> State:
    """Returns the state that `data` holds.

    Raises:
        CheckpointError: the bytes are no such state, or one of another version.
    """
    try:
        state = _decode(data)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"not the state of a join: {error}") from error
    if state.v != VERSION:
        raise CheckpointError(f"the state of a join of version {state.v}; expected {VERSION}")
    return state


def key_of(arrival: Arrival) -> Key:
    """Returns the event and slot that the outcome is of."""
    return arrival.outcome.event_id, arrival.outcome.slot


def reckon(entry: Entry, terms: Terms) -> tuple[tuple[Outcome, ...], float | None]:
    """Returns the decision's outcomes in order, and what they earn; None if none counts."""
    if not entry.arrivals:
        return (), None
    outcomes = in_order(arrival.outcome for arrival in entry.arrivals.values())
    return outcomes, earned(terms, outcomes)


def or_default(reward: float | None, terms: Terms) -> float:
    """Returns the reward of a decision that earned this, or nothing that counts."""
    return terms.default if reward is None else reward


class Joined(Struct, frozen=True, tag_field="type", tag="interaction", gc=False):
    """An interaction whose decision is still the JSON that it came as."""

    source: int
    sequence: int
    decision: Raw
    reward: float
    status: Status
    timestamp_ms: int
    previous_reward: float | None
    outcomes: tuple[Outcome, ...]
    v: int = FIRST_VERSION


class Emitted(Struct, frozen=True, gc=False):
    """An interaction, its placement, and whether nothing that counts had come by then."""

    placement: str
    interaction: Joined
    defaulted: bool


class Refusal(Struct, frozen=True, gc=False):
    """A record that the join could not use, and why; `code` is stable.

    Codes: `late`, `orphan`, `before_decision`, `not_activated`, `reward_out_of_range`,
    `duplicate_outcome`; `duplicate_decision`, `repeated_decision`, `unknown_placement`.
    """

    code: str
    error: str
    topic: str
    offset: int
    event: Decision | Outcome
