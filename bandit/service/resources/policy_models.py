"""A placement's policy, and its versions, as the admin routes take and answer them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from bandit.policy import Verdict
from bandit.service.resource import Resource
from bandit.versions import Difference, Version
from streams.events import PolicySpec
from streams.fields import doc
from streams.trials import TrialResult


class PropensityView(Struct, frozen=True):
    """How likely one creative is."""

    id: str
    propensity: float


class TrialView(TrialResult, frozen=True, kw_only=True):
    """What a policy earns, or would have earned, per decision since the present one is served."""

    name: Annotated[str, doc("`champion`, `baseline`, `apprentice`, or a challenger's.")]


class PolicyView(Struct, Resource, frozen=True, kw_only=True):
    """The policy that is served, and how it would choose among the live creatives."""

    placement: str
    spec: PolicySpec
    version: str
    offset: Annotated[int, doc("Up to which offset of the interactions it has learned.")]
    age_ms: Annotated[int | None, doc("Since the log took it in; null before it learned.")]
    pmf: list[PropensityView]
    capped: Annotated[list[str], doc("Live creatives that have reached a cap.")]
    verdict: Annotated[Verdict | None, doc("Of policies that look for the best creative.")] = None
    trials: Annotated[list[TrialView], doc("Where anybody is on trial.")] = []


class VersionView(Version, Resource, frozen=True):
    """A policy that the placement had, from `since_ms` until the next version's."""


class DifferenceView(Difference, Resource, frozen=True):
    """A parameter, as a path joined by dots, in both versions; null where there is none."""


class PromotionBody(Struct, Resource, frozen=True, kw_only=True):
    """What becomes the placement's policy, and why."""

    examples: ClassVar[list[dict[str, Any]]] = [
        {"policy": {"name": "top_two"}, "why": "the campaign ends on Friday"}
    ]

    policy: Annotated[PolicySpec | None, doc("The policy's name and parameters.")] = None
    challenger: Annotated[str | None, doc("Instead: one of the placement's.")] = None
    why: Annotated[str, Meta(max_length=1000)] = "promoted by hand"


class RollbackBody(Struct, Resource, frozen=True, kw_only=True):
    """Which version to go back to."""

    examples: ClassVar[list[dict[str, Any]]] = [{"version": 1}]

    version: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        doc("Its number; the version before the current if left out."),
    ] = None
