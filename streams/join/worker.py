"""Runs the join over a log: many partitions, checkpoints, ticks, dead letters.

What is written follows from what is read, whatever happens in between: a joiner that is killed
goes on from its checkpoint, finds what it had written since, and writes the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from streams.catalogue.state import PARTITION as CATALOGUE_PARTITION
from streams.catalogue.state import CatalogueReader
from streams.checkpoint import Checkpoint
from streams.dead_letters import append_or_lay_aside
from streams.errors import EventError, TopicError
from streams.events import DEAD_LETTER, INTERACTIONS, decode
from streams.fold import AdaptiveInterval
from streams.join.machine import Join
from streams.join.merge import SIDES
from streams.join.partition import JoinCounts, JoinedPartition
from streams.join.routing import layout_tick
from streams.join.written import JoinWritten, place_of
from streams.logs.base import Consumer, Log, Message, Record, TopicPartition
from streams.logs.wrappers import RetryingLog
from streams.partition_worker import CHECKPOINT_AGE_SECONDS, PartitionWorker, commit
from streams.readiness import nobody
from streams.topics import JOINER_GROUP

BATCH: Final = 5000
POLL_SECONDS: Final = 0.25
CHECKPOINT_SECONDS: Final = 1.0
CHECKPOINT_SHARE: Final = 0.005
"""At most this share of the time goes into checkpoints: joining again is cheap, waiting is not."""
CLOCK_SECONDS: Final = 5.0
"""Clocks of producers may be ahead by this, whatever the grace."""
LAYOUT_SECONDS: Final = 2.0
"""How often a joiner looks whether partitions were added."""
WAITING_LIMIT: Final = 20_000
"""A side with so many records waiting for the other is paused until a quarter are left."""


logger = logging.getLogger(__name__)


def run_joiner(
    log: Log,
    checkpoints_directory: Path,
    *,
    stop: threading.Event,
    batch: int = BATCH,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    counts: JoinCounts | None = None,
    ready: Callable[[], None] = nobody,
) -> JoinCounts:
    """Joins until `stop` is set; then saves where it is, and returns what it counted.

    Args:
        log: holds the topics of `create_topics`.
        checkpoints_directory: where the state is kept; the log is joined again without it.
        stop: ends the run after the batch at hand.
        batch: about how many records are joined at a time.
        checkpoint_seconds: how often the state is saved, or less often where that takes long.
        counts: where to count, for who looks on meanwhile.
        ready: called once its partitions are taken up.

    Raises:
        LockError: another process joins this with the same directory.
        CheckpointError: a checkpoint is damaged, or of another log.
        TopicError: a topic is missing, or decisions and outcomes differ in partitions.
        LogUnavailable: the log was out of reach until `stop` was set.
    """
    joiner = Joiner(
        log,
        checkpoints_directory,
        stop=stop,
        checkpoint_seconds=checkpoint_seconds,
        counts=counts,
    )
    with joiner.partitions.consumer(SIDES, group=JOINER_GROUP) as consumer:
        ready()
        while not stop.is_set():
            joiner.step(consumer, batch)
    return joiner.counts


class Joiner:
    """The join of the partitions that one process holds.

    A step is: read records; read the catalogue to its end; join; write interactions, dead
    letters and ticks; and, from time to time, save a partition's state with the offsets of what
    it read and of where the outputs ended. All that was written before it was saved.
    """

    def __init__(
        self,
        log: Log,
        checkpoints_directory: Path,
        *,
        stop: threading.Event,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        counts: JoinCounts | None = None,
    ) -> None:
        self._log = log = RetryingLog(log, stop=stop)
        numbers = {topic: log.partitions(topic) for topic in SIDES}
        if len(set(numbers.values())) > 1:
            raise TopicError(f"{numbers} partitions: decisions and outcomes need equally many")
        self.counts = counts or JoinCounts()
        self._catalogue = CatalogueReader(log)
        self._count_at = time.monotonic()
        self._now_ms = log.time().log_ms
        self._broker_ms = 0
        self.partitions = PartitionWorker(
            log,
            checkpoints_directory,
            self._take_up,
            name=lambda side: f"join-{side.partition}",
            saving=AdaptiveInterval(
                checkpoint_seconds,
                share=CHECKPOINT_SHARE,
                longest_seconds=CHECKPOINT_AGE_SECONDS,
            ),
            outputs=(INTERACTIONS, DEAD_LETTER),
            stop=stop,
            counts=self.counts,
        )

    def step(self, consumer: Consumer, limit: int = BATCH) -> None:
        """Reads, joins and writes once; waits for records as long as nothing is due."""
        records = consumer.poll(self._patience_seconds(), limit=limit)
        # Only now: the catalogue must be no older than any record that it is asked about.
        self._catalogue.catch_up()
        # Windows end by the log's time, which is that of the ticks as well.
        now, now_ms = time.monotonic(), self._log.time().log_ms
        messages = self._catalogue_letters() + self._layout_ticks(now)
        latest_ms = self._latest_ms(records, now_ms)
        touched: dict[int, JoinedPartition] = {}
        for record in records:
            held = touched[record.partition] = self.partitions[record[:2]]
            held.add(record, now, latest_ms)
        for number in sorted(touched):
            messages += touched[number].advance(self._log)
        for held in self.partitions:
            messages += held.ticks(now, now_ms)
        append_or_lay_aside(self._log, messages, lambda position: place_of(messages[position]))
        self._now_ms = self._log.time().log_ms
        self.counts.latency.written(self._now_ms)
        for held in self.partitions:
            _balance(held, consumer)
        commit(consumer, self.partitions.save_due())

    def _latest_ms(self, records: Sequence[Record], now_ms: int) -> int:
        """Returns the latest time that a producer may give a record: now, and the longest grace.

        Now is by this machine's clock, or a broker's, if that is ahead.
        """
        told = [record.timestamp_ms for record in records if record.is_log_time]
        self._broker_ms = max([self._broker_ms, *told])
        if len(told) == len(records):
            return self._broker_ms
        rules = [placement.reward for placement in self._catalogue.catalogue.placements()]
        grace_seconds = max([CLOCK_SECONDS, *(rule.grace_seconds for rule in rules)])
        return max(now_ms, self._broker_ms) + round(grace_seconds * 1000)

    def _take_up(self, side: TopicPartition, checkpoint: Checkpoint | None) -> JoinedPartition:
        number, catalogue = side.partition, self._catalogue.catalogue
        offsets = checkpoint.offsets if checkpoint else {}
        join = (
            Join.from_bytes(checkpoint.state, catalogue) if checkpoint else Join(number, catalogue)
        )
        inputs = {place: offset for place, offset in offsets.items() if place.topic in SIDES}
        return JoinedPartition(join, inputs, JoinWritten(number, offsets), self.counts)

    def _layout_ticks(self, now: float) -> list[Message]:
        """Returns ticks that tell joins how many partitions there are, where they do not know.

        A join learns that by a record, and so at the same place however often it reads. Where
        partitions were added, all joins are told, also those of other processes.
        """
        if now < self._count_at and all(held.told_layout for held in self.partitions):
            return []
        self._count_at = now + LAYOUT_SECONDS
        # While only one of the two topics has its new partitions, nothing can be joined in them.
        count = min(self._log.partitions(topic) for topic in SIDES)
        untold = [held for held in self.partitions if held.tell_layout(count)]
        layouts = {count}.union(*(held.join.layouts for held in self.partitions))
        added = len(layouts) > 1
        if untold and added:
            logger.info("decisions and outcomes have %d partitions now", count)
        sources = range(count) if added else [held.join.source for held in untold]
        return [layout_tick(number, layouts) for number in sources] if untold else []

    def _patience_seconds(self) -> float:
        now = time.monotonic()
        waits = [held.tick_due(now, self._now_ms)[0] for held in self.partitions]
        return max(min([POLL_SECONDS, *waits]), 0.0)

    def _catalogue_letters(self) -> list[Message]:
        """Returns letters of what is no catalogue event, if that falls to this process."""
        letters: list[Message] = []
        for held in self.partitions:
            if held.join.source != CATALOGUE_PARTITION.partition:
                continue
            for record in self._catalogue.unreadable:
                if record.offset >= held.wrote.catalogue_offset:
                    try:
                        decode(record.value)
                    except EventError as error:
                        letters += held.lay_aside(record, error.code, str(error))
            held.wrote.catalogue_offset = self._catalogue.offset
            self._catalogue.unreadable.clear()
        return letters


def _balance(held: JoinedPartition, consumer: Consumer) -> None:
    """Pauses a side that runs ahead of the other, so that what waits stays bounded."""
    for topic in SIDES:
        side, waiting = TopicPartition(topic, held.join.source), held.merge.waiting(topic)
        if waiting >= WAITING_LIMIT and topic not in held.paused:
            held.paused.add(topic)
            consumer.pause([side])
        elif waiting <= WAITING_LIMIT // 4 and topic in held.paused:
            held.paused.discard(topic)
            consumer.resume([side])
