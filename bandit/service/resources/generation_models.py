"""A generation, which is a request for new creatives, as the admin routes take and answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Raw, Struct

from bandit.service.resource import Resource, Text, view_of
from streams.events import Generation
from streams.fields import doc


class GenerationBody(Struct, Resource, frozen=True, kw_only=True):
    """A request for new creatives from a brief."""

    examples: ClassVar[list[dict[str, Any]]] = [
        {
            "brief": {"product": "wool socks", "audience": "hikers"},
            "n": 20,
            "seed": 7,
            "winners": ["Warm feet, all winter"],
        }
    ]

    brief: Raw
    n: Annotated[int, Meta(ge=1, le=1000, description="How many to write.")] = 10
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**31)] | None, doc("Chosen by chance if left out.")
    ] = None
    winners: Annotated[
        tuple[Text, ...], Meta(max_length=100, description="Texts that did well.")
    ] = ()


class GenerationView(Generation, Resource, frozen=True):
    """A generation, and how it went."""


class BriefView(Struct, Resource, frozen=True, kw_only=True):
    """A brief that creatives of a placement were asked for from, and what came of it."""

    id: Annotated[str, doc("A hash of the placement and the brief.")]
    placement: str
    brief: Raw
    first_ms: Annotated[int, doc("When it was first asked for.")]
    last_ms: int
    generations: Annotated[list[str], doc("Their ids, oldest first.")]
    waiting: Annotated[int, doc("How many of them are still `requested`.")]
    accepted: Annotated[int, doc("Creatives that passed the gates.")]
    rejected: int

    @classmethod
    def of(cls, brief_id: str, asked: Sequence[Generation]) -> BriefView:
        """Returns the view of a brief, of which these are the generations, at least one."""
        return view_of(
            cls,
            asked[0],
            id=brief_id,
            first_ms=asked[0].timestamp_ms,
            last_ms=asked[-1].timestamp_ms,
            generations=[generation.id for generation in asked],
            waiting=sum(generation.status == "requested" for generation in asked),
            accepted=sum(generation.accepted for generation in asked),
            rejected=sum(generation.rejected for generation in asked),
        )
