"""Reading a log: scans of partitions, threads that follow it, and how far apart steps are kept.

`state = fold(records)`: each fold supplies what one record does to its state. How records are
read is written once, here; `streams.partition_worker` says who holds a partition, and when state
and offsets are saved together.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from streams.errors import LogUnavailable
from streams.logs.base import Log, Record, TopicPartition

BATCH: Final = 1000
RETRY_SECONDS: Final = 0.5
SHARE: Final = 0.05
MOST: Final = 0.25
LONGEST_SECONDS: Final = 30.0
"""No step is put off for longer: one that took a minute may have waited for a broker."""

Progress = Callable[[str, int, int], None]
"""Told the topic being read, how many of its records are done, and how many there are."""

logger = logging.getLogger(__name__)


def partitions(log: Log, topic: str) -> list[TopicPartition]:
    """Returns the topic's partitions.

    Raises:
        TopicError: there is no such topic.
    """
    return [TopicPartition(topic, number) for number in range(log.partitions(topic))]


def ends(log: Log, topic: str) -> dict[TopicPartition, int]:
    """Returns where each of the topic's partitions ends, asked for at once."""
    return log.end_offsets(partitions(log, topic))


def batches(
    log: Log,
    partition: TopicPartition,
    start: int | None = None,
    *,
    end: int | None = None,
    limit: int = BATCH,
) -> Iterator[list[Record]]:
    """Yields the partition's records in batches of up to `limit`, none of them empty.

    Args:
        log: holds the partition.
        partition: what is read.
        start: the offset of the first record; the oldest that is kept if None.
        end: the offset before which to stop; where the log ends by then if None.
        limit: how many records are read at once.
    """
    offset = log.start_offset(partition) if start is None else start
    while (end is None or offset < end) and (records := log.read(partition, offset, limit=limit)):
        offset = records[-1].offset + 1
        if end is not None and offset > end:
            records = [record for record in records if record.offset < end]
        if records:
            yield records


def scan(
    log: Log,
    partition: TopicPartition,
    start: int | None = None,
    *,
    end: int | None = None,
    limit: int = BATCH,
) -> Iterator[Record]:
    """Yields the partition's records, as `batches` reads them."""
    return chain.from_iterable(batches(log, partition, start, end=end, limit=limit))


def scan_topic(
    log: Log, topic: str, offsets: dict[TopicPartition, int] | None = None
) -> Iterator[Record]:
    """Yields the topic's records, partition by partition, to where each ends by then.

    Each partition starts at its offset in `offsets`, or at the oldest record. An offset moves on
    before its record is yielded, so what the caller saves has that record in it.
    """
    offsets = {} if offsets is None else offsets
    for partition in partitions(log, topic):
        for record in scan(log, partition, offsets.get(partition)):
            offsets[partition] = record.offset + 1
            yield record


def history(log: Log, topic: str, progress: Progress | None = None) -> Iterator[list[Record]]:
    """Yields batches of the topic's records, by partition, to where it ends when this is called.

    After each batch `progress` is told how far the reading is.
    """
    until = ends(log, topic)
    starts = {partition: log.start_offset(partition) for partition in until}
    done, total = 0, sum(until.values()) - sum(starts.values())
    for partition, start in starts.items():
        for records in batches(log, partition, start, end=until[partition], limit=BATCH):
            yield records
            done += len(records)
            if progress is not None:
                progress(topic, done, total)


def follow(
    name: str,
    look: Callable[[], object],
    *,
    stop: threading.Event,
    every_seconds: float = 0.0,
    reset: Callable[[], object] = lambda: None,
) -> None:
    """Looks again and again for what is new in a log, also after the log was away.

    Args:
        name: of what is followed, for messages.
        look: takes in what is new; may wait for it. True if there is more to look at right away.
        stop: ends this after the look at hand.
        every_seconds: the pause between two looks.
        reset: called when the log went away, and at the end: lets go of what `look` opened.
    """
    away, more = False, False
    try:
        while not stop.is_set():
            try:
                more = look() is True
                away = False
            except LogUnavailable as error:
                if not away:
                    logger.warning("%s are not followed for now: %s", name, error)
                away, more = True, False
                with suppress(LogUnavailable):
                    reset()
            if not more:
                stop.wait(max(every_seconds, RETRY_SECONDS) if away else every_seconds)
    finally:
        with suppress(LogUnavailable):
            reset()


class Follower:
    """A thread that follows a log; see `follow` for its arguments."""

    def __init__(
        self,
        name: str,
        look: Callable[[], object],
        *,
        every_seconds: float = 0.0,
        reset: Callable[[], object] = lambda: None,
    ) -> None:
        self.ending = threading.Event()
        """Ends the thread after the look at hand; a long look asks for it."""
        options = {"stop": self.ending, "every_seconds": every_seconds, "reset": reset}
        self._thread = threading.Thread(
            target=follow, args=(name, look), kwargs=options, name=name, daemon=True
        )

    @property
    def following(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts the thread; it looks until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread, and waits for it."""
        self.ending.set()
        if self._thread.ident is not None:
            self._thread.join()


class Viewer:
    """Starts each partition at an offset, and saves nothing: for consumers that only look."""

    def __init__(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._offsets = offsets

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Returns where each partition starts."""
        return {partition: self._offsets[partition] for partition in partitions}

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Returns nothing, since nothing is to be committed."""
        return {}


class AdaptiveInterval:
    """Spaces a costly step, so that it leaves most of the time to the rest.

    From the beginning of one run to that of the next it takes at least the interval, at most
    `longest_seconds`, and in between so long that the step takes at most `share` of the time.
    Where several steps take turns, the longest time is that of a whole round, unless the round
    would take more than `MOST` of it.

    Args:
        interval_seconds: from one run to the next, at least.
        clock: the time in seconds, from any start.
        cost_clock: what a run costs, in seconds: the same clock, or one of processor time, by
            which waiting for others costs nothing.
        share: at most this share of the time goes into the step.
        longest_seconds: from one run to the next, at most.
    """

    def __init__(
        self,
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        cost_clock: Callable[[], float] | None = None,
        *,
        share: float = SHARE,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._longest_seconds = longest_seconds
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._cost_clock = cost_clock or clock
        self._share = share
        self._due_at = clock()

    def wait_seconds(self) -> float:
        """Returns how long until the step is due; 0 when it is."""
        return max(self._due_at - self._clock(), 0.0)

    def run(self, step: Callable[[], None], *, turns: int = 1) -> None:
        """Runs the step, one of so many that take turns, and puts off the next by what it cost."""
        started_at, cost = self._clock(), -self._cost_clock()
        step()
        cost += self._cost_clock()
        put_off_seconds = max(self._interval_seconds / turns, cost / self._share)
        round_seconds = max(self._longest_seconds / turns, min(cost / MOST, LONGEST_SECONDS))
        self._due_at = started_at + min(put_off_seconds, round_seconds)
