"""Feeds outcomes from other people's topics into ours, once each, whatever crashes.

Where it is in each partition is saved only after what it read was written; what is then read a
second time makes the same outcomes under the same ids, and the join counts them once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from streams.checkpoint import Checkpoint
from streams.dead_letters import WrittenDeadLetters, append_or_lay_aside
from streams.errors import MappingError
from streams.events import DEAD_LETTER, OUTCOMES, TOPICS, Outcome, encode
from streams.fold import AdaptiveInterval
from streams.ingest.mapping import Mapper, TopicMapping
from streams.logs.base import Log, Message, Record, TopicPartition
from streams.logs.cloudevents import STATE as TRACESTATE
from streams.logs.cloudevents import trace_headers
from streams.logs.wrappers import RetryingLog
from streams.partition_worker import CHECKPOINT_AGE_SECONDS, PartitionWorker, commit
from streams.readiness import nobody
from streams.topics import INGEST_GROUP

BATCH: Final = 2000
POLL_SECONDS: Final = 0.25
CHECKPOINT_SECONDS: Final = 1.0


@dataclass
class IngestCounts:
    """What became of the records that were read.

    `skipped` is what the mapping leaves out, and records without a value; `refused` are those of
    which something could not be mapped.
    """

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
    ready: Callable[[], None] = nobody,
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
        ready: called once its partitions are taken up.

    Raises:
        MappingError: a mapping cannot be, or two are of one topic.
        LockError: another process does this with the same directory.
        CheckpointError: a checkpoint is damaged, or of another log.
        TopicError: a topic is missing.
        LogUnavailable: the log was out of reach until `stop` was set.
    """
    counts = counts or IngestCounts()
    reading = log if source is None else source
    mappers = _mappers(mappings, stop, same_log=reading is log)
    log, reading = RetryingLog(log, stop=stop), RetryingLog(reading, stop=stop)
    worker = PartitionWorker(
        reading,
        checkpoints_directory,
        partial(_Ingested, reading, begin, counts),
        name=lambda partition: f"ingest-{partition.topic}-{partition.partition}",
        saving=AdaptiveInterval(checkpoint_seconds, longest_seconds=CHECKPOINT_AGE_SECONDS),
        outputs=(DEAD_LETTER,),
        output_log=log,
        stop=stop,
        counts=counts,
    )
    with worker.consumer(mappers, group=INGEST_GROUP) as consumer:
        ready()
        while not stop.is_set():
            records = consumer.poll(POLL_SECONDS, limit=batch)
            mapped = [(m, r) for r in records for m in worker[r[:2]].mapped(r, mappers)]
            sources = [record[:3] for _, record in mapped]
            append_or_lay_aside(log, [message for message, _ in mapped], sources.__getitem__)
            commit(consumer, worker.save_due())
    return counts


class _Ingested:
    """A partition at hand.

    The group's commits matter where a partition moves to a machine that has no checkpoint of it,
    or an old one: the further of the two is right.
    """

    def __init__(
        self,
        source: Log,
        begin: Literal["oldest", "newest"],
        counts: IngestCounts,
        partition: TopicPartition,
        checkpoint: Checkpoint | None,
    ) -> None:
        offsets = checkpoint.offsets if checkpoint else {}
        committed = source.committed(INGEST_GROUP, partition)
        known = [at for at in (offsets.get(partition), committed) if at is not None]
        newest = not known and begin == "newest"
        self.position = source.end_offset(partition) if newest else max(known, default=None)
        """The offset to read next, None for the oldest there is."""
        # Saved at once, since where the newest record is will be elsewhere by the next start.
        self.changed = self.position is not None
        self._partition = partition
        self._letters = WrittenDeadLetters([partition], offsets)
        self.written = (self._letters.written,)
        self._counts = counts

    def offsets(self) -> dict[TopicPartition, int]:
        return {} if self.position is None else {self._partition: self.position}

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(b"", self.offsets())

    def mapped(self, record: Record, mappers: Mapping[str, Mapper]) -> list[Message]:
        """Takes in the next record; returns its outcome or dead letter, where there is one."""
        self.position, self.changed = record.offset + 1, True
        self._counts.records += 1
        mapper = mappers[record.topic]
        if not record.value and mapper.reads_value:
            self._counts.skipped += 1
            return []
        found = mapper.outcomes(record)
        self._counts.skipped += found.skipped
        self._counts.outcomes += len(found.outcomes)
        messages = [_message(outcome, record) for outcome in found.outcomes]
        if found.refused is None:
            return messages
        self._counts.refused += 1
        error = found.refused
        return messages + self._letters.message(record, error.code, str(error))


def _message(outcome: Outcome, record: Record) -> Message:
    headers = trace_headers(outcome.traceparent)
    if headers:
        headers += tuple(header for header in record.headers if header[0] == TRACESTATE)
    return Message(OUTCOMES, outcome.event_id.encode(), encode(outcome), headers)


def _mappers(
    mappings: Sequence[TopicMapping], stop: threading.Event, *, same_log: bool
) -> dict[str, Mapper]:
    mappers: dict[str, Mapper] = {}
    for mapping in mappings:
        topic = mapping.topic
        if topic in mappers:
            raise MappingError(f"two mappings are of topic {topic!r}; a topic has one")
        if same_log and topic in TOPICS:
            raise MappingError(f"topic {topic!r} is copyloop's own; map one of yours")
        mappers[topic] = Mapper(mapping, stop)
    return mappers
