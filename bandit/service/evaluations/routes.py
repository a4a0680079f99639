"""The admin routes of evaluations: what other policies would have earned with a placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from msgspec import Meta, Struct

from bandit.errors import PolicySpecError, RequestError
from bandit.ope.policies import unmasked
from bandit.policies import open_policy
from bandit.service.api.dependencies import Editing, Listing, Placed, state_of
from bandit.service.decide import new_id
from bandit.service.evaluations.jobs import (
    Job,
    JobCandidate,
    JobKind,
    Jobs,
    JobStatus,
    ValueOverTime,
)
from bandit.service.resource import JsonBody, Name, Page, Resource, view_of
from streams.events import MAX_ID_LENGTH, Placement, PolicySpec, TimestampMs
from streams.events.fields import doc

EVALUATIONS: Final[JobKind] = "evaluations"
ONLINE: Final = "online"
RANDOM: Final = "uniform"
BASELINE: Final = "baseline"
RESERVED: Final = (ONLINE, RANDOM, BASELINE)

router = APIRouter(prefix="/v1/placements/{placement}/evaluations", tags=["evaluations"])


MAX_POLICIES: Final = 10
State = Literal["waiting", "running", "succeeded", "failed"]
STATES: Final[dict[JobStatus, State]] = {
    "NotSubmitted": "waiting",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
}


class CandidateBody(Struct, frozen=True):
    """A policy to be judged, and what to call it."""

    name: Name
    policy: Annotated[PolicySpec, doc("Its spec, as a placement has it.")]


class EvaluationBody(Struct, Resource, frozen=True, kw_only=True):
    """What is to be judged, by which decisions; all there are, unless it says from when to when."""

    examples = (
        {},
        {
            "name": "bolder?",
            "policies": [{"name": "wide", "policy": {"name": "thompson", "beta": 9}}],
        },
    )

    name: Annotated[str, Meta(max_length=200, description="For people to know it by.")] = ""
    policies: Annotated[tuple[CandidateBody, ...], Meta(max_length=MAX_POLICIES)] = ()
    since_ms: TimestampMs = 0
    until_ms: Annotated[TimestampMs | None, doc("Null: until now.")] = None


class JudgedView(Struct, frozen=True, kw_only=True):
    """One policy: what it would have earned, and how far to believe that."""

    name: str
    origin: Annotated[str, doc("`Online`: served now; `Baseline`, `Random`, or `Custom`.")]
    spec: PolicySpec | None
    total: ValueOverTime
    over_logged: Annotated[
        ValueOverTime | None, doc("How much more than what was shown, in rewards a decision.")
    ]
    verdict: Annotated[str, doc("`ok`, or why these figures decide nothing.")]
    words: Annotated[str, doc("The same, for people.")]
    over_time: tuple[ValueOverTime, ...]


class EvaluationItem(Struct, frozen=True, kw_only=True):
    """An evaluation in a list."""

    id: str
    placement: str
    name: str
    status: State
    created_ms: int
    since_ms: int
    until_ms: int
    best: Annotated[
        str | None,
        doc("Which is surely better than the one online; that if none; null if the log can't tell"),
    ]
    description: Annotated[str, doc("What to think of it, or why it failed.")]


class EvaluationView(EvaluationItem, Resource, frozen=True, kw_only=True):
    """An evaluation with what it found; `shown` is what was earned in fact."""

    shown: ValueOverTime | None
    policies: list[JudgedView]


def evaluation_item(job: Job) -> EvaluationItem:
    """Returns a job as a list has it."""
    return view_of(EvaluationItem, job, **_renamed(job))


def evaluation_view(job: Job) -> EvaluationView:
    """Returns a job with what it found."""
    specs = {each.name: each.spec for each in job.entrants}
    judged = [view_of(JudgedView, each, spec=specs.get(each.name)) for each in job.results]
    return view_of(EvaluationView, job, shown=job.logged, policies=judged, **_renamed(job))


def _renamed(job: Job) -> dict[str, Any]:
    return {
        "status": STATES[job.status],
        "since_ms": job.start_ms,
        "until_ms": job.end_ms,
        "best": job.optimal,
    }


Judging = Annotated[Jobs, state_of("jobs")]
Evaluated = Annotated[
    str,
    Path(alias="evaluation_id", max_length=MAX_ID_LENGTH, description="The evaluation's id."),
]


@router.get("")
async def list_evaluations(
    editor: Editing, jobs: Judging, name: Placed, paging: Listing
) -> Page[EvaluationItem]:
    """The placement's evaluations, newest first, whoever asked for them."""
    editor.placement(name)
    found = await run_in_threadpool(jobs.all, EVALUATIONS, name)
    return paging.page(found, lambda job: job.id, evaluation_item)


@router.post("", status_code=202)
async def start_evaluation(
    editor: Editing, jobs: Judging, name: Placed, body: JsonBody[EvaluationBody]
) -> EvaluationView:
    """Has the log judged by each policy: that which is online, chance, the baseline, and yours.

    A process of its own does it, one after the other, at low priority; ask for it by its id.
    """
    now_ms = editor.clock_ms()
    until_ms = now_ms if body.until_ms is None else body.until_ms
    if body.since_ms >= until_ms:
        message = f"since_ms {body.since_ms} is not before until_ms {until_ms}"
        raise RequestError(422, "time_range_invalid", message, target="since_ms")
    entrants = tuple(_entrants(editor.placement(name), body.policies))
    job = Job(
        id=new_id(now_ms),
        kind=EVALUATIONS,
        placement=name,
        name=body.name,
        start_ms=body.since_ms,
        end_ms=until_ms,
        created_ms=now_ms,
        entrants=entrants,
    )
    jobs.submit(job)
    await editor.record("evaluation started", f"{name}/{job.id}")
    return evaluation_view(job)


@router.get("/{evaluation_id}")
async def read_evaluation(
    editor: Editing, jobs: Judging, name: Placed, evaluation_id: Evaluated
) -> EvaluationView:
    """One evaluation, with what it found once it is done."""
    editor.placement(name)
    return evaluation_view(await run_in_threadpool(jobs.read, EVALUATIONS, name, evaluation_id))


@router.delete("/{evaluation_id}", status_code=204)
async def delete_evaluation(
    editor: Editing, jobs: Judging, name: Placed, evaluation_id: Evaluated
) -> None:
    """Removes an evaluation; one that runs is not told of."""
    editor.placement(name)
    jobs.read(EVALUATIONS, name, evaluation_id)
    jobs.delete(EVALUATIONS, name, evaluation_id)
    await editor.record("evaluation deleted", f"{name}/{evaluation_id}")


def _entrants(placement: Placement, asked: Sequence[CandidateBody]) -> Iterator[JobCandidate]:
    names = [*RESERVED]
    yield JobCandidate(ONLINE, "Online", unmasked(placement.policy))
    yield JobCandidate(RANDOM, "Random", {"name": "uniform"})
    if placement.safety and placement.safety.baseline:
        spec: PolicySpec = {
            "name": "apprentice",
            "policy": {"name": "uniform"},
            "baseline": placement.safety.baseline,
        }
        yield JobCandidate(BASELINE, "Baseline", open_policy(spec).spec)
    for position, each in enumerate(asked):
        if each.name in names:
            message = f"{each.name!r} is the name of another that is judged; take a new one"
            target = f"policies.{position}.name"
            raise RequestError(422, "duplicate_policy_name", message, target=target)
        names.append(each.name)
        try:
            yield JobCandidate(each.name, "Custom", open_policy(dict(each.policy)).spec)
        except PolicySpecError as error:
            target = f"policies.{position}.policy"
            raise RequestError(422, error.code, str(error), target=target) from error
