"""The routes of evaluations and feature importances, in the shapes of either API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct

from bandit.errors import PolicySpecError, RequestError
from bandit.ope.policies import FIRST_ACTION, unmasked
from bandit.policies import check_policy, open_policy
from bandit.service.compat.personalizer.configuration import (
    LearningSettings,
    iso_duration,
    iso_time,
    policy_of,
    settings_of,
)
from bandit.service.compat.personalizer.loops import LoopRequest, Loops, Reply
from bandit.service.compat.personalizer.settings_routes import change_settings
from bandit.service.compat.personalizer.wire import (
    PersonalizerError,
    check_id,
    check_unique,
    decode,
)
from bandit.service.decide import new_id
from bandit.service.evaluations.jobs import Job, JobCandidate, JobKind, Result, ValueOverTime
from streams.events import Placement, PolicySpec
from streams.events.fields import whole_number

INVALID: Final = "InvalidEvaluationContract"
MAX_POLICIES: Final = 10
FIRST_STATUS: Final = {
    "NotSubmitted": "pending",
    "Running": "pending",
    "Succeeded": "completed",
    "Failed": "failed",
}
"""What v1.1 calls a status."""
EXPERIMENTS: Final = (
    "--cb_explore_adf --squarecb --cb_type mtr -q ::",
    "--cb_explore_adf --epsilon 0.2 --cb_type mtr -l 0.05 -q ::",
    "--cb_explore_adf --epsilon 0.2 --cb_type ips -l 0.05 -q ::",
    "--cb_explore_adf --epsilon 0.2 --cb_type mtr -l 0.5",
)
"""What is tried where an evaluation is to look for better learning settings."""
EVALUATIONS: Final[JobKind] = "evaluations"
IMPORTANCES: Final[JobKind] = "featureImportances"


class JobBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is to be evaluated; either API's name for whether better settings are looked for."""

    name: str
    start_time: datetime
    end_time: datetime
    policies: list[LearningSettings] | None = None
    enable_offline_experimentation: bool = False
    enable_policy_optimization: bool = False


class Reference(Struct, frozen=True, rename="camel"):
    """Learning settings that an evaluation judged."""

    evaluation_id: str
    policy_name: str


async def create_evaluation(loops: Loops, call: LoopRequest) -> Reply:
    """Takes an evaluation on under an id of ours (v1.1): 201 with it."""
    job = await _submitted(loops, call, EVALUATIONS, new_id(loops.clock_ms()))
    location = f"/placements/{call.placement}/personalizer/{call.version}/evaluations/{job.id}"
    return Reply(201, _json(_first(job)), ((b"location", location.encode("latin-1", "replace")),))


async def put_job(kind: JobKind, loops: Loops, call: LoopRequest) -> Reply:
    """Takes an evaluation or a feature importance on under the caller's id (2022-09): 200."""
    await _submitted(loops, call, kind, call.ids[0])
    return Reply(200, b"{}")


async def list_jobs(kind: JobKind, loops: Loops, call: LoopRequest) -> Reply:
    """Answers the placement's jobs of the kind, newest first: 200."""
    await loops.serving(call)
    found = loops.jobs.all(kind, call.placement)
    if _is_first(call) and kind == EVALUATIONS:
        return Reply(200, _json([_first(job) for job in found]))
    return Reply(200, _json({"value": [_known(job) for job in _paged(found, call)]}))


async def read_evaluation(loops: Loops, call: LoopRequest) -> Reply:
    """Answers one evaluation, with its results once it is done: 200."""
    job = _job(loops, call, EVALUATIONS, call.ids[0])
    if _is_first(call):
        return Reply(200, _json(_first(job)))
    content = _content(job, call) if job.results else None
    return Reply(200, _json({**_known(job), **({"content": content} if content else {})}))


async def read_importance(loops: Loops, call: LoopRequest) -> Reply:
    """Answers one feature importance, with its scores once it is done: 200."""
    job = _job(loops, call, IMPORTANCES, call.ids[0])
    return Reply(200, _json({**_known(job), "featureScores": job.scores}))


async def delete_job(kind: JobKind, loops: Loops, call: LoopRequest) -> Reply:
    """Removes an evaluation or a feature importance: 204."""
    loops.jobs.delete(kind, call.placement, call.ids[0])
    return Reply(204)


async def apply_evaluation(loops: Loops, call: LoopRequest) -> Reply:
    """Gives the loop the learning settings that an evaluation judged: 204."""
    wanted = decode(call.body, Reference, "InvalidRequest")
    job = _job(loops, call, EVALUATIONS, wanted.evaluation_id)
    found = next((each for each in job.results if each.name == wanted.policy_name), None)
    if found is None or not found.arguments:
        raise PersonalizerError(
            "LearningSettingsNotFound",
            "policy_not_found",
            f"evaluation {job.id!r} has no learning settings {wanted.policy_name!r}; it has: "
            f"{', '.join(result.name for result in job.results if result.arguments) or 'none'}",
            target="policyName",
            status=404,
        )
    await change_settings(loops, call, LearningSettings(found.name, found.arguments))
    return Reply(204)


async def _submitted(loops: Loops, call: LoopRequest, kind: JobKind, job_id: str) -> Job:
    body = decode(call.body, JobBody, INVALID)
    check_id(job_id, "job_id_invalid", "id", INVALID)
    check_id(body.name, "name_invalid", "name", INVALID)
    start_ms, end_ms = (_milliseconds(moment) for moment in (body.start_time, body.end_time))
    if start_ms >= end_ms:
        message = f"startTime {iso_time(start_ms)} is not before endTime {iso_time(end_ms)}"
        raise PersonalizerError(INVALID, "time_range_invalid", message, target="startTime")
    policies = tuple(body.policies or ())
    _check_policies(policies)
    placement = (await loops.serving(call)).placement
    optimize = body.enable_offline_experimentation or body.enable_policy_optimization
    job = Job(
        id=job_id,
        kind=kind,
        placement=call.placement,
        name=body.name,
        start_ms=start_ms,
        end_ms=end_ms,
        created_ms=loops.clock_ms(),
        entrants=tuple(_entrants(placement, policies, optimize=optimize)),
    )
    try:
        loops.jobs.submit(job)
    except RequestError as error:
        known = INVALID if error.code == "job_exists" else "OperationNotAllowed"
        raise PersonalizerError(known, error.code, str(error)) from error
    return job


def _job(loops: Loops, call: LoopRequest, kind: JobKind, job_id: str) -> Job:
    try:
        return loops.jobs.read(kind, call.placement, job_id)
    except RequestError as error:
        known = "EvaluationNotFound"
        raise PersonalizerError(known, error.code, str(error), status=error.status) from error


def _entrants(
    placement: Placement, policies: Sequence[LearningSettings], *, optimize: bool
) -> Iterator[JobCandidate]:
    """Yields who is judged: the policy that is online, the first action, chance, and others."""
    online = unmasked(placement.policy)
    share = online.get("epsilon", 0.0) if online["name"] == "floor" else 0.0

    def explored(arguments: str) -> PolicySpec:
        return open_policy({"name": "floor", "epsilon": share, "policy": policy_of(arguments)}).spec

    yield JobCandidate("Online", "Online", online, settings_of(placement).arguments)
    yield JobCandidate("Baseline", "Baseline", FIRST_ACTION.spec)
    yield JobCandidate("Random", "Random", {"name": "uniform"})
    for each in policies:
        yield JobCandidate(each.name, "Custom", explored(each.arguments), each.arguments)
    for number, arguments in enumerate(EXPERIMENTS if optimize else (), start=1):
        name = f"Experiment{number}"
        yield JobCandidate(name, "OfflineExperimentation", explored(arguments), arguments)


def _check_policies(policies: Sequence[LearningSettings]) -> None:
    if len(policies) > MAX_POLICIES:
        message = f"{len(policies)} policies; at most {MAX_POLICIES}"
        raise PersonalizerError(INVALID, "policies_count_invalid", message, target="policies")
    names = [policy.name for policy in policies]
    check_unique(names, "duplicate_policy_name", "policies", "DuplicateCustomPolicyNames")
    for position, policy in enumerate(policies):
        try:
            check_policy(policy_of(policy.arguments), "window")
        except PolicySpecError as error:
            raise PersonalizerError(
                "InvalidPolicyContract",
                error.code,
                str(error),
                target=f"policies[{position}].arguments",
            ) from error


def _known(job: Job) -> dict[str, Any]:
    """Returns a job as the API of 2022-09 lists it."""
    found: dict[str, Any] = {
        "id": job.id,
        "name": job.name,
        "startTime": iso_time(job.start_ms),
        "endTime": iso_time(job.end_ms),
        "creationTime": iso_time(job.created_ms),
        "status": job.status,
        "description": job.description,
    }
    if job.kind == EVALUATIONS:
        found |= {"evaluationType": "Manual"}
        if job.optimal is not None:
            found |= {"optimalPolicy": job.optimal}
    return found


def _content(job: Job, call: LoopRequest) -> dict[str, Any]:
    """Returns the results as the API of 2022-09 has them, within the times that it asks for."""
    start_ms = _time_in(call, "startTime", job.start_ms)
    end_ms = _time_in(call, "endTime", job.end_ms)
    value = []
    for result in job.results:
        within = [one for one in result.over_time if start_ms <= one.at_ms < end_ms]
        value.append(
            {
                "name": result.name,
                "arguments": result.arguments,
                "policySource": result.origin,
                "slotId": "",
                "summary": _summary(result.total),
                "timeseries": {
                    "data": [{"timeStamp": iso_time(one.at_ms), **_summary(one)} for one in within]
                },
            }
        )
    return {
        "startTime": iso_time(start_ms),
        "endTime": iso_time(end_ms),
        "intervalInMinutes": max(round(_stretch(job).total_seconds() / 60), 1),
        "value": value,
    }


def _summary(stretch: ValueOverTime) -> dict[str, Any]:
    bounds = [] if stretch.low is None else [stretch.low, stretch.high]
    return {"expectedReward": stretch.value, "confidenceInterval": bounds}


def _first(job: Job) -> dict[str, Any]:
    """Returns a job as v1.1 has it."""
    found = {**_known(job), "jobId": job.id, "status": FIRST_STATUS[job.status]}
    del found["description"]
    if job.results:
        window = iso_duration(_stretch(job))
        whole = iso_duration(timedelta(milliseconds=job.end_ms - job.start_ms))
        found["policyResults"] = [_first_result(result, window, whole) for result in job.results]
    return found


def _first_result(result: Result, window: str, whole: str) -> dict[str, Any]:
    total = _first_summary(result.total, whole)
    total["ipsEstimatorNumerator"] = result.total.value * result.weight
    total["snipsEstimatorDenominator"] = result.weight
    return {
        "name": result.name,
        "arguments": result.arguments,
        "policySource": result.origin,
        "summary": [_first_summary(one, window) for one in result.over_time],
        "totalSummary": total,
    }


def _first_summary(stretch: ValueOverTime, window: str) -> dict[str, Any]:
    found = {
        "timeStamp": iso_time(stretch.at_ms),
        "ipsEstimatorNumerator": stretch.value * stretch.n,
        "ipsEstimatorDenominator": stretch.n,
        "snipsEstimatorDenominator": stretch.n,
        "aggregateTimeWindow": window,
        "averageReward": stretch.value,
    }
    if stretch.low is not None and stretch.high is not None:
        found["confidenceInterval"] = (stretch.high - stretch.low) / 2
    return found


def _stretch(job: Job) -> timedelta:
    """Returns how far apart the results over time are; the whole range if there is but one."""
    starts = sorted({one.at_ms for result in job.results for one in result.over_time})
    gaps = [after - before for before, after in pairwise(starts)]
    return timedelta(milliseconds=min(gaps, default=job.end_ms - job.start_ms))


def _paged(found: Sequence[Job], call: LoopRequest) -> Sequence[Job]:
    skip, top = _count(call, "skip", 0), _count(call, "top", len(found))
    wanted = call.query.get("filter", "")
    kept = [job for job in found if "'Auto'" not in wanted or job.kind == IMPORTANCES]
    return kept[skip : skip + top]


def _count(call: LoopRequest, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    count = whole_number(text)
    if count is None:
        raise PersonalizerError(
            "InvalidRequest", "query_invalid", f"{name} is {text!r}; a whole number", target=name
        )
    return count


def _time_in(call: LoopRequest, name: str, default: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    try:
        # a plus that was not escaped has become a space
        return _milliseconds(datetime.fromisoformat(text.replace(" ", "+").replace("Z", "+00:00")))
    except ValueError as error:
        raise PersonalizerError(
            "InvalidRequest", "query_invalid", f"{name} is {text!r}; ISO 8601", target=name
        ) from error


def _milliseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _is_first(call: LoopRequest) -> bool:
    return call.version.startswith("v1.")


_json: Callable[[Any], bytes] = msgspec.json.encode
