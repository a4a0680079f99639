"""Evaluations as the admin routes take and answer them."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from bandit.service.evaluations.jobs import Job, Result, Status, Stretch
from bandit.service.resources.models import Body, Id, JsonObject, Name

MAX_POLICIES: Final = 10
State = Literal["waiting", "running", "succeeded", "failed"]
STATES: Final[dict[Status, State]] = {
    "NotSubmitted": "waiting",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
}


class CandidateBody(Body):
    """A policy to be judged, and what to call it."""

    name: Name
    policy: JsonObject = Field(description="Its spec, as a placement has it.")


class EvaluationBody(Body):
    """What is to be judged, by which decisions; all there are, unless it says from when to when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {},
                {
                    "name": "bolder?",
                    "policies": [{"name": "wide", "policy": {"name": "thompson", "beta": 9}}],
                },
            ]
        }
    )

    name: str = Field(default="", max_length=200, description="For people to know it by.")
    policies: list[CandidateBody] = Field(default=[], max_length=MAX_POLICIES)
    since_ms: int = Field(default=0, ge=0, lt=2**53)
    until_ms: int | None = Field(default=None, ge=0, lt=2**53, description="Null: until now.")


class StretchView(BaseModel):
    """What is earned per decision, over all or from `at_ms` on; the bounds are at 95 %."""

    at_ms: int
    n: int
    value: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, stretch: Stretch) -> StretchView:
        """Returns the view of a stretch."""
        return cls(
            at_ms=stretch.at_ms,
            n=stretch.n,
            value=stretch.value,
            low=stretch.low,
            high=stretch.high,
        )


class JudgedView(BaseModel):
    """One policy: what it would have earned, and how far to believe that."""

    name: str
    origin: str = Field(description="`Online`: served now; `Baseline`, `Random`, or `Custom`.")
    spec: dict[str, Any] | None
    total: StretchView
    over_logged: StretchView | None = Field(description="How much more than what was shown.")
    verdict: str = Field(description="`ok`, or why these figures decide nothing.")
    words: str = Field(description="The same, for people.")
    over_time: list[StretchView]


class EvaluationItem(BaseModel):
    """An evaluation in a list."""

    id: Id
    placement: str
    name: str
    status: State
    created_ms: int
    since_ms: int
    until_ms: int
    best: str | None = Field(description="Which is surely better than the one online; that if none")
    description: str = Field(description="What to think of it, or why it failed.")


class EvaluationView(EvaluationItem):
    """An evaluation with what it found; `shown` is what was earned in fact."""

    shown: StretchView | None
    policies: list[JudgedView]


def evaluation_item(job: Job) -> EvaluationItem:
    """Returns a job as a list has it."""
    return EvaluationItem(
        id=job.id,
        placement=job.placement,
        name=job.name,
        status=STATES[job.status],
        created_ms=job.created_ms,
        since_ms=job.start_ms,
        until_ms=job.end_ms,
        best=job.optimal,
        description=job.description,
    )


def evaluation_view(job: Job) -> EvaluationView:
    """Returns a job with what it found."""
    specs = {each.name: each.spec for each in job.entrants}
    return EvaluationView(
        **evaluation_item(job).model_dump(),
        shown=None if job.logged is None else StretchView.of(job.logged),
        policies=[_judged(result, specs.get(result.name)) for result in job.results],
    )


def _judged(result: Result, spec: dict[str, object] | None) -> JudgedView:
    return JudgedView(
        name=result.name,
        origin=result.origin,
        spec=spec,
        total=StretchView.of(result.total),
        over_logged=None if result.over_logged is None else StretchView.of(result.over_logged),
        verdict=result.verdict,
        words=result.words,
        over_time=[StretchView.of(each) for each in result.over_time],
    )
