"""The events that the log holds, and their JSON.

Everything that copyloop knows is a fold over these. Context and features stay raw JSON
bytes (`msgspec.Raw`), so that an event is written, joined and replayed byte for byte, and
parsed only by the policy that reads it.
"""

from __future__ import annotations

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
from streams.events.decisions import Action as Action
from streams.events.decisions import Context as Context
from streams.events.decisions import Decision as Decision
from streams.events.decisions import Interaction as Interaction
from streams.events.decisions import Outcome as Outcome
from streams.events.decisions import Status as Status
from streams.events.decisions import check_pmf as check_pmf
from streams.events.fields import EMPTY as EMPTY
from streams.events.fields import FALLBACK_VERSION as FALLBACK_VERSION
from streams.events.fields import FIRST_VERSION as FIRST_VERSION
from streams.events.fields import MAX_ID_LENGTH as MAX_ID_LENGTH
from streams.events.fields import POSTED_VERSION as POSTED_VERSION
from streams.events.fields import SCHEMA_VERSION as SCHEMA_VERSION
from streams.events.fields import SHORTLIST_VERSION as SHORTLIST_VERSION
from streams.events.fields import SLATE_VERSION as SLATE_VERSION
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
    Shown,
    TrialResult,
)
from streams.events.slates import Slate as Slate
from streams.events.slates import SlateInteraction as SlateInteraction
from streams.events.slates import SlateReward as SlateReward
from streams.events.slates import SlateSlot as SlateSlot
from streams.events.slates import each_decision as each_decision
from streams.events.slates import each_interaction as each_interaction

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
IMPRESSION: Final = "impression"
"""The kind that says that the creative was seen, which no rule needs to name."""
UNREWARDED: Final = (ACTIVATION, SLOT_ACTIVATION, IMPRESSION)
"""The kinds that mean something without a reward."""
REWARD: Final = "reward"
"""The kind of the outcome whose value is a reward already, and so must lie in its range."""

LONGEST_WINDOW_SECONDS: Final = 366 * 86_400.0


class Tick(Struct, frozen=True, kw_only=True, tag_field="type", tag="tick"):
    """Time that passed in an idle partition; its record's timestamp is what counts."""

    v: Version = FIRST_VERSION


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


Corrections: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
CORRECTIONS: Final = 8
"""What a new placement gets that does not say."""


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
    corrections: Annotated[
        Corrections | UnsetType,
        doc(
            "How often a decision's interaction is written again while its window is open, and "
            "as often after that; what comes later is told at the end. 8 for a new placement."
        ),
    ] = UNSET
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


Posted: TypeAlias = Literal["live", "review", "screened"]
"""What happens to posted creatives: they come as they are, wait for a person, or pass the gates."""


class Placement(Struct, frozen=True, kw_only=True, tag_field="type", tag="placement"):
    """A named spot where one creative is chosen, with what it rewards and how it learns.

    `caps` hold for each of its creatives that has none of its own. `challengers` learn beside
    the policy, by name, without being shown; `safety` says what may come of that by itself.
    `why` says what made a change of policy; `protection` what is kept from the log, and `flag`
    how it answers as a feature flag. With `review`, what the generator writes is shown only once
    a person has approved it; `posted` says the same of what comes in by the API. `shortlist` says
    how many of many creatives a decision chooses from, `unit` where contexts say whose decisions
    depend on each other, such as `context.user`. `attributes` are what others keep with it, by who
    that is;
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
    posted: Posted | UnsetType = UNSET
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
    | Slate
    | Outcome
    | Tick
    | Interaction
    | SlateInteraction
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


def interactions_in(data: bytes | memoryview) -> tuple[Interaction, ...]:
    """Returns the interactions that `data` holds; none if there are none, which the learner tells.

    Raises:
        SchemaVersionError: it was written by a newer schema than this one.
    """
    try:
        return each_interaction(decode(data))
    except SchemaError:
        return ()


def _check_version(data: bytes | memoryview) -> None:
    try:
        version = _version_decoder.decode(data).v
    except UNREADABLE:
        return
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"schema version {version} is newer than {SCHEMA_VERSION}; upgrade this copyloop"
        )
