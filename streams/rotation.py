"""How a placement's creatives are renewed by themselves: a setting of its, in the catalogue."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

Count = Annotated[int, Meta(ge=1, le=1000)]


class Rotation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When new creatives are asked for, and when one has had its time. `generator` does both.

    Creatives are asked for while fewer than `live` are live, `batch` at a time at most; and
    `batch` more when nothing new came for `every_seconds`, when the best one declines, or when
    none reaches `bar`, a reward. With `retire`, one that surely earns less than the best is
    retired; no judgement is passed on fewer than `showings` showings, as SNIPS counts them.

    Time is the log's.
    """

    brief: Raw
    live: Annotated[int, Meta(ge=2, le=1000)] = 8
    batch: Count = 4
    every_seconds: Annotated[float, Meta(gt=0)] | None = None
    bar: float | None = None
    decline: bool = True
    retire: bool = True
    showings: Annotated[float, Meta(ge=20)] = 400.0

    def __post_init__(self) -> None:
        if not bytes(self.brief).lstrip().startswith(b"{"):
            raise ValueError(f"brief is {bytes(self.brief)[:30]!r}; expected an object")


def rotation_of(value: object) -> Rotation:
    """Returns the rotation in what JSON gave.

    Raises:
        msgspec.ValidationError: a field is missing, or not what it should be.
    """
    return msgspec.json.decode(msgspec.json.encode(value), type=Rotation)


def as_json(rotation: Rotation) -> dict[str, object]:
    """Returns it as JSON has it, defaults spelled out."""
    fields = {name: getattr(rotation, name) for name in rotation.__struct_fields__}
    return fields | {"brief": msgspec.json.decode(rotation.brief)}
