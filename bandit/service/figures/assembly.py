"""A placement's figures put together: what was counted, with what the catalogue and policy know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from heapq import nlargest
from itertools import pairwise
from typing import Final, NamedTuple

from bandit.ope.drift import drift_of_all
from bandit.policy import Believing, Policy
from bandit.service.figures.counts import Counts
from bandit.service.figures.drift import Changed, creative_drift, series_of
from bandit.service.figures.models import (
    CountsView,
    CreativeFiguresView,
    DelayView,
    DriftView,
    FatigueView,
    FiguresView,
    GeneratorView,
    GlanceView,
    MarkView,
    PlacementDriftView,
    PointView,
    PosteriorView,
)
from bandit.service.figures.tally import DELAYS_SECONDS, SEEN, Tally
from bandit.service.resource import view_of
from bandit.versions import versions_of
from streams.catalogue import Catalogue
from streams.events import Action, Creative

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
    if not isinstance(policy, Believing):
        return {}
    return {
        belief.creative_id: view_of(PosteriorView, belief) for belief in policy.beliefs(actions)
    }


def figures_view(
    name: str,
    tally: Tally,
    from_ms: int,
    complete: bool,
    span: Span,
    catalogue: Catalogue,
    posteriors: Mapping[str, PosteriorView],
) -> FiguresView:
    """Returns the figures of the placement; `from_ms` is from when on the log was read."""
    creatives = {creative.id: creative for creative in catalogue.creatives(name)}
    drifts = _drifts(tally)
    return FiguresView(
        placement=name,
        since_ms=from_ms,
        complete=complete,
        changed_ms=tally.changed_ms,
        bucket_seconds=span.length_ms // 1000,
        total=CountsView.of(tally.all),
        drift=_drift_of_all(drifts),
        lifts=tally.lifts.get() if tally.lifts else [],
        creatives=_creatives(tally, creatives, posteriors, drifts),
        points=_points(tally, span),
        policies=[
            view_of(MarkView, each, policy=str(each.spec.get("name", "")))
            for each in versions_of(catalogue.dated_history(name))
        ],
        segments=_segments(tally),
        delays=[
            DelayView(kind=kind, within_seconds=[*DELAYS_SECONDS, None], counts=counts)
            for kind, counts in tally.delays.items()
        ],
        fatigue=_fatigue(tally),
        generators=_generators(tally, creatives),
    )


def _drifts(tally: Tally) -> dict[str, Changed]:
    """Returns what is known of each creative that was shown long enough; none without a plan."""
    if tally.lifts is None:
        return {}
    plan = tally.lifts.plan
    series = series_of(tally, plan.reward_range, plan.window_ms)
    found = {name: creative_drift(series, name) for name in tally.creatives}
    return {name: changed for name, changed in found.items() if changed is not None}


def glance_view(name: str, tally: Tally, catalogue: Catalogue) -> GlanceView:
    """Returns the little of a placement's figures that a list of placements shows."""
    return GlanceView(
        placement=name,
        changed_ms=tally.changed_ms,
        live=sum(creative.status == "live" for creative in catalogue.creatives(name)),
        total=CountsView.of(tally.all),
        lifts=tally.lifts.get() if tally.lifts else [],
    )


def _points(tally: Tally, span: Span) -> list[PointView]:
    buckets = list(tally.buckets(span.length_ms, span.since_ms, span.until_ms))
    if span.top is None:
        return [PointView.of_bucket(bucket, span.kept) for bucket in buckets]
    expected: defaultdict[str, float] = defaultdict(float)
    for bucket in buckets:
        for name, counts in bucket.creatives.items():
            expected[name] += counts.expected
    kept = set(nlargest(span.top, expected, key=expected.__getitem__))
    return [PointView.of_bucket(bucket, kept) for bucket in buckets]


def _drift(changed: Changed) -> DriftView:
    at = {"since_ms": changed.since_ms, "before": changed.before, "after": changed.after}
    return view_of(DriftView, changed.drift, **at)


def _drift_of_all(drifts: Mapping[str, Changed]) -> PlacementDriftView | None:
    if not drifts:
        return None
    evidence, enough = drift_of_all([changed.drift for changed in drifts.values()])
    return PlacementDriftView(drifts=enough, log_evidence=evidence)


def _fatigue(tally: Tally) -> list[FatigueView]:
    bounds = [*pairwise(SEEN), (SEEN[-1], None)]
    return [
        FatigueView.of(counts, seen_from=first, seen_to=None if after is None else after - 1)
        for (first, after), counts in zip(bounds, tally.fatigue, strict=False)
    ]


def _creatives(
    tally: Tally,
    creatives: dict[str, Creative],
    posteriors: Mapping[str, PosteriorView],
    drifts: Mapping[str, Changed],
) -> dict[str, CreativeFiguresView]:
    return {
        name: CreativeFiguresView.of(
            tally.creatives.get(name, Counts()),
            status=creatives[name].status if name in creatives else None,
            generator=_generator(creatives[name]) if name in creatives else None,
            posterior=posteriors.get(name),
            drift=_drift(drifts[name]) if name in drifts else None,
        )
        for name in dict.fromkeys([*creatives, *tally.creatives])
    }


def _generators(tally: Tally, creatives: dict[str, Creative]) -> list[GeneratorView]:
    found: dict[str, tuple[int, Counts]] = {}
    for name, creative in creatives.items():
        generator = _generator(creative) or BY_HAND
        number, counts = found.get(generator, (0, Counts()))
        counts.join(tally.creatives.get(name, Counts()))
        found[generator] = number + 1, counts
    return [
        GeneratorView.of(counts, generator=name, creatives=number)
        for name, (number, counts) in found.items()
    ]


def _generator(creative: Creative) -> str | None:
    return creative.lineage.adapter or creative.lineage.model


def _segments(tally: Tally) -> dict[str, dict[str, dict[str, CountsView]]]:
    return {
        field: {
            value: {name: CountsView.of(counts) for name, counts in by_creative.items()}
            for value, by_creative in values.items()
        }
        for field, values in tally.segments.items()
    }
