"""Figures as they are answered."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, Field

from bandit.service.figures.counts import Counts
from bandit.service.figures.drift import Changed
from bandit.service.figures.lift import Lift, Over
from bandit.service.figures.tally import Bucket


class CountsView(BaseModel):
    """Showings, and what they earned, with a 95 % band around the mean."""

    shown: int
    reward: float
    rate: float | None
    low: float | None = Field(description="Mean - 1.96 standard errors, of one look.")
    high: float | None

    @classmethod
    def of(cls, counts: Counts) -> CountsView:
        """Returns the view of counts."""
        low, high = counts.band()
        return cls(shown=counts.n, reward=counts.total, rate=counts.rate, low=low, high=high)


class ShareView(CountsView):
    """A creative's part of a bucket: the share that it got, and the mean pmf that it had."""

    share: float
    pmf: float


class PointView(CountsView):
    """One bucket: all of the placement, and each creative."""

    start_ms: int
    policy_version: str
    entropy: float = Field(description="How even the pmf was, 0 to 1: of its largest entropy.")
    explored: float = Field(description="The mean pmf that was not on the most likely action.")
    creatives: dict[str, ShareView]

    @classmethod
    def of_bucket(cls, bucket: Bucket, kept: Collection[str] | None = None) -> PointView:
        """Returns the view of a bucket, with these creatives of it, all if None."""
        n = max(bucket.all.n, 1)
        return cls(
            **CountsView.of(bucket.all).model_dump(),
            start_ms=bucket.start_ms,
            policy_version=bucket.policy_version,
            entropy=bucket.entropy / n,
            explored=bucket.explored / n,
            creatives={
                name: ShareView(
                    **CountsView.of(counts).model_dump(),
                    share=counts.n / n,
                    pmf=counts.expected / n,
                )
                for name, counts in bucket.creatives.items()
                if kept is None or name in kept
            },
        )


class PosteriorView(BaseModel):
    """What the policy believes a creative to earn: the mean, and the middle 95 %."""

    mean: float
    low: float
    high: float


class DriftView(BaseModel):
    """How sure it is that a creative's rate changed, however often one looks."""

    drifts: bool = Field(description="False alarms are one in a hundred over all looks at it.")
    log_evidence: float = Field(description="Natural log of an e-value; 4.6 are enough.")
    since_ms: int = Field(description="When that was, if it was.")
    before: float
    after: float

    @classmethod
    def of(cls, changed: Changed | None) -> DriftView | None:
        """Returns the view of a change, None of none."""
        if changed is None:
            return None
        return cls(
            drifts=changed.drift.drifts,
            log_evidence=changed.drift.log_evidence,
            since_ms=changed.since_ms,
            before=changed.before,
            after=changed.after,
        )


class PlacementDriftView(BaseModel):
    """How sure it is that any creative's rate changed; the mix of them may, as a policy learns."""

    drifts: bool
    log_evidence: float


class LiftView(BaseModel):
    """What was earned on average, and by how much that is more than another choice would have."""

    over: Over = Field(description="`uniform`: any creative alike; `baseline`: always that.")
    name: str | None = Field(description="The baseline's id.")
    since_ms: int = Field(description="Since when the placement has its present policy.")
    n: int = Field(description="Closed decisions that count.")
    value: float | None
    other: float | None = Field(description="What the other would have earned, estimated.")
    difference: float | None
    low: float | None = Field(description="With `high` 95 %, however often one looks.")
    high: float | None

    @classmethod
    def of(cls, lift: Lift, since_ms: int) -> LiftView:
        """Returns the view of a lift."""
        interval = lift.interval
        return cls(
            over=lift.over,
            name=lift.name,
            since_ms=since_ms,
            n=lift.n,
            value=lift.value,
            other=lift.other,
            difference=lift.difference,
            low=None if interval is None else interval.low,
            high=None if interval is None else interval.high,
        )


class FatigueView(CountsView):
    """Showings to users who saw the creative so many times before; `seen_to` null: or more."""

    seen_from: int
    seen_to: int | None


class CreativeFiguresView(CountsView):
    """A creative since the figures begin, and what the policy believes of it, if it says."""

    status: str | None = Field(description="Null for an action that was brought.")
    generator: str | None = Field(description="The adapter or model that wrote it.")
    posterior: PosteriorView | None = None
    drift: DriftView | None = Field(default=None, description="Null: too few showings to tell.")


class MarkView(BaseModel):
    """A change of the placement's policy: the version's number, since when, and why."""

    number: int
    since_ms: int
    policy: str = Field(description="Its name; `…/policy/versions` has it in full.")
    why: str | None


class GeneratorView(CountsView):
    """All creatives of one generator version together."""

    generator: str = Field(description="Adapter or model; `by hand` for what people wrote.")
    creatives: int


class DelayView(BaseModel):
    """How many outcomes of a kind came within so many seconds, and not within the one before."""

    kind: str
    within_seconds: list[float | None] = Field(description="Null: later than all.")
    counts: list[int]


class FiguresView(BaseModel):
    """A placement's figures; what is counted since `since_ms`, points by bucket."""

    placement: str
    since_ms: int = Field(description="From when on the log was read.")
    complete: bool = Field(description="Whether it is read to its end; ask again if not.")
    changed_ms: int = Field(description="The log's time at the last thing that is counted.")
    bucket_seconds: int
    total: CountsView
    drift: PlacementDriftView | None = Field(description="Null: too few showings to tell.")
    lifts: list[LiftView] = Field(description="None where all rewards are alike.")
    creatives: dict[str, CreativeFiguresView]
    points: list[PointView]
    policies: list[MarkView]
    segments: dict[str, dict[str, dict[str, CountsView]]] = Field(
        description="By field of the context, its value, and creative."
    )
    delays: list[DelayView]
    fatigue: list[FatigueView] = Field(description="None where contexts say nothing of it.")
    generators: list[GeneratorView]


class LiveView(BaseModel):
    """What a server-sent event `figures` brings: the totals, and the minutes that changed."""

    placement: str
    changed_ms: int
    total: CountsView
    policy_version: str
    shares: dict[str, float] = Field(description="The mean pmf of the last minute.")
    points: list[PointView]


class GlanceView(BaseModel):
    """A placement at a glance."""

    placement: str
    changed_ms: int = Field(description="The log's time at the last thing that is counted; or 0.")
    live: int = Field(description="How many creatives are live.")
    total: CountsView
    lifts: list[LiftView]


class OverviewView(BaseModel):
    """All placements at a glance, by name."""

    since_ms: int = Field(description="From when on the log was read.")
    complete: bool = Field(description="Whether it is read to its end; ask again if not.")
    items: list[GlanceView]
