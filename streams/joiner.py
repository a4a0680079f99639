"""Runs the join over a log: many partitions, checkpoints, ticks, dead letters.

What is written follows from what is read, whatever happens in between: a joiner that is killed
goes on from its checkpoint, finds what it had written since, and writes the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from streams.catalogue import PARTITION as CATALOGUE_PARTITION
from streams.catalogue import CatalogueReader
from streams.checkpoint import TAKEOVER_SECONDS, Checkpoints, exclusive
from streams.errors import EventError, LogUnavailable, TopicError
from streams.events import DECISIONS, OUTCOMES, decode
from streams.join import Join
from streams.joined_partition import JoinCounts, JoinedPartition
from streams.log import Consumer, Log, Message, TopicPartition
from streams.patience import RetryingLog
from streams.topics import JOINER_GROUP
from streams.written import Written

BATCH: Final = 5000
POLL_SECONDS: Final = 0.25
CHECKPOINT_SECONDS: Final = 1.0
CHECKPOINT_SHARE: Final = 0.005
"""At most this share of the time goes into checkpoints: joining again is cheap, waiting is not."""
CHECKPOINT_LONGEST_SECONDS: Final = 30.0
"""But none is put off for longer: one that took a minute may have waited for a broker."""
WAITING_LIMIT: Final = 20_000
"""A side with so many records waiting for the other is paused until a quarter are left."""
RETRY_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 60.0

SIDES: Final = (DECISIONS, OUTCOMES)

logger = logging.getLogger(__name__)


def run_joiner(
    log: Log,
    checkpoints_directory: Path,
    *,
    stop: threading.Event,
    batch: int = BATCH,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    counts: JoinCounts | None = None,
) -> JoinCounts:
    """Joins until `stop` is set; then saves where it is, and returns what it counted.

    Args:
        log: holds the topics of `create_topics`.
        checkpoints_directory: where the state is kept; the log is joined again without it.
        stop: ends the run after the batch at hand.
        batch: about how many records are joined at a time.
        checkpoint_seconds: how often the state is saved, or less often where that takes long.
        counts: where to count, for who looks on meanwhile.

    Raises:
        LockError: another process joins this with the same directory.
        CheckpointError: a checkpoint is damaged.
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
    consumer = log.consumer(SIDES, joiner, group=JOINER_GROUP)
    try:
        while not stop.is_set():
            joiner.step(consumer, batch)
    except BaseException:
        # What is half joined must not be saved: the next start joins it again.
        joiner.abandon()
        raise
    finally:
        consumer.close()
        joiner.report()
    return joiner.counts


class Joiner:
    """The partitions that one process joins, as they are assigned and revoked.

    A step is: read records; read the catalogue to its end; join; write interactions, dead
    letters and ticks; and, from time to time, save each partition's state with the offsets of
    what it read and of where the outputs ended. All that was written before it was saved.
    """

    def __init__(
        self,
        log: Log,
        checkpoints_directory: Path,
        *,
        stop: threading.Event,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        counts: JoinCounts | None = None,
    ) -> None:
        self._log = log = RetryingLog(log, stop=stop, retry_seconds=RETRY_SECONDS)
        partitions = {topic: log.partitions(topic) for topic in SIDES}
        if len(set(partitions.values())) > 1:
            raise TopicError(f"{partitions} partitions: decisions and outcomes need equally many")
        self.counts = counts or JoinCounts()
        self._directory = checkpoints_directory
        self._checkpoints = Checkpoints(checkpoints_directory)
        self._checkpoint_seconds = checkpoint_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._catalogue = CatalogueReader(log)
        self._held: dict[int, JoinedPartition] = {}
        self._paused: set[TopicPartition] = set()
        self._checkpoint_at = monotonic() + checkpoint_seconds
        self._reported = JoinCounts()
        self._report_at = monotonic() + REPORT_SECONDS

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Takes up each partition where its checkpoint says."""
        starts: dict[TopicPartition, int] = {}
        for number in sorted({partition.partition for partition in partitions}):
            if number not in self._held:
                self._held[number] = self._take_up(number)
            starts |= self._held[number].offsets()
        return {partition: starts[partition] for partition in partitions if partition in starts}

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Saves these partitions and lets go of them."""
        offsets: dict[TopicPartition, int] = {}
        self._paused.difference_update(partitions)
        for number in sorted({partition.partition for partition in partitions}):
            held = self._held.pop(number, None)
            if held is not None:
                with held.lock:
                    offsets |= self._save(number, held)
        return {partition: offsets[partition] for partition in partitions if partition in offsets}

    def step(self, consumer: Consumer, limit: int = BATCH) -> None:
        """Reads, joins and writes once; waits for records as long as nothing is due."""
        records = consumer.poll(self._patience_seconds(), limit=limit)
        # Only now: the catalogue must be no older than any record that it is asked about.
        self._catalogue.catch_up()
        now, now_ms = self._monotonic(), int(self._clock() * 1000)
        messages = self._catalogue_letters()
        for record in records:
            self._held[record.partition].add(record, now)
        for number in sorted({record.partition for record in records}):
            messages += self._held[number].advance(self._log)
        for held in self._held.values():
            messages += held.ticks(now, now_ms)
        self._log.append(messages)
        self.counts.latency.written(int(self._clock() * 1000))
        self._balance(consumer)
        if now >= self._checkpoint_at:
            self._save_next(consumer)
        if now >= self._report_at:
            self.report()

    def abandon(self) -> None:
        """Lets go of all partitions as if killed: without saving them."""
        for held in self._held.values():
            held.lock.close()
        self._held.clear()

    def report(self) -> None:
        """Logs what was counted, if anything happened since the last time."""
        if self.counts != self._reported:
            logger.info("%s, default rate %.3f", self.counts, self.counts.default_rate)
        self._reported = replace(self.counts)
        self._report_at = self._monotonic() + REPORT_SECONDS

    def _take_up(self, number: int) -> JoinedPartition:
        with ExitStack() as lock:
            lock.enter_context(
                exclusive(self._directory, _name(number), patience_seconds=TAKEOVER_SECONDS)
            )
            checkpoint = self._checkpoints.load(_name(number))
            offsets = checkpoint.offsets if checkpoint else {}
            join = (
                Join.from_bytes(checkpoint.state, self._catalogue.catalogue)
                if checkpoint
                else Join(number, self._catalogue.catalogue)
            )
            return JoinedPartition(
                join,
                {side: offset for side, offset in offsets.items() if side.topic in SIDES},
                Written(self._log, number, offsets),
                self.counts,
                lock.pop_all(),
            )

    def _save(self, number: int, held: JoinedPartition) -> dict[TopicPartition, int]:
        offsets = held.offsets()
        written = held.written.offsets(self._log, self._catalogue.offset)
        self._checkpoints.save(_name(number), held.join.to_bytes(), offsets | written)
        held.changed = False
        return offsets

    def _save_next(self, consumer: Consumer) -> None:
        """Saves the partition whose turn it is; one at a time, so that nobody waits for all."""
        changed = [number for number, held in self._held.items() if held.changed]
        if not changed:
            return
        started_at = self._monotonic()
        number = min(changed, key=lambda number: self._held[number].saved_at)
        held = self._held[number]
        offsets = self._save(number, held)
        try:
            consumer.commit(offsets)
        except LogUnavailable as error:
            # The checkpoint is what counts; the group's offsets only show how far it is.
            logger.warning("cannot commit, leaving it to the next checkpoint: %s", error)
        held.saved_at = now = self._monotonic()
        every_seconds = self._checkpoint_seconds / len(self._held)
        put_off_seconds = max(every_seconds, (now - started_at) / CHECKPOINT_SHARE)
        self._checkpoint_at = now + min(put_off_seconds, CHECKPOINT_LONGEST_SECONDS)

    def _patience_seconds(self) -> float:
        now, now_ms = self._monotonic(), int(self._clock() * 1000)
        waits = [held.tick_due(now, now_ms)[0] for held in self._held.values()]
        return max(min([POLL_SECONDS, *waits]), 0.0)

    def _balance(self, consumer: Consumer) -> None:
        """Pauses a side that runs ahead of the other, so that what waits stays bounded."""
        for number, held in self._held.items():
            for topic in SIDES:
                side, waiting = TopicPartition(topic, number), held.merge.waiting(topic)
                if waiting >= WAITING_LIMIT and side not in self._paused:
                    self._paused.add(side)
                    consumer.pause([side])
                elif waiting <= WAITING_LIMIT // 4 and side in self._paused:
                    self._paused.discard(side)
                    consumer.resume([side])

    def _catalogue_letters(self) -> list[Message]:
        """Lays aside what is no catalogue event, if that falls to this process."""
        held = self._held.get(CATALOGUE_PARTITION.partition)
        if held is None:
            return []
        letters: list[Message] = []
        for record in self._catalogue.unreadable:
            if record.offset >= held.written.catalogue_offset:
                try:
                    decode(record.value)
                except EventError as error:
                    letters += held.lay_aside(record, error.code, str(error))
        self._catalogue.unreadable.clear()
        return letters


def _name(number: int) -> str:
    return f"join-{number}"
