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

    status: CreativeStatus
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

    @classmethod
    def of(cls, creative: Creative) -> CreativeView:
        """Returns the view of a creative."""
        fields = msgspec.structs.asdict(creative)
        fields["features"] = json.loads(bytes(creative.features))
        fields["lineage"] = msgspec.to_builtins(creative.lineage)
        fields["caps"] = msgspec.to_builtins(creative.caps) if creative.caps else None
        return cls.model_validate(fields)
