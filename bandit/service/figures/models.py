"""Figures as they are answered."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Self

from msgspec import Struct

from bandit.service.figures.counts import Counts
from bandit.service.figures.lift import Lift
from bandit.service.figures.tally import Bucket
from bandit.service.resource import Resource
from streams.fields import doc


class CountsView(Struct, frozen=True, kw_only=True):
    """Showings, and what they earned, with a 95 % band around the mean."""

    shown: int
    reward: float
    rate: float | None
    low: Annotated[float | None, doc("Mean - 1.96 standard errors, of one look.")]
    high: float | None

    @classmethod
    def of(cls, counts: Counts, **more: Any) -> Self:
        """Returns the view of counts, with what else it has."""
        low, high = counts.band()
        return cls(
            shown=counts.n, reward=counts.total, rate=counts.rate, low=low, high=high, **more
        )


class ShareView(CountsView, frozen=True, kw_only=True):
    """A creative's part of a bucket: the share that it got, and the mean pmf that it had."""

    share: float
    pmf: float


class PointView(CountsView, frozen=True, kw_only=True):
    """One bucket: all of the placement, and each creative."""

    start_ms: int
    policy_version: str
    entropy: Annotated[float, doc("How even the pmf was, 0 to 1: of its largest entropy.")]
    explored: Annotated[float, doc("The mean pmf that was not on the most likely action.")]
    creatives: dict[str, ShareView]

    @classmethod
    def of_bucket(cls, bucket: Bucket, kept: Collection[str] | None = None) -> PointView:
        """Returns the view of a bucket, with these creatives of it, all if None."""
        n = max(bucket.all.n, 1)
        return cls.of(
            bucket.all,
            start_ms=bucket.start_ms,
            policy_version=bucket.policy_version,
            entropy=bucket.entropy / n,
            explored=bucket.explored / n,
            creatives={
                name: ShareView.of(counts, share=counts.n / n, pmf=counts.expected / n)
                for name, counts in bucket.creatives.items()
                if kept is None or name in kept
            },
        )


class PosteriorView(Struct, frozen=True, kw_only=True):
    """What the policy believes a creative to earn: the mean, and the middle 95 %."""

    mean: float
    low: float
    high: float


class PlacementDriftView(Struct, frozen=True, kw_only=True):
    """How sure it is that any creative's rate changed; the mix of them may, as a policy learns."""

    drifts: bool
    log_evidence: float


class DriftView(Struct, frozen=True, kw_only=True):
    """How sure it is that a creative's rate changed, however often one looks."""

    drifts: Annotated[bool, doc("False alarms are one in a hundred over all looks at it.")]
    log_evidence: Annotated[float, doc("Natural log of an e-value; 4.6 are enough.")]
    since_ms: Annotated[int, doc("When that was, if it was.")]
    before: float
    after: float


class FatigueView(CountsView, frozen=True, kw_only=True):
    """Showings to users who saw the creative so many times before; `seen_to` null: or more."""

    seen_from: int
    seen_to: int | None


class CreativeFiguresView(CountsView, frozen=True, kw_only=True):
    """A creative since the figures begin, and what the policy believes of it, if it says."""

    status: Annotated[str | None, doc("Null for an action that was brought.")]
    generator: Annotated[str | None, doc("The adapter or model that wrote it.")]
    posterior: PosteriorView | None = None
    drift: Annotated[DriftView | None, doc("Null: too few showings to tell.")] = None


class MarkView(Struct, frozen=True, kw_only=True):
    """A change of the placement's policy: the version's number, since when, and why."""

    number: int
    since_ms: int
    policy: Annotated[str, doc("Its name; `…/policy/versions` has it in full.")]
    why: str | None


class GeneratorView(CountsView, frozen=True, kw_only=True):
    """All creatives of one generator version together."""

    generator: Annotated[str, doc("Adapter or model; `by hand` for what people wrote.")]
    creatives: int


class DelayView(Struct, frozen=True, kw_only=True):
    """How many outcomes of a kind came within so many seconds, and not within the one before."""

    kind: str
    within_seconds: Annotated[list[float | None], doc("Null: later than all.")]
    counts: list[int]


class FiguresView(Struct, Resource, frozen=True, kw_only=True):
    """A placement's figures; what is counted since `since_ms`, points by bucket."""

    placement: str
    since_ms: Annotated[int, doc("From when on the log was read.")]
    complete: Annotated[bool, doc("Whether it is read to its end; ask again if not.")]
    changed_ms: Annotated[int, doc("The log's time at the last thing that is counted.")]
    bucket_seconds: int
    total: CountsView
    drift: Annotated[PlacementDriftView | None, doc("Null: too few showings to tell.")]
    lifts: Annotated[list[Lift], doc("None where all rewards are alike.")]
    creatives: dict[str, CreativeFiguresView]
    points: list[PointView]
    policies: list[MarkView]
    segments: Annotated[
        dict[str, dict[str, dict[str, CountsView]]],
        doc("By field of the context, its value, and creative."),
    ]
    delays: list[DelayView]
    fatigue: Annotated[list[FatigueView], doc("None where contexts say nothing of it.")]
    generators: list[GeneratorView]


class LiveView(Struct, frozen=True, kw_only=True):
    """What a server-sent event `figures` brings: the totals, and the minutes that changed."""

    placement: str
    changed_ms: int
    total: CountsView
    policy_version: str
    shares: Annotated[dict[str, float], doc("The mean pmf of the last minute.")]
    points: list[PointView]


class GlanceView(Struct, frozen=True, kw_only=True):
    """A placement at a glance."""

    placement: str
    changed_ms: Annotated[int, doc("The log's time at the last thing that is counted; or 0.")]
    live: Annotated[int, doc("How many creatives are live.")]
    total: CountsView
    lifts: list[Lift]


class OverviewView(Struct, Resource, frozen=True, kw_only=True):
    """All placements at a glance, by name."""

    since_ms: Annotated[int, doc("From when on the log was read.")]
    complete: Annotated[bool, doc("Whether it is read to its end; ask again if not.")]
    items: list[GlanceView]
