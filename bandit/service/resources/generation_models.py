"""A generation, which is a request for new creatives, as the admin routes take and answer it."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from bandit.service.resources.models import Body, JsonObject, Text
from streams.events import Generation


class GenerationBody(Body):
    """A request for new creatives from a brief."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "brief": {"product": "wool socks", "audience": "hikers"},
                    "n": 20,
                    "seed": 7,
                    "winners": ["Warm feet, all winter"],
                }
            ]
        }
    )

    brief: JsonObject
    n: int = Field(default=10, ge=1, le=1000, description="How many to write.")
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Chosen by chance if left out."
    )
    winners: list[Text] = Field(default=[], max_length=100, description="Texts that did well.")


class GenerationView(BaseModel):
    """A generation, and how it went."""

    id: str
    placement: str
    brief: dict[str, Any]
    n: int
    seed: int
    status: Literal["requested", "done", "failed"]
    timestamp_ms: int
    winners: list[str]
    accepted: int
    rejected: int
    reason: str | None
    version: str | None = Field(description="The generator's that was told to write, if one was.")

    @classmethod
    def of(cls, generation: Generation) -> GenerationView:
        """Returns the view of a generation."""
        fields = msgspec.structs.asdict(generation)
        fields["brief"] = json.loads(bytes(generation.brief))
        fields["winners"] = list(generation.winners)
        fields["version"] = generation.version or None
        return cls.model_validate(fields)


class BriefView(BaseModel):
    """A brief that creatives of a placement were asked for from, and what came of it."""

    id: str = Field(description="A hash of the placement and the brief.")
    placement: str
    brief: dict[str, Any]
    first_ms: int = Field(description="When it was first asked for.")
    last_ms: int
    generations: list[str] = Field(description="Their ids, oldest first.")
    waiting: int = Field(description="How many of them are still `requested`.")
    accepted: int = Field(description="Creatives that passed the gates.")
    rejected: int

    @classmethod
    def of(cls, brief_id: str, asked: list[Generation]) -> BriefView:
        """Returns the view of a brief, of which these are the generations, at least one."""
        return cls(
            id=brief_id,
            placement=asked[0].placement,
            brief=json.loads(bytes(asked[0].brief)),
            first_ms=asked[0].timestamp_ms,
            last_ms=asked[-1].timestamp_ms,
            generations=[generation.id for generation in asked],
            waiting=sum(generation.status == "requested" for generation in asked),
            accepted=sum(generation.accepted for generation in asked),
            rejected=sum(generation.rejected for generation in asked),
        )
