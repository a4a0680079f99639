"""A placement's policy, and its versions, as the admin routes take and answer them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bandit.service.resources.models import Body, JsonObject


class PropensityView(BaseModel):
    """How likely one creative is."""

    id: str
    propensity: float


class VerdictView(BaseModel):
    """Which creative the policy takes for the best, and whether it is sure enough."""

    creative_id: str
    posterior: float = Field(description="How probably it is the best of those not capped.")
    decided: bool = Field(description="Whether that is the policy's threshold or more.")


class TrialView(BaseModel):
    """What a policy earns, or would have earned, per decision since the present one is served."""

    name: str = Field(description="`champion`, `baseline`, `apprentice`, or a challenger's.")
    since_ms: int
    n: int
    value: float | None
    low: float | None = Field(description="The value is above, at all times, with 97.5 %.")
    high: float | None = Field(description="The value is below, at all times, with 97.5 %.")
    match: float | None = Field(description="How often its favourite was the champion's.")
    refused: int


class PolicyView(BaseModel):
    """The policy that is served, and how it would choose among the live creatives."""

    placement: str
    spec: dict[str, Any]
    version: str
    offset: int = Field(description="Up to which offset of the interactions it has learned.")
    age_ms: int | None = Field(description="Since the log took it in; null before it learned.")
    pmf: list[PropensityView]
    capped: list[str] = Field(description="Live creatives that have reached a cap.")
    verdict: VerdictView | None = Field(
        default=None, description="Of policies that look for the best creative."
    )
    trials: list[TrialView] = Field(default=[], description="Where anybody is on trial.")


class VersionView(BaseModel):
    """A policy that the placement had, from `since_ms` until the next version's."""

    number: int
    spec: dict[str, Any]
    since_ms: int
    why: str | None
    decisions: int | None = Field(description="Made while it was the placement's; if counted.")
    reward: float | None = Field(description="What they earned in all; if counted.")


class DifferenceView(BaseModel):
    """A parameter, as a path joined by dots, in both versions; null where there is none."""

    parameter: str
    before: Any
    after: Any


class PromotionBody(Body):
    """What becomes the placement's policy, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"policy": {"name": "top_two"}, "why": "the campaign ends on Friday"}]
        }
    )

    policy: JsonObject | None = Field(default=None, description="The policy's name and parameters.")
    challenger: str | None = Field(default=None, description="Instead: one of the placement's.")
    why: str = Field(default="promoted by hand", max_length=1000)


class RollbackBody(Body):
    """Which version to go back to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1}]})

    version: int | None = Field(
        default=None, ge=1, description="Its number; the version before the current if left out."
    )
