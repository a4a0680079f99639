"""The admin routes of evaluations: what other policies would have earned with a placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool

from bandit.errors import PolicySpecError, RequestError
from bandit.policies import open_policy
from bandit.service.evaluations.jobs import Entrant, Job, Jobs, Kind
from bandit.service.evaluations.judging import unmasked
from bandit.service.evaluations.models import (
    CandidateBody,
    EvaluationBody,
    EvaluationItem,
    EvaluationView,
    evaluation_item,
    evaluation_view,
)
from bandit.service.ids import new_id
from bandit.service.resources.desk import After, Desk, Limit, Placed, page_of
from bandit.service.resources.models import Page
from streams.events import MAX_ID_LENGTH, Placement, PolicySpec

EVALUATIONS: Final[Kind] = "evaluations"
ONLINE: Final = "online"
RANDOM: Final = "uniform"
BASELINE: Final = "baseline"
RESERVED: Final = (ONLINE, RANDOM, BASELINE)

router = APIRouter(prefix="/v1/placements/{placement}/evaluations", tags=["evaluations"])


def _jobs(request: Request) -> Jobs:
    found: Jobs = request.app.state.jobs
    return found


Judging = Annotated[Jobs, Depends(_jobs)]
Evaluated = Annotated[
    str,
    Path(alias="evaluation_id", max_length=MAX_ID_LENGTH, description="The evaluation's id."),
]


@router.get("")
async def list_evaluations(
    desk: Desk, jobs: Judging, name: Placed, limit: Limit = 100, after: After = None
) -> Page[EvaluationItem]:
    """The placement's evaluations, newest first, whoever asked for them."""
    desk.placement(name)
    found = await run_in_threadpool(jobs.all, EVALUATIONS, name)
    page, following = page_of(found, limit, after, lambda job: job.id)
    return Page(items=[evaluation_item(job) for job in page], next=following)


@router.post("", status_code=202)
async def start_evaluation(
    desk: Desk, jobs: Judging, name: Placed, body: EvaluationBody
) -> EvaluationView:
    """Has the log judged by each policy: that which is online, chance, the baseline, and yours.

    A process of its own does it, one after the other, at low priority; ask for it by its id.
    """
    now_ms = desk.clock_ms()
    until_ms = now_ms if body.until_ms is None else body.until_ms
    if body.since_ms >= until_ms:
        message = f"since_ms {body.since_ms} is not before until_ms {until_ms}"
        raise RequestError(422, "time_range_invalid", message, target="since_ms")
    entrants = tuple(_entrants(desk.placement(name), body.policies))
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
    await desk.record("evaluation started", f"{name}/{job.id}")
    return evaluation_view(job)


@router.get("/{evaluation_id}")
async def read_evaluation(
    desk: Desk, jobs: Judging, name: Placed, evaluation_id: Evaluated
) -> EvaluationView:
    """One evaluation, with what it found once it is done."""
    desk.placement(name)
    return evaluation_view(await run_in_threadpool(jobs.read, EVALUATIONS, name, evaluation_id))


@router.delete("/{evaluation_id}", status_code=204)
async def delete_evaluation(
    desk: Desk, jobs: Judging, name: Placed, evaluation_id: Evaluated
) -> None:
    """Removes an evaluation; one that runs is not told of."""
    desk.placement(name)
    jobs.read(EVALUATIONS, name, evaluation_id)
    jobs.delete(EVALUATIONS, name, evaluation_id)
    await desk.record("evaluation deleted", f"{name}/{evaluation_id}")


def _entrants(placement: Placement, asked: Sequence[CandidateBody]) -> Iterator[Entrant]:
    names = [*RESERVED]
    yield Entrant(ONLINE, "Online", unmasked(placement.policy))
    yield Entrant(RANDOM, "Random", {"name": "uniform"})
    if placement.safety and placement.safety.baseline:
        spec: PolicySpec = {
            "name": "apprentice",
            "policy": {"name": "uniform"},
            "baseline": placement.safety.baseline,
        }
        yield Entrant(BASELINE, "Baseline", open_policy(spec).spec)
    for position, each in enumerate(asked):
        if each.name in names:
            message = f"{each.name!r} is the name of another that is judged; take a new one"
            target = f"policies.{position}.name"
            raise RequestError(422, "duplicate_policy_name", message, target=target)
        names.append(each.name)
        try:
            yield Entrant(each.name, "Custom", open_policy(dict(each.policy)).spec)
        except PolicySpecError as error:
            target = f"policies.{position}.policy"
            raise RequestError(422, error.code, str(error), target=target) from error
