"""How a placement's creatives are renewed by themselves: a setting of its, in the catalogue."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from streams.fields import doc


class Rotation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When new creatives are asked for, and when one has had its time. `generator` does both.

    Creatives are asked for while fewer than `live` are live, and `batch` more for each of the
    other reasons. Time is the log's.
    """

    brief: Annotated[Raw, doc("What new ones are written from.")]
    live: Annotated[int, Meta(ge=2, le=1000, description="How many are to be live.")] = 8
    batch: Annotated[int, Meta(ge=1, le=1000, description="How many are asked for at a time.")] = 4
    every_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None, doc("Ask if nothing new came for so long.")
    ] = None
    bar: Annotated[float | None, doc("Ask if surely none earns this reward a showing.")] = None
    decline: Annotated[bool, doc("Ask if the best surely earns less than once.")] = True
    retire: Annotated[bool, doc("Retire a creative that surely earns less than the best.")] = True
    showings: Annotated[
        float,
        Meta(ge=20, description="No creative is judged before so many, as SNIPS counts them."),
    ] = 400.0

    def __post_init__(self) -> None:
        if not bytes(self.brief).lstrip().startswith(b"{"):
            raise ValueError(f"brief is {bytes(self.brief)[:30]!r}; expected an object")
