"""The admin routes for a placement's policy: its versions, comparing them, and changing it.

A change is one event in the catalogue, with why; the policy before is served until the learner
has folded the log with the new one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool

from bandit.errors import PolicySpecError, RequestError, VersionError
from bandit.policy import Deciding
from bandit.service.decide import action_pmf
from bandit.service.requests import parse_context
from bandit.service.resources.desk import Desk, Matching, Once, Placed, Protecting
from bandit.service.resources.editor import Editor
from bandit.service.resources.placement_models import PlacementView
from bandit.service.resources.policy_models import (
    DifferenceView,
    PolicyView,
    PromotionBody,
    PropensityView,
    RollbackBody,
    TrialView,
    VerdictView,
    VersionView,
)
from bandit.versions import (
    Version,
    counted,
    differences,
    rolled_back,
    version,
    versions_of,
    with_challenger,
    with_policy,
)
from streams.events import Placement

router = APIRouter(prefix="/v1/placements", tags=["policies"])

Number = Annotated[int | None, Query(ge=1, description="A version's number.")]


@router.get("/{placement}/policy")
async def read_policy(
    desk: Desk,
    name: Placed,
    protection: Protecting,
    context: Annotated[str, Query(description="A context, as JSON.")] = "{}",
) -> PolicyView:
    """The policy that is served, and its pmf over the live creatives in a context."""
    serving = desk.serving(name)
    policy = serving.policy
    seen, actions = protection.hidden(serving.placement, parse_context(context)), serving.actions
    if serving.constraints is not None:
        actions = serving.constraints.left(seen, actions, desk.clock_ms())
    allowed = {action.id for action in actions}
    # In the event loop's thread, as rank is: a policy is not asked from two threads at once.
    pmf = action_pmf(serving, seen, actions).tolist() if actions else []
    return PolicyView(
        placement=name,
        spec=policy.spec,
        version=serving.version,
        offset=int(serving.version.rpartition("@")[2]),
        age_ms=desk.clock_ms() - serving.snapshot_ms if serving.snapshot_ms else None,
        pmf=[
            PropensityView(id=action.id, propensity=propensity)
            for action, propensity in zip(actions, pmf, strict=True)
        ],
        capped=[action.id for action in serving.actions if action.id not in allowed],
        verdict=VerdictView(**policy.verdict(actions)._asdict())
        if actions and isinstance(policy, Deciding)
        else None,
        trials=[
            TrialView(name=each, **msgspec.structs.asdict(result))
            for each, result in serving.trials.items()
        ],
    )


@router.get("/{placement}/policy/versions")
async def list_versions(
    desk: Desk,
    name: Placed,
    count: Annotated[
        bool, Query(description="Count decisions and rewards, by reading all interactions.")
    ] = False,
) -> list[VersionView]:
    """The policies that the placement has had, oldest first."""
    found = _versions(desk, name)
    if count:
        # It may take seconds, and the event loop has ranks to answer.
        found = await run_in_threadpool(counted, desk.log, name, found)
    uncounted = {} if count else {"decisions": None, "reward": None}
    return [VersionView(**msgspec.structs.asdict(each) | uncounted) for each in found]


@router.get("/{placement}/policy/diff")
async def compare_versions(
    desk: Desk, name: Placed, before: Number = None, after: Number = None
) -> list[DifferenceView]:
    """The parameters in which two versions differ; without numbers, the last two."""
    versions = _versions(desk, name)
    try:
        found = differences(
            version(versions, before).spec, version(versions, after or len(versions)).spec
        )
    except VersionError as error:
        raise RequestError(404, error.code, str(error), target="version") from error
    return [DifferenceView(**msgspec.structs.asdict(each)) for each in found]


@router.post("/{placement}/policy/promote")
async def promote(
    desk: Desk,
    name: Placed,
    body: PromotionBody,
    response: Response,
    condition: Matching,
    once: Once,
) -> PlacementView:
    """Gives the placement another policy, and keeps why."""

    def promoted() -> list[Placement]:
        placement = desk.placement(name)
        try:
            if body.challenger is not None and body.policy is None:
                return _if_new(placement, with_challenger(placement, body.challenger, body.why))
            if body.policy is not None and body.challenger is None:
                return _if_new(placement, with_policy(placement, dict(body.policy), body.why))
        except VersionError as error:
            raise RequestError(404, error.code, str(error), target="challenger") from error
        except PolicySpecError as error:
            raise RequestError(422, error.code, str(error), target="policy") from error
        message = "name either a policy or a challenger"
        raise RequestError(422, "body_invalid", message, target="policy")

    await desk.change([f"placement/{name}"], promoted, condition=condition, repeatable=once)
    return _now(desk, name, response)


@router.post("/{placement}/policy/rollback")
async def roll_back(
    desk: Desk,
    name: Placed,
    body: RollbackBody,
    response: Response,
    condition: Matching,
    once: Once,
) -> PlacementView:
    """Gives the placement back a policy that it had, with all that it would have learned since."""

    def rolled() -> list[Placement]:
        placement = desk.placement(name)
        try:
            return _if_new(placement, rolled_back(placement, _versions(desk, name), body.version))
        except VersionError as error:
            raise RequestError(404, error.code, str(error), target="version") from error
        except PolicySpecError as error:
            raise RequestError(409, error.code, str(error), target="version") from error

    await desk.change([f"placement/{name}"], rolled, condition=condition, repeatable=once)
    return _now(desk, name, response)


def _if_new(before: Placement, after: Placement) -> list[Placement]:
    return [] if after.policy == before.policy else [after]


def _now(desk: Editor, name: str, response: Response) -> PlacementView:
    tag = desk.tag(f"placement/{name}")
    response.headers["ETag"] = tag
    return PlacementView.of(desk.placement(name), tag)


def _versions(desk: Editor, name: str) -> list[Version]:
    desk.placement(name)
    return versions_of(desk.catalogue.dated_history(name))
