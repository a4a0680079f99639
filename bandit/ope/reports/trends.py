"""A policy's value by time and by segment, in bounded memory: an average hides both.

Each part of the log keeps an estimator of its own, so its figures come with intervals, and parts
that were kept on different machines are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from bandit.ope.base import UNIT, Batch, Floats, RewardRange
from bandit.ope.estimators.running import Formula, RunningEstimate
from bandit.ope.intervals import LEVEL, Interval

BUCKETS: Final = 48
SEGMENTS: Final = 200
REST: Final = "(others)"
FIRST_WIDTH_MS: Final = 1000


class Part(msgspec.Struct, frozen=True):
    """A part of the log: what the policy would have earned there, and what the log's own did.

    `label` is the segment's value, the slot's number, or the time at which the part starts, in
    milliseconds. `logged` is None where it was not kept.
    """

    label: str
    n: int
    value: float | None
    interval: Interval | None
    logged: float | None


class ByTime:
    """One estimator for each stretch of time; stretches double when they become too many.

    >>> from bandit.ope.estimators.importance import Snips
    >>> trend, half = ByTime(Snips()), np.full(4, 0.5)
    >>> batch = Batch(np.array([0.0, 1.0, 1.0, 1.0]), half, half)
    >>> trend.add(batch, np.array([0, 10, 90_000, 91_000]))
    >>> [(part.label, part.n, part.value) for part in trend.get()]
    [('0', 2, 0.5), ('90000', 2, 1.0)]
    """

    def __init__(self, formula: Formula[Batch], reward_range: RewardRange = UNIT) -> None:
        self._formula = formula
        self._range = reward_range
        self._width_ms = FIRST_WIDTH_MS
        self._parts: dict[int, _Tally] = {}

    def add(self, batch: Batch, timestamp_ms: Floats) -> None:
        """Takes in decisions, with the time of each."""
        if not len(batch):
            return
        first, last = int(timestamp_ms.min()), int(timestamp_ms.max())
        if self._parts:
            first = min(first, min(self._parts) * self._width_ms)
            last = max(last, max(self._parts) * self._width_ms)
        while last // self._width_ms - first // self._width_ms >= BUCKETS:
            self._double()
        keys = (timestamp_ms // self._width_ms).astype(np.int64)
        for key in np.unique(keys):
            tally = self._parts.setdefault(int(key), _Tally(self._formula, self._range))
            tally.add(batch[np.flatnonzero(keys == key)])

    def get(self, level: float = LEVEL) -> tuple[Part, ...]:
        """Returns the stretches that have decisions, in their order."""
        return tuple(
            self._parts[key].part(str(key * self._width_ms), level) for key in sorted(self._parts)
        )

    def __add__(self, other: ByTime) -> ByTime:
        total = ByTime(self._formula, self._range)
        total._width_ms = max(self._width_ms, other._width_ms)
        for one in (self, other):
            total._take(one._parts, total._width_ms // one._width_ms)
        while total._parts and max(total._parts) - min(total._parts) >= BUCKETS:
            total._double()
        return total

    def _double(self) -> None:
        self._width_ms *= 2
        halves, self._parts = self._parts, {}
        self._take(halves, 2)

    def _take(self, parts: dict[int, _Tally], times: int) -> None:
        """Takes in parts of which so many make one of this one's."""
        for key, tally in parts.items():
            self._parts.setdefault(key // times, _Tally(self._formula, self._range)).take(tally)


class BySegment:
    """One estimator for each value of a segment; past 200 of them, new ones are put together."""

    def __init__(self, formula: Formula[Batch], reward_range: RewardRange = UNIT) -> None:
        self._formula = formula
        self._range = reward_range
        self._parts: dict[str, _Tally] = {}

    def add(self, batch: Batch, labels: Sequence[str]) -> None:
        """Takes in decisions, with the segment of each."""
        rows: dict[str, list[int]] = {}
        for row, label in enumerate(labels):
            rows.setdefault(label, []).append(row)
        for label, chosen in rows.items():
            self._tally(label).add(batch[np.array(chosen)])

    def get(self, level: float = LEVEL) -> tuple[Part, ...]:
        """Returns the segments, the largest first."""
        found = [tally.part(label, level) for label, tally in self._parts.items()]
        return tuple(sorted(found, key=lambda part: (-part.n, part.label)))

    def __add__(self, other: BySegment) -> BySegment:
        total = BySegment(self._formula, self._range)
        for one in (self, other):
            for label, tally in one._parts.items():
                total._tally(label).take(tally)
        return total

    def _tally(self, label: str) -> _Tally:
        if label not in self._parts and len(self._parts) >= SEGMENTS:
            label = REST
        return self._parts.setdefault(label, _Tally(self._formula, self._range))


class _Tally:
    """The estimate over one part, and what the log's own policy earned there."""

    def __init__(self, formula: Formula[Batch], reward_range: RewardRange) -> None:
        self._estimate: RunningEstimate[Batch] = RunningEstimate(formula, reward_range)
        self._earned = 0.0

    def add(self, batch: Batch) -> None:
        self._estimate.add(batch)
        self._earned += float(batch.reward.sum())

    def take(self, other: _Tally) -> None:
        self._estimate = self._estimate + other._estimate
        self._earned += other._earned

    def part(self, label: str, level: float) -> Part:
        n, value, interval = self._estimate.get(level)
        return Part(label, n, value, interval, self._earned / n if n else 0.0)
