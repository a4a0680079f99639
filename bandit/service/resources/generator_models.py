"""A version of the generator as the admin routes take and answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from bandit.service.resources.models import Body
from streams.generator_versions import GeneratorVersion, VersionStatus


class GateRowView(BaseModel):
    """One rule of the gate."""

    rule: str
    value: float | None
    bound: float | None = Field(description="What `value` was held against.")
    passed: bool
    why: str


class CanaryView(BaseModel):
    """What its creatives earn a decision beside the champion's, at all times at once, at 95 %."""

    since_ms: int
    share: float = Field(description="The most of a placement's traffic that they get together.")
    n: int = Field(description="Decisions in which creatives of both could be chosen.")
    low: float | None
    high: float | None
    champion_low: float | None
    champion_high: float | None
    gain_low: float | None = Field(description="What its creatives earn more than the champion's.")
    gain_high: float | None


class StepView(BaseModel):
    """A status that it came to, and why."""

    status: VersionStatus
    timestamp_ms: int
    reason: str | None
    by: str | None


class GeneratorVersionView(BaseModel):
    """A version of the generator, and how far it has come."""

    id: str
    status: VersionStatus
    timestamp_ms: int = Field(description="Since when it has this status.")
    parent: str | None = Field(description="The champion when it was made; null: the bare model.")
    replaces: str | None = Field(description="The champion before it; a rollback goes back there.")
    manifest: dict[str, Any] = Field(
        description="How it was trained; of one that is no JSON object, `unreadable` says why."
    )
    gate: list[GateRowView]
    canary: CanaryView | None
    reason: str | None
    by: str | None
    steps: list[StepView] = Field(description="Every status that it came to, oldest first.")
    etag: str = Field(description="For `If-Match`.")

    @classmethod
    def of(
        cls, version: GeneratorVersion, steps: Sequence[GeneratorVersion], tag: str
    ) -> GeneratorVersionView:
        """Returns the view of a version that took these steps, with this entity tag."""
        fields = msgspec.structs.asdict(version) | {"etag": tag}
        fields["manifest"] = version.manifest_fields()
        fields["steps"] = [
            StepView(status=s.status, timestamp_ms=s.timestamp_ms, reason=s.reason, by=s.by)
            for s in steps
        ]
        fields["gate"] = msgspec.to_builtins(version.gate)
        fields["canary"] = msgspec.to_builtins(version.canary) if version.canary else None
        return cls.model_validate(fields)


class WhyBody(Body):
    """Why; kept with the version."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "reads as one voice"}]})

    why: str = Field(default="by hand", min_length=1, max_length=1000)


class ChampionView(BaseModel):
    """Which version writes now; null: the bare model."""

    champion: GeneratorVersionView | None
