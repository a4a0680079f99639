"""Creatives as the catalogue has them, where each came from, and the requests for new ones."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from streams.caps import Caps
from streams.fields import EMPTY, FIRST_VERSION, Id, JsonObject, Version, check_id, doc


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
