"""The fold that keeps the figures of all placements up to date, and the drift that they show.

It starts with the first request for figures, reads the last thirty days or million records, and
ends when nobody has asked for ten minutes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from bandit.ope.drift import Drift, TimeBucket, drift_of
from bandit.ope.estimators.bounded import RewardRange
from bandit.service.figures.counts import (
    HOUR_MS,
    KEPT,
    MINUTE_MS,
    Bucket,
    PlacementCounts,
    read_interactions,
)
from bandit.service.figures.lift import lift_plan
from streams.catalogue.state import Catalogue
from streams.events import INTERACTIONS, UNREADABLE
from streams.events.placement import Seen
from streams.fold import Follower, batches, partitions
from streams.inspect import offset_at
from streams.logs.base import Log, Record, TopicPartition

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
IDLE_SECONDS: Final = 600.0
BACK_RECORDS: Final = 1_000_000
BATCH: Final = 200
"""How many interactions are folded before others get a turn."""


class FiguresFold:
    """The figures of one log by placement; asked from an event loop, folded in a thread.

    Args:
        log: what is followed.
        clock_ms: the time.
        catalogue: says what the figures of a placement are to tell; it is kept up to date.

    Attributes:
        streams: how many event streams of figures are open.
    """

    def __init__(self, log: Log, clock_ms: Callable[[], int], catalogue: Catalogue) -> None:
        self.streams = 0
        self._log = log
        self._catalogue = catalogue
        self._clock_ms = clock_ms
        self._asked = 0.0
        self._tallies: dict[str, PlacementCounts] = {}
        self._offsets: dict[TopicPartition, int] = {}
        self._follower = self._new_follower()
        self._stopped = False
        self._caught_up = threading.Event()
        self.lock = threading.Lock()
        """Held while figures are read: the fold waits meanwhile."""
        self.since_ms = 0
        """From when on the log was read."""

    def tally(self, placement: str) -> PlacementCounts:
        """Returns a placement's figures so far, to be read with the lock held."""
        self.wake()
        found = self._tallies.get(placement)
        if found is None:
            found = PlacementCounts()
            self._plan(found, placement)
        return found

    def wake(self) -> None:
        """Has the log folded for another ten minutes."""
        self._asked = time.monotonic()
        if not self._follower.following and not self._stopped:
            self._caught_up.clear()
            self._tallies, self._offsets = {}, {}
            self._follower = self._new_follower()
            self._follower.start()

    def wait(self, seconds: float) -> bool:
        """Returns whether the log is read to its end, which it waits for at most so long."""
        self.wake()
        return self._caught_up.wait(seconds)

    def stop(self) -> None:
        """Stops folding."""
        self._stopped = True
        self._follower.stop()

    def _new_follower(self) -> Follower:
        return Follower("figures", self._look, every_seconds=LOOK_SECONDS)

    def _look(self) -> None:
        if time.monotonic() - self._asked >= IDLE_SECONDS:
            self._follower.ending.set()
        self._offsets = self._offsets or self._starts()
        for partition, offset in self._offsets.items():
            for records in batches(self._log, partition, offset, limit=BATCH):
                self._fold(records)
                self._offsets[partition] = records[-1].offset + 1
                time.sleep(0)  # a rank that waits for the interpreter goes first
                if self._follower.ending.is_set():
                    return
        self._caught_up.set()

    def _starts(self) -> dict[TopicPartition, int]:
        self.since_ms = self._clock_ms() - KEPT[HOUR_MS] * HOUR_MS
        offsets = {}
        for partition in partitions(self._log, INTERACTIONS):
            wanted = offset_at(self._log, partition, self.since_ms)
            bound = self._log.end_offset(partition) - BACK_RECORDS
            if wanted < bound and (found := self._log.read(partition, bound, limit=1)):
                self.since_ms = max(self.since_ms, found[0].timestamp_ms)
            offsets[partition] = max(wanted, bound)
        return offsets

    def _fold(self, records: Iterable[Record]) -> None:
        planned: set[str] = set()
        with self.lock:
            for record in records:
                try:
                    found = read_interactions(record.value)
                    name = found[0].decision.placement
                    tally = self._tallies.setdefault(name, PlacementCounts())
                    if name not in planned:  # once a batch
                        planned.add(name)
                        self._plan(tally, name)
                    for seen in found:
                        tally.add(seen, record.timestamp_ms)
                except (*UNREADABLE, IndexError) as error:
                    # The owner of the topic puts the record among the dead letters.
                    place = f"{record.topic}@{record.offset}"
                    logger.debug("%s is left out of the figures: %s", place, error)

    def _plan(self, tally: PlacementCounts, name: str) -> None:
        placement = self._catalogue.placement(name)
        if placement is not None:
            lift = lift_plan(self._catalogue.dated_history(name))
            rule = placement.reward
            unit = placement.unit or None
            tally.plan(lift, (placement.seen or Seen()).path, (rule.minimum, rule.maximum), unit)


DAY_MS: Final = 24 * HOUR_MS
MOST: Final = 60
"""How many stretches are compared, at most; each is a minute, an hour or a day long."""


SWING: Final = {MINUTE_MS: 0.05, HOUR_MS: 0.25}
"""By what share rates go up and down in an hour and in a day, at most, without a drift."""


class Series(NamedTuple):
    """Buckets in stretches of one length, oldest first, whose rewards are all known."""

    starts_ms: list[int]
    stretches: list[list[Bucket]]
    reward_range: RewardRange
    length_ms: int


class Changed(NamedTuple):
    """Whether a rate changed, the likeliest time of it, and the rates before and after."""

    drift: Drift
    since_ms: int
    before: float
    after: float


def series_of(tally: PlacementCounts, reward_range: RewardRange, window_ms: int) -> Series:
    """Returns the placement's series, without decisions whose rewards may still come."""
    until_ms = tally.latest_ms - window_ms
    for length_ms in (MINUTE_MS, HOUR_MS, DAY_MS):
        kept_ms = min(length_ms, HOUR_MS)
        by_start: dict[int, list[Bucket]] = {}
        for bucket in tally.buckets(kept_ms, 0, until_ms - kept_ms + 1):
            by_start.setdefault(bucket.start_ms - bucket.start_ms % length_ms, []).append(bucket)
        # Minutes are kept for a day, so they are not all that a longer series has.
        is_long = any(tally.buckets(HOUR_MS, 0, tally.latest_ms - DAY_MS))
        if len(by_start) <= MOST and (length_ms > MINUTE_MS or not is_long):
            break
    starts = sorted(by_start)
    return Series(starts, [by_start[start] for start in starts], reward_range, length_ms)


def creative_drift(series: Series, creative_id: str) -> Changed | None:
    """Returns whether the creative's rate changed; None where it was shown in no two stretches.

    Stretches shorter than a day may differ as the hours of a day do.
    """
    low, width = series.reward_range.low, series.reward_range.width
    found = []
    for buckets in series.stretches:
        counted = [b.creatives[creative_id] for b in buckets if creative_id in b.creatives]
        n = sum(each.n for each in counted)
        total = sum(each.total for each in counted)
        found.append(TimeBucket(n, (total - low * n) / width))
    drift = drift_of(found, swing=SWING.get(series.length_ms, 0.0))
    if drift is None:
        return None
    return Changed(
        drift,
        series.starts_ms[drift.since],
        low + width * drift.before,
        low + width * drift.after,
    )
