"""Briefs of version 1, as they lie in files and logs; read, and never written again."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from generator.brief import schema
from generator.brief.schema import Brief, Environment, Segment, Time
from generator.brief.text import Text, Texts, Words


class FirstConstraints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a headline had to keep to."""

    max_characters: Annotated[int, Meta(ge=15, le=200)] = schema.DEFAULT_MAX_CHARACTERS
    never_use: Words = ()


class FirstBrief(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A brief of version 1, which is also what one without a version is."""

    version: Literal[1] = 1
    product: Text
    brand: Text | None = None
    facts: Texts = ()
    audience: Text | None = None
    time: Text | None = None
    environment: Text | None = None
    tone: Text | None = None
    language: str = "en"
    keywords: Texts = ()
    constraints: FirstConstraints = FirstConstraints()


NOW_AT = {
    "audience": "segments[0].who",
    "time": "time.when",
    "environment": "environment.site",
    "tone": "voice",
}
"""Where version 2 has the fields that version 1 had elsewhere."""


def upgraded(first: FirstBrief) -> Brief:
    """Returns the same brief in the present version."""
    audience = first.audience
    return Brief(
        product=first.product,
        brand=first.brand,
        facts=first.facts,
        voice=first.tone,
        segments=(Segment(name="audience", who=audience),) if audience else (),
        time=Time(when=first.time),
        environment=Environment(site=first.environment),
        language=first.language,
        keywords=first.keywords,
        constraints=schema.Constraints(
            max_characters=first.constraints.max_characters,
            never_use=first.constraints.never_use,
        ),
    )
