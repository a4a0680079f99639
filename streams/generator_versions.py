"""Versions of the generator in the log: what was taught, how it was judged, and what became of it.

A version never changes; its status does, and every change says why and by whom.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from streams.fields import EMPTY, FIRST_VERSION, Id, JsonObject, TimestampMs, Version, check_id, doc

VersionStatus: TypeAlias = Literal[
    "candidate", "rejected", "canary", "live", "retired", "rolled_back"
]
TRIAL_DECISIONS: Final = 1_000_000
"""After how many decisions a trial that says nothing ends, unless told otherwise."""
CANARY_SHARE: Final = 0.1
"""What the creatives of a canary get together of a placement's traffic, unless told otherwise."""


class GateRow(Struct, frozen=True, kw_only=True):
    """One rule of the gate: what was measured, what was asked for, and in words why.

    `value` and `bound` are None where a rule was not counted, which `why` says.
    """

    rule: str
    value: float | None
    bound: Annotated[float | None, doc("What `value` was held against.")]
    passed: bool
    why: str


class Canary(Struct, frozen=True, kw_only=True):
    """How a version's creatives do beside the champion's, in the same placements.

    What either earns a decision is from `low` to `high` at all times at once, with 95 %; the
    bounds are None before the first of the `n` decisions.
    """

    since_ms: TimestampMs
    share: Annotated[
        float,
        Meta(
            gt=0.0,
            le=1.0,
            description="The most of a placement's traffic that they get together.",
        ),
    ] = CANARY_SHARE
    n: Annotated[int, doc("Decisions in which creatives of both could be chosen.")] = 0
    low: float | None = None
    high: float | None = None
    champion_low: float | None = None
    champion_high: float | None = None
    gain_low: Annotated[float | None, doc("What its creatives earn more than the champion's.")] = (
        None
    )
    gain_high: float | None = None


class GeneratorVersion(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="generator_version"
):
    """A version of the generator, and how far it has come.

    The one that is `live` is the champion; where none is, the bare model writes. A creative says
    in its lineage's `adapter` which version wrote it.
    """

    id: Id
    status: VersionStatus
    timestamp_ms: Annotated[TimestampMs, doc("Since when it has this status.")]
    parent: Annotated[str | None, doc("The champion when it was made; null: the bare model.")] = (
        None
    )
    replaces: Annotated[str | None, doc("The champion before it; a rollback goes back there.")] = (
        None
    )
    manifest: Annotated[
        JsonObject, doc("How it was trained; of one that is no JSON object, `unreadable` says why.")
    ] = msgspec.field(default_factory=lambda: EMPTY)
    gate: tuple[GateRow, ...] = ()
    canary: Canary | UnsetType = UNSET
    reason: str | None = None
    by: str | None = None
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("id", self.id)

    def manifest_fields(self) -> dict[str, Any]:
        """Returns the manifest's fields; of one that is no JSON object, `unreadable` with why.

        >>> GeneratorVersion(
        ...     id="v", status="live", timestamp_ms=1, manifest=msgspec.Raw(b"[1]")
        ... ).manifest_fields()
        {'unreadable': 'the manifest is no JSON object: Expected `object`, got `array`'}
        """
        try:
            return msgspec.json.decode(self.manifest, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return {"unreadable": f"the manifest is no JSON object: {error}"}
