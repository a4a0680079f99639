"""The events that the log holds, and their JSON.

Everything that copyloop knows is a fold over these. Context and features stay raw JSON
bytes (`msgspec.Raw`), so that an event is written, joined and replayed byte for byte, and
parsed only by the policy that reads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from streams.errors import SchemaError, SchemaVersionError
from streams.events.access import Act, ApiKey, Assignment, Flag, Protection
from streams.events.creatives import AdDetails as AdDetails
from streams.events.creatives import Creative as Creative
from streams.events.creatives import CreativeStatus as CreativeStatus
from streams.events.creatives import Generation as Generation
from streams.events.creatives import GeneratorVersion
from streams.events.creatives import Lineage as Lineage
from streams.events.fields import EMPTY as EMPTY
from streams.events.fields import FALLBACK_VERSION as FALLBACK_VERSION
from streams.events.fields import FIRST_VERSION as FIRST_VERSION
from streams.events.fields import MAX_ID_LENGTH as MAX_ID_LENGTH
from streams.events.fields import SCHEMA_VERSION as SCHEMA_VERSION
from streams.events.fields import SHORTLIST_VERSION as SHORTLIST_VERSION
from streams.events.fields import Id, JsonObject, Version, check_id, doc
from streams.events.fields import Slot as Slot
from streams.events.fields import TimestampMs as TimestampMs
from streams.events.placement import (
    Caps,
    Objective,
    Rotation,
    Safety,
    Seen,
    Shortlist,
    Shortlisted,
    Shown,
    TrafficCap,
    TrialResult,
)

DECISIONS: Final = "decisions"
OUTCOMES: Final = "outcomes"
INTERACTIONS: Final = "interactions"
POLICIES: Final = "policies"
CATALOGUE: Final = "catalogue"
DEAD_LETTER: Final = "dead-letter"
ACCESS: Final = "access"
ACTS: Final = "acts"
ASSIGNMENTS: Final = "assignments"
TOPICS: Final = (
    DECISIONS,
    OUTCOMES,
    INTERACTIONS,
    POLICIES,
    CATALOGUE,
    DEAD_LETTER,
    ACCESS,
    ACTS,
    ASSIGNMENTS,
)

ACTIVATION: Final = "activation"
"""The kind of the outcome that activates a deferred decision; with slot 0, the whole event."""
SLOT_ACTIVATION: Final = "slot_activation"
"""The kind that activates the decision of its slot alone."""
REWARD: Final = "reward"
"""The kind of the outcome whose value is a reward already, and so must lie in its range."""

PMF_TOLERANCE: Final = 1e-6
LONGEST_WINDOW_SECONDS: Final = 366 * 86_400.0

Context: TypeAlias = JsonObject
"""A context as it came."""


class Action(Struct, frozen=True):
    """A creative as the bandit sees it: `features` are the bytes of one JSON object."""

    id: str
    features: JsonObject = msgspec.field(default_factory=lambda: EMPTY)


class Decision(Struct, frozen=True, kw_only=True, tag_field="type", tag="decision"):
    """One choice: what was known, what could be chosen, how likely each was, what was chosen.

    `pmf` has one entry an action; `index` points at the chosen one. `(event_id, slot)` is
    unique. A `deferred` decision counts only once an activation arrives. A `fallback` is what was
    answered in place of the policy, which was not asked in time: it is joined with its outcomes
    like any other, but nothing is learned or estimated from it. `shortlist` says how the actions
    were drawn, where they are not all that might have been shown. `lid` says what was done to the
    policy's pmf before the draw: `pmf` is what was drawn from, so only an audit needs to know.
    """

    event_id: Id
    placement: str
    timestamp_ms: TimestampMs
    context: Context
    actions: tuple[Action, ...]
    pmf: tuple[float, ...]
    index: int
    policy_version: str
    slot: Slot = 0
    deferred: bool = False
    fallback: Literal[True] | UnsetType = UNSET
    shortlist: Shortlisted | UnsetType = UNSET
    lid: TrafficCap | UnsetType = UNSET
    traceparent: str | None = None
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("event_id", self.event_id)
        if not 0 <= self.index < len(self.actions):
            raise ValueError(f"index {self.index} is not one of {len(self.actions)} actions")
        check_pmf(self.pmf, len(self.actions))
        if self.pmf[self.index] <= 0.0:
            raise ValueError(f"propensity of the chosen action is {self.pmf[self.index]}; above 0")
        if self.fallback and self.v < FALLBACK_VERSION:
            raise ValueError(f"v is {self.v}; a fallback is of schema {FALLBACK_VERSION} or newer")
        if self.shortlist and self.v < SHORTLIST_VERSION:
            raise ValueError(
                f"v is {self.v}; a shortlist is of schema {SHORTLIST_VERSION} or newer"
            )

    @property
    def propensity(self) -> float:
        """The logged probability of the chosen action."""
        return self.pmf[self.index]

    @property
    def action(self) -> Action:
        """The chosen action."""
        return self.actions[self.index]


class Outcome(Struct, frozen=True, kw_only=True, tag_field="type", tag="outcome"):
    """Something that happened after a decision: an impression, a click, a conversion.

    `outcome_id` is what duplicates are told by; `timestamp_ms` is when it happened, which may
    be long before it arrives.
    """

    event_id: Id
    outcome_id: Id
    kind: str
    timestamp_ms: TimestampMs
    value: float = 1.0
    slot: Slot = 0
    traceparent: str | None = None
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("event_id", self.event_id)
        check_id("outcome_id", self.outcome_id)
        if not math.isfinite(self.value):
            raise ValueError(f"value is {self.value}; a finite number")


class Tick(Struct, frozen=True, kw_only=True, tag_field="type", tag="tick"):
    """Time that passed in an idle partition; its record's timestamp is what counts."""

    v: Version = FIRST_VERSION


Status: TypeAlias = Literal["closed", "provisional", "corrected"]


class Interaction(Struct, frozen=True, kw_only=True, tag_field="type", tag="interaction"):
    """A decision with its reward.

    `source` is the joined partition and `sequence` counts its interactions from 0, without a
    gap, in an order that the log alone determines: an interaction whose sequence was already
    seen from its source is a duplicate. `previous_reward` is what an earlier interaction of the
    same decision said, None on the first.
    """

    source: int
    sequence: int
    decision: Decision
    reward: float
    status: Status
    timestamp_ms: int
    previous_reward: float | None = None
    outcomes: tuple[Outcome, ...] = ()
    v: Version = FIRST_VERSION

    @property
    def id(self) -> str:
        """`source-sequence`, unique in a log."""
        return f"{self.source}-{self.sequence}"


class RewardKind(Struct, frozen=True, kw_only=True):
    """How outcomes of one kind count: `weight` x aggregation of their values.

    A window that is longer than the placement's lets an outcome that comes after the decision was
    closed correct it.
    """

    weight: float = 1.0
    aggregation: Literal["sum", "max", "first", "last", "mean"] = "sum"
    window_seconds: Annotated[
        float | None, doc("The kind's own window; the placement's if left out.")
    ] = None
    cap: Annotated[float | UnsetType, doc("What its aggregate counts as, at most.")] = UNSET


KindName: TypeAlias = Annotated[str, Meta(extra={"min_length": 1, "max_length": 64})]
"""A kind of outcome; what is `extra` holds for requests, and not for the log."""


def _default_kinds() -> dict[str, RewardKind]:
    return {"click": RewardKind(aggregation="max"), REWARD: RewardKind(aggregation="sum")}


class RewardRule(Struct, frozen=True, kw_only=True):
    """What a placement rewards, and how long it waits.

    The reward is the sum over kinds, clipped to [`minimum`, `maximum`], or `default`.
    """

    kinds: dict[KindName, RewardKind] = msgspec.field(default_factory=_default_kinds)
    default: Annotated[float, doc("The reward if nothing came.")] = 0.0
    window_seconds: Annotated[float, doc("From the decision.")] = 600.0
    grace_seconds: Annotated[float, doc("How late an outcome may arrive and still count.")] = 2.0
    minimum: float = 0.0
    maximum: float = 1.0
    objective: Annotated[
        Objective | UnsetType, doc("What it is for, in place of `kinds`, which follow from it.")
    ] = UNSET

    def __post_init__(self) -> None:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is outside [{self.minimum}, {self.maximum}]")
        if not 0 < self.window_seconds <= LONGEST_WINDOW_SECONDS:
            raise ValueError(f"window_seconds is {self.window_seconds}; above 0, at most a year")
        if not 0 <= self.grace_seconds <= LONGEST_WINDOW_SECONDS:
            raise ValueError(f"grace_seconds is {self.grace_seconds}; 0 to a year")
        for name, kind in self.kinds.items():
            window_seconds = kind.window_seconds
            if window_seconds is not None and not 0 < window_seconds <= LONGEST_WINDOW_SECONDS:
                raise ValueError(
                    f"window_seconds of kind {name!r} is {window_seconds}; above 0, at most a year"
                )


PolicySpec: TypeAlias = dict[str, object]
"""A policy's name and parameters, as settings hold them: {"name": "thompson", ...}."""


def _default_policy() -> PolicySpec:
    # Of a placement in the log that names none. What is written today always names one.
    return {"name": "thompson"}


class Placement(Struct, frozen=True, kw_only=True, tag_field="type", tag="placement"):
    """A named spot where one creative is chosen, with what it rewards and how it learns.

    `caps` hold for each of its creatives that has none of its own. `challengers` learn beside
    the policy, by name, without being shown; `safety` says what may come of that by itself.
    `why` says what made a change of policy; `protection` what is kept from the log, and `flag`
    how it answers as a feature flag. With `review`, what the generator writes is shown only once
    a person has approved it. `shortlist` says how many of many creatives a decision chooses from,
    `unit` where contexts say whose decisions depend on each other, such as `context.user`.
    `attributes` are what others keep with it, by who that is;
    nothing here reads them.
    """

    name: Id
    policy: PolicySpec = msgspec.field(default_factory=_default_policy)
    reward: RewardRule = msgspec.field(default_factory=RewardRule)
    learn: Literal["window", "realtime"] = "realtime"
    deleted: bool = False
    caps: Caps | UnsetType = UNSET
    seen: Seen | UnsetType = UNSET
    challengers: dict[str, PolicySpec] | UnsetType = UNSET
    safety: Safety | UnsetType = UNSET
    why: str | UnsetType = UNSET
    protection: Protection | UnsetType = UNSET
    rotation: Rotation | UnsetType = UNSET
    attributes: dict[str, JsonObject] | UnsetType = UNSET
    flag: Flag | UnsetType = UNSET
    review: bool | UnsetType = UNSET
    shortlist: Shortlist | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("name", self.name)
        for who, kept in (self.attributes or {}).items():
            if not bytes(kept).lstrip().startswith(b"{"):
                raise ValueError(f"attributes of {who!r} are {bytes(kept)[:30]!r}, not an object")


class PolicySnapshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="policy"):
    """A placement's policy after folding its interactions up to `offset` (exclusive).

    `version` is the hash of `state` with the offset; `state` is what `load_policy` reads.
    `shown` says how often each creative was shown until then, where any has caps; `trials` how
    the placement's challengers do beside it.
    """

    placement: str
    version: str
    spec: PolicySpec
    partition: int
    offset: int
    state: bytes
    timestamp_ms: int
    shown: dict[str, Shown] | UnsetType = UNSET
    trials: dict[str, TrialResult] | UnsetType = UNSET
    v: Version = FIRST_VERSION


Catalogued: TypeAlias = Placement | Creative | Generation | GeneratorVersion
"""What the catalogue topic holds."""
Event: TypeAlias = (
    Decision
    | Outcome
    | Tick
    | Interaction
    | Catalogued
    | PolicySnapshot
    | ApiKey
    | Act
    | Assignment
)

# Deep nesting ends in a RecursionError, numbers that cannot be summed in an OverflowError.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class _Versioned(Struct):
    v: int = FIRST_VERSION


_version_decoder = msgspec.json.Decoder(_Versioned)


def encode(event: Event) -> bytes:
    """Returns the event as JSON.

    >>> encode(Outcome(event_id="e", outcome_id="o", kind="click", timestamp_ms=1))[:33]
    b'{"type":"outcome","event_id":"e",'
    """
    return _encoder.encode(event)


def decode(data: bytes | memoryview) -> Event:
    """Returns the event that `data` holds.

    Raises:
        SchemaVersionError: it was written by a newer schema than this one.
        SchemaError: it is not JSON, or not one of our events; the message says where.
    """
    try:
        event = _decoder.decode(data)
    except UNREADABLE as error:
        _check_version(data)
        raise SchemaError(str(error)) from error
    if event.v > SCHEMA_VERSION:
        _check_version(data)
    return event


def interaction_in(data: bytes | memoryview) -> Interaction | None:
    """Returns the interaction that `data` holds; None if it holds none, which the learner tells.

    Raises:
        SchemaVersionError: it was written by a newer schema than this one.
    """
    try:
        event = decode(data)
    except SchemaError:
        return None
    return event if isinstance(event, Interaction) else None


def check_pmf(pmf: Sequence[float], n_actions: int) -> None:
    """Refuses what is no pmf over so many actions.

    Raises:
        ValueError: not one entry an action, a negative one, or a sum that is not 1.
    """
    if len(pmf) != n_actions:
        raise ValueError(f"pmf has {len(pmf)} entries for {n_actions} actions; one each")
    if min(pmf) < 0.0 or not abs(math.fsum(pmf) - 1.0) <= PMF_TOLERANCE:
        raise ValueError("pmf must be non-negative and sum to 1")


def _check_version(data: bytes | memoryview) -> None:
    try:
        version = _version_decoder.decode(data).v
    except UNREADABLE:
        return
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"schema version {version} is newer than {SCHEMA_VERSION}; upgrade this copyloop"
        )
