"""Logs around another log: one repeats calls while the other is out of reach, one counts.

A fold keeps what it has in memory while a broker restarts, so its calls wait for the log. Counts
of what passes are for metrics.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple, ParamSpec, TypeVar

from streams.errors import LogError, LogUnavailable, MessagesRefused
from streams.logs.base import (
    Consumer,
    Log,
    Message,
    RebalanceListener,
    Record,
    TopicOffset,
    TopicPartition,
)

RETRY_SECONDS: Final = 0.5
DENIED_SECONDS: Final = 2.0
"""How long after a denial an append is made again."""

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


class RetryingLog:
    """Another log, whose calls last as long as it is out of reach.

    An append that failed may have written a part and is then made again in full, so this is
    for those whose messages twice are the same as once.

    Every method of a log is there, and raises `LogUnavailable` if the log is still out of reach
    when `stop` is set. A consumer is that of the log itself.

    Args:
        log: the log that is asked.
        stop: ends the waiting.
        retry_seconds: how long after a failure the call is made again; `RETRY_SECONDS` if None.
    """

    def __init__(
        self, log: Log, *, stop: threading.Event, retry_seconds: float | None = None
    ) -> None:
        self._log = log
        self._stop = stop
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._append = self._patient(log.append)
        self.create_topic = self._patient(log.create_topic)
        self.partitions = self._patient(log.partitions)
        self.read = self._patient(log.read)
        self.start_offset = self._patient(log.start_offset)
        self.end_offset = self._patient(log.end_offset)
        self.end_offsets = self._patient(log.end_offsets)
        self.consumer = self._patient(log.consumer)
        self.committed = self._patient(log.committed)
        self.time = self._patient(log.time)
        self.close = log.close

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, and returns where they are; asks nothing for none.

        Those that access rules keep out are tried again, as if the log were out of reach.

        Raises:
            MessagesRefused: some can never be written; the others are.
        """
        written: dict[int, TopicOffset] = {}
        refused: dict[int, LogError] = {}
        left = list(range(len(messages)))
        while left:
            try:
                places = self._append([messages[position] for position in left])
            except MessagesRefused as error:
                written |= {left[n]: at for n, at in error.written.items()}
                never = {left[n]: why for n, why in error.refused.items() if not why.retriable}
                refused |= never
                left = [left[n] for n in error.refused if left[n] not in never]
                if left and self._stop.wait(DENIED_SECONDS):
                    raise LogUnavailable(str(error)) from error
                if left:
                    logger.warning("%d messages wait to be let in: %s", len(left), error)
            else:
                written |= zip(left, places, strict=True)
                left = []
        if refused:
            raise MessagesRefused(refused, written)
        return [written[position] for position in range(len(messages))]

    def topic_settings(self, topics: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Returns the settings of these topics by Kafka's names; none where a log has no such."""
        return self._log.topic_settings(topics)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Returns the partition that a message of this key gets where there are so many."""
        return self._log.partition_of(key, partitions)

    def _patient(self, ask: Callable[P, T]) -> Callable[P, T]:
        def patiently(*args: P.args, **options: P.kwargs) -> T:
            while True:
                try:
                    return ask(*args, **options)
                except LogUnavailable as error:
                    if self._stop.wait(self._retry_seconds):
                        raise
                    logger.warning("the log is out of reach, trying again: %s", error)

        return patiently


_topic: Final = attrgetter("topic")
_place: Final = attrgetter("topic", "partition")


class Behind(NamedTuple):
    """How many records a consumer of this process has not read yet; the group "" is none."""

    group: str
    topic: str
    partition: int
    records: int


class Traffic:
    """How many records went through, and how many bytes of keys and values, by topic."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, topic: str, items: Sequence[Message | Record]) -> None:
        """Counts what went through; from any thread."""
        size = sum([len(item.key) + len(item.value) for item in items])
        with self._lock:
            self.records[topic] += len(items)
            self.bytes[topic] += size


class MeteredLog:
    """The log that it is handed, counted.

    `appended` is what was written since the start, and `taken` what was handed out, to
    consumers and otherwise. What is not counted is the log's own.
    """

    def __init__(self, log: Log) -> None:
        self.appended = Traffic()
        self.taken = Traffic()
        self._log = log
        self._consumers: set[MeteredConsumer] = set()
        self.create_topic = log.create_topic
        self.partitions = log.partitions
        self.start_offset = log.start_offset
        self.end_offset = log.end_offset
        self.end_offsets = log.end_offsets
        self.committed = log.committed
        self.time = log.time
        self.close = log.close

    def behind(self) -> list[Behind]:
        """Returns how far behind each consumer is, in the partitions that it holds.

        On Kafka the marks of transactions count as well. Where a partition is held twice for
        the same group, the one further behind counts.

        Raises:
            LogError: the log did not say.
        """
        found: dict[tuple[str, TopicPartition], int] = {}
        for consumer in list(self._consumers):
            for partition, position in dict(consumer.positions).items():
                at = self._log.start_offset(partition) if position is None else position
                # The end is asked for last, so that who keeps up never seems ahead of it.
                records = max(self._log.end_offset(partition) - at, 0)
                key = consumer.group, partition
                found[key] = max(found.get(key, 0), records)
        if not found:
            # Nobody is behind, and the question is still whether the log answers.
            for topic in [*self.taken.records, *self.appended.records][:1]:
                self._log.end_offset(TopicPartition(topic, 0))
        return [Behind(group, *partition, records) for (group, partition), records in found.items()]

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, in order, and returns where; counted once they are there."""
        try:
            written = self._log.append(messages)
        except MessagesRefused as error:
            self._count([message for n, message in enumerate(messages) if n in error.written])
            raise
        self._count(messages)
        return written

    def _count(self, messages: Sequence[Message]) -> None:
        for topic, run in groupby(messages, _topic):
            self.appended.add(topic, list(run))

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`, without waiting; empty at the end."""
        records = self._log.read(partition, offset, limit=limit)
        if records:
            self.taken.add(partition.topic, records)
        return records

    def topic_settings(self, topics: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Returns the settings of these topics by Kafka's names; none where a log has no such."""
        return self._log.topic_settings(topics)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Returns the partition that a message of this key gets where there are so many."""
        return self._log.partition_of(key, partitions)

    def consumer(
        self, topics: Sequence[str], assignee: RebalanceListener, *, group: str | None = None
    ) -> MeteredConsumer:
        """Returns a consumer of the topics' partitions, counted until it is closed."""
        return MeteredConsumer(self._log, topics, assignee, group, self.taken, self._consumers)


class MeteredConsumer:
    """A consumer of another log, counted, and the rebalance listener that it gives to that log.

    Attributes:
        group: that of the consumer, "" if it has none.
        positions: where it is in each partition that it holds; None for the oldest record.
    """

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        assignee: RebalanceListener,
        group: str | None,
        taken: Traffic,
        consumers: set[MeteredConsumer],
    ) -> None:
        self.group = group or ""
        self.positions: dict[TopicPartition, int | None] = {}
        self._assignee = assignee
        self._taken = taken
        self._consumers = consumers
        self._consumer: Consumer = log.consumer(topics, self, group=group)
        self.pause = self._consumer.pause
        self.resume = self._consumer.resume
        self.commit = self._consumer.commit
        self.stay = self._consumer.stay
        consumers.add(self)

    def poll(self, timeout_seconds: float, *, limit: int = 5000) -> list[Record]:
        """Returns up to about `limit` next records; waits for the first at most the timeout."""
        records = self._consumer.poll(timeout_seconds, limit=limit)
        for _, run in groupby(records, _place):
            found = list(run)
            self._taken.add(found[0].topic, found)
            partition = TopicPartition(*found[0][:2])
            # What was revoked while it was on its way is no longer ours to report on.
            if partition in self.positions:
                self.positions[partition] = found[-1].offset + 1
        return records

    def close(self) -> None:
        """Has the assignee save what it holds, commits that, and leaves."""
        try:
            self._consumer.close()
        finally:
            self._consumers.discard(self)

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Notes where the assignee starts each partition."""
        self.positions.update(dict.fromkeys(partitions))
        starts = self._assignee.assigned(partitions)
        # Some may have been revoked meanwhile.
        for partition in self.positions.keys() & partitions:
            self.positions[partition] = starts.get(partition)
        return starts

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Forgets these partitions, and has the assignee save them."""
        for partition in partitions:
            self.positions.pop(partition, None)
        return self._assignee.revoked(partitions)
