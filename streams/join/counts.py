"""What a joiner counts: records by what became of them, and how long interactions took."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from streams.events import Status

BOUNDS_MS: Final = (
    *(5, 10, 25, 50, 100, 250, 500),
    *(1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000),
)
"""The buckets' upper bounds; one more bucket holds what took longer."""
STATUSES: Final[tuple[Status, ...]] = ("provisional", "corrected", "closed")


class JoinLatency:
    """The time from what made an interaction due to its being durable in the log, by status.

    Due is a `corrected` one with the record of its outcome, a `provisional` one with that of its
    decision, and a `closed` one with the end of its window: each is its `timestamp_ms`.
    """

    def __init__(self) -> None:
        self.counts = {status: [0] * (len(BOUNDS_MS) + 1) for status in STATUSES}
        self.sums_ms = dict.fromkeys(STATUSES, 0)
        self._due: list[tuple[Status, int]] = []

    def due(self, status: Status, timestamp_ms: int) -> None:
        """Notes an interaction that is to be written."""
        self._due.append((status, timestamp_ms))

    def written(self, now_ms: int) -> None:
        """Counts those that were noted, all of which are written now."""
        for status, timestamp_ms in self._due:
            took_ms = max(now_ms - timestamp_ms, 0)
            self.counts[status][bisect_left(BOUNDS_MS, took_ms)] += 1
            self.sums_ms[status] += took_ms
        self._due.clear()


@dataclass
class JoinCounts:
    """What a joiner has seen and done since it started.

    `forwarded` are outcomes that were sent on to the partition of their decision.

    `refused` are the records that could not be used for any reason but being late, orphan or a
    duplicate; `defaulted` are those of the `closed` decisions that got the default reward.
    """

    events: int = 0
    interactions: int = 0
    closed: int = 0
    defaulted: int = 0
    late: int = 0
    orphan: int = 0
    duplicate: int = 0
    refused: int = 0
    forwarded: int = 0
    dead_lettered: int = 0
    ticks: int = 0
    latency: JoinLatency = field(default_factory=JoinLatency, repr=False, compare=False)

    @property
    def default_rate(self) -> float:
        """The share of closed decisions that got the default reward; 0 if none was closed."""
        return self.defaulted / self.closed if self.closed else 0.0

    def __str__(self) -> str:
        return f"{self!r}, default rate {self.default_rate:.3f}"
