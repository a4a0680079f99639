"""Creatives as the catalogue has them, the requests for new ones, and the generator's versions."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from streams.events.fields import (
    EMPTY,
    FIRST_VERSION,
    Id,
    JsonObject,
    TimestampMs,
    Version,
    check_id,
    doc,
)
from streams.events.placement import Caps


class Lineage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a creative came from; None where that does not apply (written by hand).

    `frame` and `segment` are what its prompt was made for.
    """

    generation_id: str | None = None
    model: str | None = None
    adapter: str | None = None
    prompt: str | None = None
    seed: int | None = None
    parent: str | None = None
    brief: Annotated[str | None, doc("The brief's hash.")] = None
    frame: str | None = None
    segment: str | None = None
    scores: Annotated[dict[str, float], doc("What each gate measured.")] = {}
    parts: Annotated[dict[str, Lineage], doc("By part, where several were written apart.")] = {}


DisplayPath: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
WebAddress: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2048)]


class AdDetails(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes with a creative's text where the ad is booked, as far as its channel has it.

    `pins` says, by part, at which position alone a part may be shown, from 1. `booked` are the
    columns of the file that the ad came from which nothing here reads (campaign, ad group), so
    that a file which is written of it has them.
    """

    final_url: Annotated[WebAddress | None, doc("Where a click leads.")] = None
    display_path: Annotated[
        tuple[DisplayPath, ...],
        Meta(max_length=2, description="What is shown of the address, after the domain."),
    ] = ()
    call_to_action: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None, doc("What the button says.")
    ] = None
    image: Annotated[WebAddress | None, doc("Its address, file name, or the platform's id.")] = None
    pins: Annotated[dict[str, Annotated[int, Meta(ge=1, le=9)]], doc("By part.")] = {}
    booked: Annotated[dict[str, str], doc("Columns that nothing here reads, by name.")] = {}

    def problem(self) -> str | None:
        """Returns what is wrong with the address that a click leads to, None if nothing is.

        >>> AdDetails(final_url="javascript:alert(1)").problem()
        "final_url is 'javascript:alert(1)'; expected an address that starts with https://"
        """
        if self.final_url is None:
            return None
        scheme, _, rest = self.final_url.partition("://")
        if scheme.lower() not in ("http", "https") or not rest:
            return f"final_url is {self.final_url!r}; expected an address that starts with https://"
        if any(char.isspace() for char in self.final_url):
            return f"final_url is {self.final_url!r}; an address has no white space"
        return None


CreativeStatus: TypeAlias = Literal["proposed", "screened", "live", "paused", "retired", "rejected"]


class Creative(Struct, frozen=True, kw_only=True, tag_field="type", tag="creative"):
    """A candidate: its text by part (`headline`, `description`, ...), features and lineage.

    `features` are what policies read, prepared once when the creative is written. A `rejected`
    one says why in `reason`, as `code: words`.
    """

    id: Id
    placement: str
    parts: dict[str, str]
    status: CreativeStatus
    timestamp_ms: int
    features: JsonObject = msgspec.field(default_factory=lambda: EMPTY)
    reason: str | None = None
    lineage: Lineage = msgspec.field(default_factory=Lineage)
    caps: Caps | UnsetType = UNSET
    ad: Annotated[AdDetails | UnsetType, doc("What goes with the text where the ad is booked.")] = (
        UNSET
    )
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("id", self.id)

    def written_by(self, version: str) -> bool:
        """Returns whether it, or a part of it, is of this version of the generator."""
        return version == self.lineage.adapter or any(
            part.adapter == version for part in self.lineage.parts.values()
        )


class Generation(Struct, frozen=True, kw_only=True, tag_field="type", tag="generation"):
    """A request for new creatives from a brief, and how it went.

    Written as `requested` by whoever asks and as `done` or `failed` (with `reason`) by the
    generator; `winners` are texts that did well and may be shown to the model.
    """

    id: str
    placement: str
    brief: JsonObject
    n: int
    seed: int
    status: Literal["requested", "done", "failed"]
    timestamp_ms: int
    winners: tuple[str, ...] = ()
    accepted: int = 0
    rejected: int = 0
    reason: str | None = None
    version: Annotated[
        str | UnsetType, doc("The generator's that was told to write; the champion if none was.")
    ] = UNSET
    v: Version = FIRST_VERSION


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
