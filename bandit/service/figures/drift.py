"""Whether what a creative earns has changed, from the buckets that figures are kept in."""

from __future__ import annotations

from typing import Final, NamedTuple

from bandit.ope.drift import Drift, TimeBucket, drift_of
from bandit.ope.estimators.bounded import RewardRange
from bandit.service.figures.tally import HOUR_MS, MINUTE_MS, Bucket, Tally

DAY_MS: Final = 24 * HOUR_MS
MOST: Final = 60
"""How many stretches are compared, at most; each is a minute, an hour or a day long."""


class Series(NamedTuple):
    """Buckets in stretches of one length, oldest first, whose rewards are all known."""

    starts_ms: list[int]
    stretches: list[list[Bucket]]
    reward_range: RewardRange


class Changed(NamedTuple):
    """Whether a rate changed, the likeliest time of it, and the rates before and after."""

    drift: Drift
    since_ms: int
    before: float
    after: float


def series_of(tally: Tally, reward_range: RewardRange, window_ms: int) -> Series:
    """Returns the placement's series, without decisions whose rewards may still come."""
    until_ms = tally.latest_ms - window_ms
    for length_ms in (MINUTE_MS, HOUR_MS, DAY_MS):
        kept_ms = min(length_ms, HOUR_MS)
        by_start: dict[int, list[Bucket]] = {}
        for bucket in tally.buckets(kept_ms, 0, until_ms - kept_ms + 1):
            by_start.setdefault(bucket.start_ms - bucket.start_ms % length_ms, []).append(bucket)
        if len(by_start) <= MOST and (length_ms > MINUTE_MS or not _is_long(tally)):
            break
    starts = sorted(by_start)
    return Series(starts, [by_start[start] for start in starts], reward_range)


def creative_drift(series: Series, creative_id: str) -> Changed | None:
    """Returns whether the creative's rate changed; None where it was shown in no two stretches."""
    low, width = series.reward_range.low, series.reward_range.width
    found = []
    for buckets in series.stretches:
        counted = [b.creatives[creative_id] for b in buckets if creative_id in b.creatives]
        n = sum(each.n for each in counted)
        total = sum(each.total for each in counted)
        found.append(TimeBucket(n, (total - low * n) / width))
    drift = drift_of(found)
    if drift is None:
        return None
    return Changed(
        drift,
        series.starts_ms[drift.since],
        low + width * drift.before,
        low + width * drift.after,
    )


def _is_long(tally: Tally) -> bool:
    """Whether minutes are not all that there is, since they are let go after a day."""
    return next(tally.buckets(HOUR_MS, 0, tally.latest_ms - DAY_MS), None) is not None
