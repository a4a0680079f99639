"""Figures as they are answered: a placement's, those of all at a glance, and the live ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from heapq import nlargest
from itertools import pairwise
from typing import Annotated, Any, Final, NamedTuple, Self

import msgspec
from msgspec import Struct

from bandit.learning.versions import versions_of
from bandit.ope.drift import drift_of_all
from bandit.policy import HasPosterior, Policy
from bandit.service.figures.counts import (
    DELAYS_SECONDS,
    SEEN,
    Bucket,
    Counts,
    PlacementCounts,
    Scale,
)
from bandit.service.figures.fold import Changed, creative_drift, series_of
from bandit.service.figures.lift import Lift
from bandit.service.figures.winners import WinnerView, winners_of
from bandit.service.resource import Resource, view_of
from streams.catalogue.state import Catalogue
from streams.events import Action, Creative
from streams.events.fields import doc


class CountsView(Struct, frozen=True, kw_only=True):
    """Showings, and what they earned, with a 95 % band of the mean."""

    shown: int
    reward: float
    rate: float | None
    low: Annotated[float | None, doc("Within the rewards' range (Wilson 1927); of one look.")]
    high: float | None

    @classmethod
    def of(cls, counts: Counts, scale: Scale, **more: Any) -> Self:
        """Returns the view of counts, with what else it has."""
        low, high = counts.band(scale)
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
    def of_bucket(
        cls, bucket: Bucket, scale: Scale, kept: Collection[str] | None = None
    ) -> PointView:
        """Returns the view of a bucket, with these creatives of it, all if None."""
        n = max(bucket.all.n, 1)
        return cls.of(
            bucket.all,
            scale,
            start_ms=bucket.start_ms,
            policy_version=bucket.policy_version,
            entropy=bucket.entropy / n,
            explored=bucket.explored / n,
            creatives={
                name: ShareView.of(counts, scale, share=counts.n / n, pmf=counts.expected / n)
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
    winners: Annotated[
        dict[str, dict[str, WinnerView]],
        doc("By field and value: which creative earns the most there, of those that are live."),
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


BY_HAND: Final = "by hand"


class Span(NamedTuple):
    """Which buckets are asked for: of this length, beginning in [since_ms, until_ms).

    Each tells of the creatives named in `kept` only; or, with `top`, of so many: those that the pmf
    gave most, in all buckets together.
    """

    length_ms: int
    since_ms: int
    until_ms: int
    kept: Collection[str] | None = None
    top: int | None = None


def beliefs_of(policy: Policy, actions: Sequence[Action]) -> dict[str, PosteriorView]:
    """Returns what a policy believes of each creative, nothing if it has no such posterior."""
    if not isinstance(policy, HasPosterior):
        return {}
    return {
        belief.creative_id: view_of(PosteriorView, belief) for belief in policy.beliefs(actions)
    }


def figures_view(
    name: str,
    tally: PlacementCounts,
    from_ms: int,
    complete: bool,
    span: Span,
    catalogue: Catalogue,
    posteriors: Mapping[str, PosteriorView],
) -> FiguresView:
    """Returns the figures of the placement; `from_ms` is from when on the log was read."""
    creatives = {creative.id: creative for creative in catalogue.creatives(name)}
    drifts = _drifts(tally)
    evidence, enough = drift_of_all([changed.drift for changed in drifts.values()])
    scale = tally.scale
    bounds = [*pairwise(SEEN), (SEEN[-1], None)]
    return FiguresView(
        placement=name,
        since_ms=from_ms,
        complete=complete,
        changed_ms=tally.changed_ms,
        bucket_seconds=span.length_ms // 1000,
        total=CountsView.of(tally.all, scale),
        drift=PlacementDriftView(drifts=enough, log_evidence=evidence) if drifts else None,
        lifts=tally.lifts.get() if tally.lifts else [],
        creatives=_creatives(tally, creatives, posteriors, drifts),
        points=_points(tally, span),
        policies=[
            view_of(MarkView, each, policy=str(each.spec.get("name", "")))
            for each in versions_of(catalogue.dated_history(name))
        ],
        segments={
            field: {
                value: {
                    creative: CountsView.of(counts, scale) for creative, counts in shown.items()
                }
                for value, shown in values.items()
            }
            for field, values in tally.segments.items()
        },
        winners=winners_of(tally, creatives, scale),
        delays=[
            DelayView(kind=kind, within_seconds=[*DELAYS_SECONDS, None], counts=counts)
            for kind, counts in tally.delays.items()
        ],
        fatigue=[
            FatigueView.of(
                counts, scale, seen_from=first, seen_to=None if after is None else after - 1
            )
            for (first, after), counts in zip(bounds, tally.fatigue, strict=False)
        ],
        generators=_generators(tally, creatives, scale),
    )


def _drifts(tally: PlacementCounts) -> dict[str, Changed]:
    """Returns what is known of each creative that was shown long enough; none without a plan."""
    if tally.lifts is None:
        return {}
    plan = tally.lifts.plan
    series = series_of(tally, plan.reward_range, plan.window_ms)
    found = {name: creative_drift(series, name) for name in tally.creatives}
    return {name: changed for name, changed in found.items() if changed is not None}


def glance_view(name: str, tally: PlacementCounts, catalogue: Catalogue) -> GlanceView:
    """Returns the little of a placement's figures that a list of placements shows."""
    return GlanceView(
        placement=name,
        changed_ms=tally.changed_ms,
        live=sum(creative.status == "live" for creative in catalogue.creatives(name)),
        total=CountsView.of(tally.all, tally.scale),
        lifts=tally.lifts.get() if tally.lifts else [],
    )


def live_view(
    name: str, tally: PlacementCounts, kept: Collection[str] | None, since_ms: int
) -> LiveView:
    """Returns the totals, and the minutes that changed since then, of these creatives or all."""
    scale = tally.scale
    points = [PointView.of_bucket(bucket, scale, kept) for bucket in tally.changed_since(since_ms)]
    return LiveView(
        placement=name,
        changed_ms=tally.changed_ms,
        total=CountsView.of(tally.all, tally.scale),
        policy_version=tally.policy_version,
        shares={c: share.pmf for c, share in points[-1].creatives.items()} if points else {},
        points=points,
    )


def _points(tally: PlacementCounts, span: Span) -> list[PointView]:
    buckets = list(tally.buckets(span.length_ms, span.since_ms, span.until_ms))
    scale = tally.scale
    if span.top is None:
        return [PointView.of_bucket(bucket, scale, span.kept) for bucket in buckets]
    expected: defaultdict[str, float] = defaultdict(float)
    for bucket in buckets:
        for name, counts in bucket.creatives.items():
            expected[name] += counts.expected
    kept = set(nlargest(span.top, expected, key=expected.__getitem__))
    return [PointView.of_bucket(bucket, scale, kept) for bucket in buckets]


def _drift(changed: Changed) -> DriftView:
    at = {"since_ms": changed.since_ms, "before": changed.before, "after": changed.after}
    return view_of(DriftView, changed.drift, **at)


def _creatives(
    tally: PlacementCounts,
    creatives: dict[str, Creative],
    posteriors: Mapping[str, PosteriorView],
    drifts: Mapping[str, Changed],
) -> dict[str, CreativeFiguresView]:
    return {
        name: CreativeFiguresView.of(
            tally.creatives.get(name, Counts()),
            tally.scale,
            status=creatives[name].status if name in creatives else None,
            generator=_generator(creatives[name]) if name in creatives else None,
            posterior=_within(posteriors.get(name), tally.scale),
            drift=_drift(drifts[name]) if name in drifts else None,
        )
        for name in dict.fromkeys([*creatives, *tally.creatives])
    }


def _within(posterior: PosteriorView | None, scale: Scale) -> PosteriorView | None:
    """Returns what is believed, with bounds where rewards lie: a normal belief goes beyond."""
    if posterior is None or not scale.low <= posterior.mean <= scale.high:
        return posterior
    low, high = max(posterior.low, scale.low), min(posterior.high, scale.high)
    return msgspec.structs.replace(posterior, low=low, high=high)


def _generators(
    tally: PlacementCounts, creatives: dict[str, Creative], scale: Scale
) -> list[GeneratorView]:
    found: dict[str, tuple[int, Counts]] = {}
    for name, creative in creatives.items():
        generator = _generator(creative) or BY_HAND
        number, counts = found.get(generator, (0, Counts()))
        counts.join(tally.creatives.get(name, Counts()))
        found[generator] = number + 1, counts
    return [
        GeneratorView.of(counts, scale, generator=name, creatives=number)
        for name, (number, counts) in found.items()
    ]


def _generator(creative: Creative) -> str | None:
    return creative.lineage.adapter or creative.lineage.model
