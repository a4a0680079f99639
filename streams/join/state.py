"""What a join works with: reward terms, what outcomes earn, and the state with its bytes.

The reward is a function of the set of outcomes that count, in whatever order they came. A
decision is kept as the JSON that it came as, which takes a third of the parsed one's memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from streams.errors import CheckpointError
from streams.events import (
    ACTIVATION,
    FIRST_VERSION,
    REWARD,
    SLATE_VERSION,
    SLOT_ACTIVATION,
    Decision,
    Outcome,
    Placement,
    RewardKind,
    Slate,
    SlateReward,
    Status,
    encode,
)


class KindTerms(Struct, frozen=True, array_like=True):
    """How one kind counts, and until how many milliseconds after the decision."""

    weight: float
    aggregation: str
    window_ms: int
    cap: float = math.inf


UNLIMITED: Final = 2**53
"""How often a decision is corrected where its placement does not say; all logs before did so."""


class Terms(Struct, frozen=True, array_like=True):
    """The rules that hold for a decision from its start: its placement's, in milliseconds.

    `longest_ms` is the longest of all windows, within which the reward may still change.
    `corrections` is how often an event is corrected while it is open, and as often after that.
    """

    placement: str
    realtime: bool
    default: float
    minimum: float
    maximum: float
    window_ms: int
    grace_ms: int
    longest_ms: int
    kinds: dict[str, KindTerms]
    corrections: int = UNLIMITED

    def window_of(self, kind: str) -> int:
        """Returns the window of a kind: the placement's for an activation, or an unknown kind."""
        own = self.kinds.get(kind)
        if own is None or kind in (ACTIVATION, SLOT_ACTIVATION):
            return self.window_ms
        return own.window_ms


def terms_of(placement: Placement) -> Terms:
    """Returns the terms on which the placement's decisions are joined."""
    rule = placement.reward
    window_ms = round(rule.window_seconds * 1000)
    kinds = {name: _kind_terms(kind, window_ms) for name, kind in rule.kinds.items()}
    return Terms(
        placement=placement.name,
        realtime=placement.learn == "realtime",
        default=rule.default,
        minimum=rule.minimum,
        maximum=rule.maximum,
        window_ms=window_ms,
        grace_ms=round(rule.grace_seconds * 1000),
        longest_ms=max([window_ms, *(kind.window_ms for kind in kinds.values())]),
        kinds=kinds,
        corrections=UNLIMITED if rule.corrections is UNSET else rule.corrections,
    )


def in_order(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Returns the outcomes by timestamp, those of one millisecond by their id."""
    return tuple(sorted(outcomes, key=lambda outcome: (outcome.timestamp_ms, outcome.outcome_id)))


def earned(terms: Terms, outcomes: tuple[Outcome, ...]) -> float | None:
    """Returns the reward that the outcomes, in order, earn; None where none of them counts.

    Per kind, the values are aggregated, capped and weighted; the sum over the kinds, in the order
    of the rule, is clipped to [`minimum`, `maximum`]. Sums run left to right.
    """
    total: float | None = None
    for name, kind in terms.kinds.items():
        values = [outcome.value for outcome in outcomes if outcome.kind == name]
        if values:
            worth = min(kind.cap, _aggregate(kind.aggregation, values))
            total = (total or 0.0) + kind.weight * worth
    if total is None:
        return None
    # Infinities of both signs add up to nan, which this order of comparing makes the maximum.
    return max(terms.minimum, min(terms.maximum, total))


def _aggregate(aggregation: str, values: list[float]) -> float:
    match aggregation:
        case "max":
            return max(values)
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "mean":
            return sum(values) / len(values)
        case _:
            return sum(values)


def _kind_terms(kind: RewardKind, window_ms: int) -> KindTerms:
    if kind.window_seconds is not None:
        window_ms = round(kind.window_seconds * 1000)
    cap = math.inf if kind.cap is UNSET else kind.cap
    return KindTerms(kind.weight, kind.aggregation, window_ms, cap)


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

    Where `head` is not negative, `json` is a slate's, and `head` the number of its first slot,
    whose entry counts the event's `corrections`. `withheld` means that an outcome waits to be
    told of, since there were as many corrections as there may be.
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
    head: int = -1
    corrections: int = 0
    withheld: bool = False


class State(Struct, array_like=True):
    """All of it; `early` are the outcomes that came before their decision.

    `layouts` are the numbers of partitions that there were, by which events are placed.
    """

    source: int
    time_ms: int
    sequence: int
    ordinal: int
    terms: list[Terms]
    entries: list[Entry]
    early: list[Arrival]
    v: int = VERSION
    layouts: list[int] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


def pack(state: State) -> bytes:
    """Returns the state as bytes; a slate is in them once."""
    entries = [
        replace(entry, json=b"") if 0 <= entry.head != entry.slot else entry
        for entry in state.entries
    ]
    return _encode(replace(state, entries=entries))


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
    heads = {(entry.event_id, entry.slot): entry.json for entry in state.entries if entry.head >= 0}
    for entry in state.entries:
        if entry.head >= 0 and entry.phase != PAST:
            entry.json = heads[entry.event_id, entry.head]
    return state


DUPLICATE: Final = "an outcome of that id came before"
NOT_ACTIVATED: Final = "its decision was deferred and never activated"


def objection(entry: Entry, arrival: Arrival, terms: Terms) -> tuple[str, str] | None:
    """Returns the code and the words of why an outcome does not count, None if it does."""
    outcome = arrival.outcome
    window_ms, grace_ms = terms.window_of(outcome.kind), terms.grace_ms
    # A time that is later than its record is of a clock that is ahead.
    since_ms = min(outcome.timestamp_ms, arrival.at_ms) - min(entry.timestamp_ms, entry.arrived_ms)
    if entry.arrivals is not None and outcome.outcome_id in entry.arrivals:
        return "duplicate_outcome", DUPLICATE
    # Two clocks disagree by a little, so what seems to come before may have come after.
    if since_ms < -grace_ms:
        error = f"it happened {-since_ms} ms before its decision, with {grace_ms} ms of grace"
        return "before_decision", error
    if since_ms > window_ms:
        return "late", f"it happened {since_ms} ms after its decision, beyond {window_ms} ms"
    waited_ms = arrival.at_ms - entry.arrived_ms
    if waited_ms >= window_ms + grace_ms:
        error = f"it arrived {waited_ms} ms after its decision, beyond {window_ms + grace_ms} ms"
        return "late", error
    if entry.awaited and entry.phase != OPEN:
        return "not_activated", NOT_ACTIVATED
    if outcome.kind == REWARD and not terms.minimum <= outcome.value <= terms.maximum:
        error = f"reward {outcome.value} is outside [{terms.minimum}, {terms.maximum}]"
        return "reward_out_of_range", error
    return None


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
    """An interaction whose decision is still the JSON that it came as, which may be a slate."""

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
    """An interaction, its placement, and whether nothing that counts had come by then.

    `of_slate` is the event's id where the interaction has a slate as its decision, None else.
    """

    placement: str
    interaction: Joined
    defaulted: bool
    slot: int = 0
    of_slate: str | None = None


class JoinedSlate(Struct, frozen=True, tag_field="type", tag="slate_interaction", gc=False):
    """A `SlateInteraction` whose slate is still the JSON that it came as."""

    source: int
    sequence: int
    decision: Raw
    slots: list[SlateReward]
    status: Status
    timestamp_ms: int
    v: int = SLATE_VERSION


def together(run: Sequence[Emitted]) -> Joined | JoinedSlate:
    """Returns what one record says of interactions of a slate, or of one interaction.

    One of a slate's by itself has its slot's decision alone.
    """
    first = run[0].interaction
    if len(run) > 1:
        slots = [
            SlateReward(
                slot=each.slot,
                reward=each.interaction.reward,
                previous_reward=each.interaction.previous_reward,
                outcomes=each.interaction.outcomes,
            )
            for each in run
        ]
        return JoinedSlate(
            first.source, first.sequence, first.decision, slots, first.status, first.timestamp_ms
        )
    if run[0].of_slate is None:
        return first
    decisions = _slates.decode(first.decision).decisions()
    [own] = [decision for decision in decisions if decision.slot == run[0].slot]
    return replace(first, decision=Raw(encode(own)))


_slates: Final = msgspec.json.Decoder(Slate)


UNKNOWN_KIND: Final = "unknown_kind"


def worthless(kind: str, placement: str, kinds: Iterable[str]) -> str:
    """Returns why an outcome of this kind changes no reward."""
    rule = ", ".join(kinds) or "none"
    return (
        f"the reward rule of placement {placement!r} has no kind {kind!r}, so it is worth nothing; "
        f"it has {rule}"
    )


class Refusal(Struct, frozen=True, gc=False):
    """A record that the join could not use, and why; `code` is stable.

    Codes: `late`, `orphan`, `before_decision`, `not_activated`, `reward_out_of_range`,
    `duplicate_outcome`, `unknown_kind`; `duplicate_decision`, `repeated_decision`,
    `unknown_placement`.
    """

    code: str
    error: str
    topic: str
    offset: int
    event: Decision | Slate | Outcome
