"""A creative as the admin routes take and answer it."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from bandit.service.resources.models import Body, Id, JsonObject, Name, Text
from bandit.service.resources.placement_models import CapsModel
from streams.events import Creative, CreativeStatus


class CreativeBody(Body):
    """A creative written by hand, live unless it says otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "warm-feet", "parts": {"headline": "Warm feet, all winter"}}]
        }
    )

    id: Id | None = Field(default=None, description="Made from the text if left out.")
    parts: dict[Name, Text] = Field(min_length=1, max_length=32, description="Its text, by part.")
    features: JsonObject | None = Field(
        default=None, description="What policies read; made from the text if left out."
    )
    status: Literal["proposed", "screened", "live", "paused"] = "live"
    caps: CapsModel | None = Field(default=None, description="In place of the placement's.")


class CreativeChange(Body):
    """A change of a creative's status, a rejection with why, or of its caps."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "paused"}]})

    status: CreativeStatus | None = Field(default=None, description="As it was if left out.")
    reason: Text | None = Field(default=None, description="As `code: words`; needed to reject.")
    caps: CapsModel | None = Field(default=None, description="As they were if left out.")


class LineageView(BaseModel):
    """Where a creative came from."""

    generation_id: str | None = None
    model: str | None = None
    adapter: str | None = None
    prompt: str | None = None
    seed: int | None = None
    parent: str | None = None
    brief: str | None = Field(default=None, description="The brief's hash.")
    frame: str | None = None
    segment: str | None = None
    scores: dict[str, float] = Field(default={}, description="What each gate measured.")
    parts: dict[str, LineageView] = Field(
        default={}, description="By part, where several were written apart."
    )


class CreativeView(BaseModel):
    """A creative as it is now."""

    id: str
    placement: str
    parts: dict[str, str]
    status: CreativeStatus
    timestamp_ms: int
    features: dict[str, Any]
    reason: str | None
    lineage: LineageView
    caps: CapsModel | None = None
    etag: str = Field(description="For `If-Match`.")

    @classmethod
    def of(cls, creative: Creative, tag: str) -> CreativeView:
        """Returns the view of a creative with this entity tag."""
        fields = msgspec.structs.asdict(creative) | {"etag": tag}
        fields["features"] = json.loads(bytes(creative.features))
        fields["lineage"] = msgspec.to_builtins(creative.lineage)
        fields["caps"] = msgspec.to_builtins(creative.caps) if creative.caps else None
        return cls.model_validate(fields)


class ReviewBody(Body):
    """What a person makes of a creative that is not shown yet."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"verdict": "approve"},
                {"verdict": "reject", "reason": "claims: not proven"},
                {"verdict": "edit", "parts": {"headline": "Warm feet on every trail"}},
            ]
        }
    )

    verdict: Literal["approve", "edit", "reject"] = Field(
        description="`approve` sets it live; `edit` replaces its text and sets it live; `reject` "
        "keeps it from being shown, for a `reason`."
    )
    reason: Text | None = Field(default=None, description="As `code: words`; needed to reject.")
    parts: dict[Name, Text] | None = Field(
        default=None, min_length=1, max_length=32, description="Its new text; needed to edit."
    )
