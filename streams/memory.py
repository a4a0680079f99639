"""The log in memory: for tests, simulations and replay, where nothing need outlive the process.

It keeps to the same laws as the others, and so stands in for them wherever durability is not
what is looked at.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from streams.embedded import (
    EmbeddedConsumer,
    check_partition,
    place,
    unknown_topic,
    wall_clock_ms,
)
from streams.errors import TopicError
from streams.log import Assignee, Message, Record, TopicOffset, TopicPartition


class MemoryLog:
    """A log that lives as long as the object does.

    Args:
        clock: the time of an append, in milliseconds since 1970.
    """

    def __init__(self, *, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._clock = clock
        self._topics: dict[str, list[_Partition]] = {}
        self._commits: dict[tuple[str, TopicPartition], int] = {}
        self.members: dict[str, EmbeddedConsumer] = {}
        self._awaited: set[TopicPartition] = set()
        self._news = threading.Condition()

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there. A compact one keeps the last record of each key.

        Raises:
            TopicError: fewer than one partition.
        """
        if partitions < 1:
            raise TopicError(f"topic {topic!r} with {partitions} partitions: expected 1 or more")
        with self._news:
            self._topics.setdefault(topic, [_Partition(compact) for _ in range(partitions)])

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has.

        Raises:
            TopicError: there is no such topic.
        """
        return len(self._topic(topic))

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, in order, and returns where.

        Raises:
            TopicError: a topic or partition is unknown; nothing was written.
        """
        with self._news:
            places = [self._place(message) for message in messages]
            now_ms = self._clock()
            written = [
                self._partition(place).append(place, message, now_ms)
                for place, message in zip(places, messages, strict=True)
            ]
            if not self._awaited.isdisjoint(places):
                self._news.notify_all()
        return written

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`, without waiting; empty at the end."""
        with self._news:
            records = self._partition(partition).records
            first = bisect_left(records, offset, key=attrgetter("offset"))
            return records[first : first + limit]

    def start_offset(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""
        with self._news:
            found = self._partition(partition)
            return found.records[0].offset if found.records else found.next_offset

    def end_offset(self, partition: TopicPartition) -> int:
        """Returns the offset that the next append gets."""
        return self._partition(partition).next_offset

    def consumer(
        self, topics: Sequence[str], assignee: Assignee, *, group: str | None = None
    ) -> EmbeddedConsumer:
        """Returns a consumer that holds all the topics' partitions.

        Raises:
            TopicError: there is no such topic.
            LockError: the group has a member already.
        """
        return EmbeddedConsumer(self, topics, assignee, group)

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""
        self._partition(partition)
        return self._commits.get((group, partition))

    def close(self) -> None:
        """Does nothing: there are no files or connections."""

    def version(self, partitions: Sequence[TopicPartition]) -> int:
        """Returns a number that changes with every append to these partitions."""
        return sum(self._partition(partition).next_offset for partition in partitions)

    def wait_for_news(
        self, partitions: Sequence[TopicPartition], version: int, timeout_seconds: float
    ) -> int:
        """Returns their version once it is not `version` any more, or after the timeout."""
        with self._news:
            # Only what somebody has waited for wakes anyone.
            self._awaited.update(partitions)
            self._news.wait_for(lambda: self.version(partitions) != version, timeout_seconds)
            return self.version(partitions)

    def store_commits(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keeps what the group commits."""
        with self._news:
            for partition in offsets:
                self._partition(partition)
            self._commits.update({(group, p): offset for p, offset in offsets.items()})

    def _topic(self, topic: str) -> list[_Partition]:
        try:
            return self._topics[topic]
        except KeyError:
            raise unknown_topic(topic) from None

    def _partition(self, partition: TopicPartition) -> _Partition:
        partitions = self._topic(partition.topic)
        check_partition(partition, len(partitions))
        return partitions[partition.partition]

    def _place(self, message: Message) -> TopicPartition:
        partitions = len(self._topic(message.topic))
        return place(message, partitions)


class _Partition:
    """The records of one partition; only those that are the last of their key if compact."""

    def __init__(self, compact: bool) -> None:
        self.records: list[Record] = []
        self.next_offset = 0
        self._last_ms = 0
        self._latest: dict[bytes, int] | None = {} if compact else None

    def append(self, place: TopicPartition, message: Message, now_ms: int) -> TopicOffset:
        offset = self.next_offset
        wanted_ms = now_ms if message.timestamp_ms is None else message.timestamp_ms
        self._last_ms = max(wanted_ms, self._last_ms)
        if self._latest is not None:
            self._drop(self._latest.get(message.key))
            self._latest[message.key] = offset
        self.records.append(
            Record(*place, offset, self._last_ms, message.key, message.value, message.headers)
        )
        self.next_offset += 1
        return TopicOffset(*place, offset, self._last_ms)

    def _drop(self, offset: int | None) -> None:
        if offset is not None:
            del self.records[bisect_left(self.records, offset, key=attrgetter("offset"))]
