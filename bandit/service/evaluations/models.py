"""Evaluations as the admin routes take and answer them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, Struct

from bandit.service.evaluations.jobs import Job, Status, Stretch
from bandit.service.resource import Name, Resource, view_of
from streams.events import PolicySpec, TimestampMs
from streams.fields import doc

MAX_POLICIES: Final = 10
State = Literal["waiting", "running", "succeeded", "failed"]
STATES: Final[dict[Status, State]] = {
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

    examples: ClassVar[list[dict[str, Any]]] = [
        {},
        {
            "name": "bolder?",
            "policies": [{"name": "wide", "policy": {"name": "thompson", "beta": 9}}],
        },
    ]

    name: Annotated[str, Meta(max_length=200, description="For people to know it by.")] = ""
    policies: Annotated[tuple[CandidateBody, ...], Meta(max_length=MAX_POLICIES)] = ()
    since_ms: TimestampMs = 0
    until_ms: Annotated[TimestampMs | None, doc("Null: until now.")] = None


class JudgedView(Struct, frozen=True, kw_only=True):
    """One policy: what it would have earned, and how far to believe that."""

    name: str
    origin: Annotated[str, doc("`Online`: served now; `Baseline`, `Random`, or `Custom`.")]
    spec: PolicySpec | None
    total: Stretch
    over_logged: Annotated[Stretch | None, doc("How much more than what was shown.")]
    verdict: Annotated[str, doc("`ok`, or why these figures decide nothing.")]
    words: Annotated[str, doc("The same, for people.")]
    over_time: tuple[Stretch, ...]


class EvaluationItem(Struct, frozen=True, kw_only=True):
    """An evaluation in a list."""

    id: str
    placement: str
    name: str
    status: State
    created_ms: int
    since_ms: int
    until_ms: int
    best: Annotated[str | None, doc("Which is surely better than the one online; that if none")]
    description: Annotated[str, doc("What to think of it, or why it failed.")]


class EvaluationView(EvaluationItem, Resource, frozen=True, kw_only=True):
    """An evaluation with what it found; `shown` is what was earned in fact."""

    shown: Stretch | None
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
