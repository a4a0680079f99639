"""Feeds outcomes from other people's topics into ours, once each, whatever crashes.

Where it is in each partition is saved only after what it read was written; what is then read a
second time makes the same outcomes under the same ids, and the join counts them once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from streams.checkpoint import TAKEOVER_SECONDS, Checkpoints, exclusive
from streams.dead_letter import dead_letter_message, origin
from streams.errors import CheckpointError, LogUnavailable, MappingError, UnmappedError
from streams.events import DEAD_LETTER, OUTCOMES, TOPICS, encode
from streams.log import Consumer, Log, Message, Record, TopicPartition
from streams.mapper import Mapper
from streams.mapping import TopicMapping
from streams.patience import RetryingLog
from streams.topics import INGEST_GROUP
from streams.traceparent import STATE as TRACESTATE
from streams.traceparent import trace_headers

BATCH: Final = 2000
POLL_SECONDS: Final = 0.25
CHECKPOINT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 60.0
DEAD_LETTERS: Final = TopicPartition(DEAD_LETTER, 0)

logger = logging.getLogger(__name__)


@dataclass
class IngestCounts:
    """What became of the records that were read: each is one of the last three."""

    records: int = 0
    outcomes: int = 0
    skipped: int = 0
    refused: int = 0


def run_ingest(
    log: Log,
    checkpoints_directory: Path,
    mappings: Sequence[TopicMapping],
    *,
    stop: threading.Event,
    source: Log | None = None,
    begin: Literal["oldest", "newest"] = "oldest",
    batch: int = BATCH,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    counts: IngestCounts | None = None,
) -> IngestCounts:
    """Appends an outcome for each record of the mapped topics, until `stop` is set.

    A record that cannot be mapped goes to the dead letters, as it is.

    Args:
        log: holds the topics of `create_topics`.
        checkpoints_directory: where it keeps how far it is.
        mappings: one for each topic.
        stop: ends the run after the batch at hand.
        source: the log that has the mapped topics, if it is another.
        begin: where to begin in a partition that was never read: at the oldest record, or
            with what comes from now on.
        batch: about how many records are mapped at a time.
        checkpoint_seconds: how often it saves how far it is.
        counts: where to count, for who looks on meanwhile.

    Raises:
        MappingError: a mapping cannot be, or two are of one topic.
        LockError: another process does this with the same directory.
        CheckpointError: a checkpoint is damaged, or of another log.
        TopicError: a topic is missing.
        LogUnavailable: the log was out of reach until `stop` was set.
    """
    reading = log if source is None else source
    ingest = Ingest(
        log,
        reading,
        _mappers(mappings, same_log=reading is log),
        checkpoints_directory,
        stop=stop,
        begin=begin,
        checkpoint_seconds=checkpoint_seconds,
        counts=counts,
    )
    consumer = reading.consumer([m.topic for m in mappings], ingest, group=INGEST_GROUP)
    try:
        while not stop.is_set():
            ingest.step(consumer, batch)
    except BaseException:
        # Letters of a batch that broke off would be taken for those of a batch that did not.
        ingest.abandon()
        raise
    finally:
        consumer.close()
        ingest.report()
    return ingest.counts


@dataclass
class _Held:
    """A partition at hand: the offset to read next, None for the oldest there is.

    `laid_aside` are the offsets of records whose letters, from `letters_from` on, were written
    before a crash: what is read again is not laid aside again.
    """

    position: int | None
    laid_aside: set[int]
    letters_from: int
    lock: ExitStack
    saved: bool = False


class Ingest:
    """The partitions that one process maps, as they are assigned and revoked.

    A step is: read records; map them; append outcomes and dead letters; and, from time to time,
    save the offsets and commit them. The group's commits matter where a partition moves to a
    machine that has no checkpoint of it, or an old one: the further of the two is right.
    """

    def __init__(
        self,
        log: Log,
        source: Log,
        mappers: Mapping[str, Mapper],
        checkpoints_directory: Path,
        *,
        stop: threading.Event,
        begin: Literal["oldest", "newest"] = "oldest",
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        counts: IngestCounts | None = None,
    ) -> None:
        self.counts = counts or IngestCounts()
        self._log = RetryingLog(log, stop=stop, retry_seconds=RETRY_SECONDS)
        self._source = RetryingLog(source, stop=stop, retry_seconds=RETRY_SECONDS)
        self._mappers = mappers
        self._directory = checkpoints_directory
        self._checkpoints = Checkpoints(checkpoints_directory)
        self._begin = begin
        self._checkpoint_seconds = checkpoint_seconds
        self._monotonic = monotonic
        self._held: dict[TopicPartition, _Held] = {}
        self._reported = IngestCounts()
        self._checkpoint_at = monotonic() + checkpoint_seconds
        self._report_at = monotonic() + REPORT_SECONDS

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Takes up each partition where it was left."""
        for partition in partitions:
            self._held[partition] = self._take_up(partition)
        # At once, since where the newest record is will be elsewhere by the next start.
        return self._save(partitions)

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Saves these partitions and lets go of them."""
        ours = [partition for partition in partitions if partition in self._held]
        offsets = self._save(ours)
        for partition in ours:
            self._held.pop(partition).lock.close()
        return offsets

    def step(self, consumer: Consumer, limit: int = BATCH) -> None:
        """Reads, maps and appends once; saves when that is due."""
        records = consumer.poll(POLL_SECONDS, limit=limit)
        self._log.append([message for record in records for message in self._mapped(record)])
        for record in records:
            held = self._held[TopicPartition(record.topic, record.partition)]
            held.position, held.saved = record.offset + 1, False
        now = self._monotonic()
        if now >= self._checkpoint_at:
            self._checkpoint_at = now + self._checkpoint_seconds
            if offsets := self._save([p for p, held in self._held.items() if not held.saved]):
                _commit(consumer, offsets)
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
            logger.info("%s", self.counts)
        self._reported = replace(self.counts)
        self._report_at = self._monotonic() + REPORT_SECONDS

    def _mapped(self, record: Record) -> list[Message]:
        self.counts.records += 1
        try:
            outcome = self._mappers[record.topic].outcome(record)
        except UnmappedError as error:
            return self._laid_aside(record, error)
        if outcome is None:
            self.counts.skipped += 1
            return []
        self.counts.outcomes += 1
        headers = trace_headers(outcome.traceparent)
        if headers:
            headers += tuple(header for header in record.headers if header[0] == TRACESTATE)
        return [Message(OUTCOMES, outcome.event_id.encode(), encode(outcome), headers)]

    def _laid_aside(self, record: Record, error: UnmappedError) -> list[Message]:
        self.counts.refused += 1
        held = self._held[TopicPartition(record.topic, record.partition)]
        if record.offset in held.laid_aside:
            return []
        return [dead_letter_message(record, error.code, str(error))]

    def _take_up(self, partition: TopicPartition) -> _Held:
        name = _name(partition)
        with ExitStack() as lock:
            lock.enter_context(exclusive(self._directory, name, patience_seconds=TAKEOVER_SECONDS))
            checkpoint = self._checkpoints.load(name)
            offsets = checkpoint.offsets if checkpoint else {}
            position = self._position(partition, offsets.get(partition))
            letters_from = offsets.get(DEAD_LETTERS, self._log.start_offset(DEAD_LETTERS))
            laid_aside = self._letters_since(letters_from, partition)
            return _Held(position, laid_aside, letters_from, lock.pop_all())

    def _position(self, partition: TopicPartition, saved: int | None) -> int | None:
        end = self._source.end_offset(partition)
        committed = self._source.committed(INGEST_GROUP, partition)
        known = [offset for offset in (saved, committed) if offset is not None]
        if not known:
            return end if self._begin == "newest" else None
        if max(known) > end:
            raise CheckpointError(
                f"{_name(partition)} is at offset {max(known)}, beyond the end {end} of the topic: "
                "it is of another log, or the topic was made anew; delete its checkpoint, and on "
                f"Kafka the offsets of group {INGEST_GROUP!r}"
            )
        return max(known)

    def _letters_since(self, offset: int, partition: TopicPartition) -> set[int]:
        """Returns the offsets of the partition's records among the dead letters since then."""
        found: set[int] = set()
        while letters := self._log.read(DEAD_LETTERS, offset):
            places = (place for letter in letters if (place := origin(letter)))
            found.update(place[2] for place in places if place[:2] == partition)
            offset = letters[-1].offset + 1
        return found

    def _save(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Saves how far these partitions are; returns that."""
        offsets = {p: at for p in partitions if (at := self._held[p].position) is not None}
        end = self._log.end_offset(DEAD_LETTERS) if offsets else 0
        for partition, offset in offsets.items():
            held = self._held[partition]
            if all(laid_aside < offset for laid_aside in held.laid_aside):
                held.laid_aside.clear()
                held.letters_from = end
            saved = {partition: offset, DEAD_LETTERS: held.letters_from}
            self._checkpoints.save(_name(partition), b"", saved)
            held.saved = True
        return offsets


def _mappers(mappings: Sequence[TopicMapping], *, same_log: bool) -> dict[str, Mapper]:
    mappers: dict[str, Mapper] = {}
    for mapping in mappings:
        topic = mapping.topic
        if topic in mappers:
            raise MappingError(f"two mappings are of topic {topic!r}; a topic has one")
        if same_log and topic in TOPICS:
            raise MappingError(f"topic {topic!r} is copyloop's own; map one of yours")
        mappers[topic] = Mapper(mapping)
    return mappers


def _commit(consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
    try:
        consumer.commit(offsets)
    except LogUnavailable as error:
        # The checkpoint holds them too; the next commit tells the group of these as well.
        logger.warning("offsets not committed: %s", error)


def _name(partition: TopicPartition) -> str:
    return f"ingest-{partition.topic}-{partition.partition}"
