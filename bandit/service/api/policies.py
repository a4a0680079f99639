"""The admin routes for a placement's policy: its versions, comparing them, and changing it.

A change is one event in the catalogue, with why; the policy before is served until the learner
has folded the log with the new one.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import Meta, Struct

from bandit.errors import PolicySpecError, RequestError, VersionError
from bandit.learning.versions import (
    SpecDifference,
    Version,
    counted,
    differences,
    promotion,
    rollback,
    version,
    versions_in,
)
from bandit.policy import Deciding, Verdict
from bandit.service.api.dependencies import (
    Editing,
    Matching,
    Once,
    Placed,
    Protecting,
    answered,
    refusing,
    state_of,
    tagged,
)
from bandit.service.api.editor import Editor
from bandit.service.api.placements import PlacementView
from bandit.service.decide import Decider
from bandit.service.requests import ActionPropensity, parse_context
from bandit.service.resource import JsonBody, Resource, view_of
from streams.events import Placement, PolicySpec
from streams.events.fields import doc
from streams.events.placement import TrialResult

router = APIRouter(prefix="/v1/placements", tags=["policies"])


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
    pmf: list[ActionPropensity]
    capped: Annotated[list[str], doc("Live creatives that have reached a cap.")]
    verdict: Annotated[Verdict | None, doc("Of policies that look for the best creative.")] = None
    trials: Annotated[list[TrialView], doc("Where a policy is on trial.")] = []


class VersionView(Version, Resource, frozen=True):
    """A policy that the placement had, from `since_ms` until the next version's."""


class DifferenceView(SpecDifference, Resource, frozen=True):
    """A parameter, as a path joined by dots, in both versions; null where there is none."""


class PromotionBody(Struct, Resource, frozen=True, kw_only=True):
    """What becomes the placement's policy, and why."""

    examples = ({"policy": {"name": "top_two"}, "why": "the campaign ends on Friday"},)

    policy: Annotated[PolicySpec | None, doc("The policy's name and parameters.")] = None
    challenger: Annotated[str | None, doc("Instead: one of the placement's.")] = None
    why: Annotated[str, Meta(max_length=1000)] = "promoted by hand"


class RollbackBody(Struct, Resource, frozen=True, kw_only=True):
    """Which version to go back to."""

    examples = ({"version": 1},)

    version: Annotated[
        Annotated[int, Meta(ge=1, lt=2**53)] | None,
        doc("Its number; the version before the current if left out."),
    ] = None


Number = Annotated[int | None, Query(ge=1, lt=2**53, description="A version's number.")]


@router.get("/{placement}/policy", response_model=PolicyView)
async def read_policy(
    editor: Editing,
    name: Placed,
    protection: Protecting,
    decider: Annotated[Decider, state_of("decider")],
    context: Annotated[str, Query(description="A context, as JSON.")] = "{}",
) -> Response:
    """The policy that is served, and its pmf over the live creatives in a context."""
    serving = editor.serving(name)
    policy = serving.policy
    seen, actions = protection.hidden(serving.placement, parse_context(context)), serving.actions
    if serving.constraints is not None:
        actions = serving.constraints.left(seen, actions, editor.clock_ms())
    allowed = {action.id for action in actions}
    pmf = (await decider.pmf(serving, seen, actions)).tolist() if actions else []
    view = PolicyView(
        placement=name,
        spec=policy.spec,
        version=serving.version,
        offset=int(serving.version.rpartition("@")[2]),
        age_ms=max(editor.clock_ms() - serving.snapshot_ms, 0) if serving.snapshot_ms else None,
        pmf=[
            ActionPropensity(action.id, propensity)
            for action, propensity in zip(actions, pmf, strict=True)
        ],
        capped=[action.id for action in serving.actions if action.id not in allowed],
        verdict=policy.verdict(actions) if actions and isinstance(policy, Deciding) else None,
        trials=[view_of(TrialView, each, name=name) for name, each in serving.trials.items()],
    )
    return await answered(view)


@router.get("/{placement}/policy/versions")
async def list_versions(
    editor: Editing,
    name: Placed,
    count: Annotated[
        bool, Query(description="Count decisions and rewards, by reading all interactions.")
    ] = False,
) -> list[VersionView]:
    """The policies that the placement has had, oldest first."""
    found = _versions(editor, name)
    if count:
        # It may take seconds, and the event loop has ranks to answer.
        found = await run_in_threadpool(counted, editor.log, name, found)
    return [view_of(VersionView, each) for each in found]


@router.get("/{placement}/policy/diff")
async def compare_versions(
    editor: Editing, name: Placed, before: Number = None, after: Number = None
) -> list[DifferenceView]:
    """The parameters in which two versions differ; without numbers, the last two."""
    versions = _versions(editor, name)
    with refusing((VersionError, 404, "version")):
        one, other = version(versions, before), version(versions, after or len(versions))
    found = differences(one.spec, other.spec)
    return [view_of(DifferenceView, each) for each in found]


@router.post("/{placement}/policy/promote")
async def promote(
    editor: Editing,
    name: Placed,
    body: JsonBody[PromotionBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> PlacementView:
    """Gives the placement another policy, and keeps why."""

    @refusing((VersionError, 404, "challenger"), (PolicySpecError, 422, "policy"))
    def promoted() -> list[Placement]:
        editor.placement(name)
        if (body.challenger is None) == (body.policy is None):
            message = "name either a policy or a challenger"
            raise RequestError(422, "body_invalid", message, target="policy")
        trials = editor.serving(name).trials if body.challenger is not None else {}
        return promotion(editor.catalogue, name, body.challenger, body.policy, body.why, trials)

    await editor.change([f"placement/{name}"], promoted, condition=condition, repeatable=once)
    return tagged(response, editor.view(PlacementView, editor.placement(name)))


@router.post("/{placement}/policy/rollback")
async def roll_back(
    editor: Editing,
    name: Placed,
    body: JsonBody[RollbackBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> PlacementView:
    """Gives the placement back a policy that it had, with all that it would have learned since."""

    @refusing((VersionError, 404, "version"), (PolicySpecError, 409, "version"))
    def rolled() -> list[Placement]:
        editor.placement(name)
        return rollback(editor.catalogue, name, body.version)

    await editor.change([f"placement/{name}"], rolled, condition=condition, repeatable=once)
    return tagged(response, editor.view(PlacementView, editor.placement(name)))


def _versions(editor: Editor, name: str) -> list[Version]:
    editor.placement(name)
    return versions_in(editor.catalogue, name)
