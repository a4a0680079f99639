"""How often a creative may be shown, and how often it was.

Caps are settings of placements and creatives, in the catalogue; what was shown is counted from
the log, or told by the request. What follows from both, `bandit.constraints` says.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from streams.fields import doc

Cap: TypeAlias = Annotated[int, Meta(ge=1, lt=2**53)]
"""How many showings, at most."""


class Caps(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often one creative may be shown; None for as often as its policy likes."""

    per_user: Annotated[Cap | None, doc("By what the context says was seen.")] = None
    per_day: Annotated[Cap | None, doc("In all, on each day of UTC.")] = None
    total: Annotated[Cap | None, doc("In all, by the decisions in the log.")] = None


class Seen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a context says how often its user saw each creative, as `{creative_id: n}`."""

    path: Annotated[str, Meta(min_length=1, description="Keys, joined by dots.")] = "seen"
    feature: Annotated[bool, doc("Tell policies that read features, of each creative.")] = False


class Shown(Struct, frozen=True, array_like=True):
    """How often one creative was shown: in `total`, and `today` of the latest `day`.

    `day` counts from 1970, in UTC, by the decisions' timestamps.
    """

    total: int
    day: int
    today: int


class Lid(Struct, frozen=True):
    """What a decision held down: the `actions`, by id, that got `share` together at most."""

    share: float
    actions: tuple[str, ...]
