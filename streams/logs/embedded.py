"""The log in memory, and what it has in common with the log in SQLite: placing and consuming.

Neither has a broker that could share partitions among members, so one member holds them all.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, Protocol
from zlib import crc32

from streams.errors import LockError, LogError, TopicError
from streams.logs.base import Log, Message, RebalanceListener, Record, TopicOffset, TopicPartition
from streams.logs.log_clock import LogClock, LogTime, Moment

# News of what is paused is news too; who finds nothing to take looks up less and less often.
PAUSE_SECONDS: Final = 0.0002
LONGEST_PAUSE_SECONDS: Final = 0.004


def wall_clock_ms() -> int:
    """Returns the time in milliseconds since 1970, as the machine knows it."""
    return time.time_ns() // 1_000_000


def partition_of(key: bytes, partitions: int) -> int:
    """Returns the partition of a key: the same in every process and every version.

    >>> partition_of(b"event-2", 4)
    2
    """
    return crc32(key) % partitions if partitions > 1 else 0


def destination(
    message: Message, partitions: int, by_key: Callable[[bytes, int], int] = partition_of
) -> TopicPartition:
    """Returns where a message goes in a topic of so many partitions.

    Raises:
        TopicError: it names a partition that the topic does not have.
    """
    if message.partition is None:
        return TopicPartition(message.topic, by_key(message.key, partitions))
    chosen = TopicPartition(message.topic, message.partition)
    check_partition(chosen, partitions)
    return chosen


def check_partition(partition: TopicPartition, partitions: int) -> None:
    """Refuses a partition that a topic of so many partitions does not have."""
    if not 0 <= partition.partition < partitions:
        raise TopicError(
            f"topic {partition.topic!r} has no partition {partition.partition}; "
            f"it has 0 to {partitions - 1}"
        )


def check_count(topic: str, partitions: int) -> None:
    """Refuses a topic that would have no partition."""
    if partitions < 1:
        raise TopicError(f"topic {topic!r} with {partitions} partitions: expected 1 or more")


def unknown_topic(topic: str) -> TopicError:
    """Returns the error that says what to do about a topic that is not there."""
    return TopicError(
        f"there is no topic {topic!r} in this log; `copyloop streams topics` makes ours, and with "
        "`--mapping FILE` one of yours in a SQLite log (from Python: create_topic())"
    )


class EmbeddedLog(Log, Protocol):
    """A log in this process, or in one file."""

    members: dict[str, EmbeddedConsumer]
    """By group: one, who holds all partitions."""

    def version(self, partitions: Sequence[TopicPartition]) -> int:
        """Returns a number that changes with every append to these partitions."""

    def wait_for_news(
        self, partitions: Sequence[TopicPartition], version: int, timeout_seconds: float
    ) -> int:
        """Returns their version once it is not `version` any more, or after the timeout."""

    def store_commits(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keeps what the group commits."""


class EmbeddedConsumer:
    """Reads all partitions of some topics, an even share of each in every poll.

    It belongs to one thread at a time, as every consumer does.

    Raises:
        LockError: the group has a member in this log already.
    """

    def __init__(
        self,
        log: EmbeddedLog,
        topics: Sequence[str],
        assignee: RebalanceListener,
        group: str | None,
    ) -> None:
        self._log = log
        self._assignee = assignee
        self._group = group
        self._held = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in range(log.partitions(topic))
        ]
        self._offsets: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._assigned = False
        self._closed = False
        if group is not None and log.members.setdefault(group, self) is not self:
            raise LockError(f"group {group!r} has a member already; close that consumer first")

    def poll(self, timeout_seconds: float, *, limit: int = 5000) -> list[Record]:
        """Returns up to about `limit` next records; waits for the first at most the timeout."""
        self._check_open()
        if not self._assigned:
            starts = self._assignee.assigned(self._held)
            for partition in self._held:
                start = starts.get(partition)
                if start is None:
                    start = self._log.start_offset(partition)
                self._offsets[partition] = start
            self._assigned = True
        deadline = time.monotonic() + timeout_seconds
        pause_seconds = 0.0
        # The version is taken before the reading, so that nothing arrives unseen in between.
        version = self._log.version(self._held)
        while not (records := self._take(limit)):
            time.sleep(pause_seconds)
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                break
            version = self._log.wait_for_news(self._held, version, left_seconds)
            pause_seconds = min(pause_seconds + PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return records

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Returns nothing more from these until they are resumed."""
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Takes these up again."""
        self._paused.difference_update(partitions)

    def stay(self) -> None:
        """Does nothing: nobody else could take what is held."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes known how far the group is (the next offset to read)."""
        self._check_open()
        if self._group is None:
            raise LogError("this consumer has no group; give one to log.consumer() to commit")
        self._log.store_commits(self._group, offsets)

    def close(self) -> None:
        """Has the assignee save what it holds (`revoked`), commits that, and leaves."""
        if self._closed:
            return
        try:
            if self._assigned:
                offsets = self._assignee.revoked(self._held)
                if self._group is not None:
                    self.commit(offsets)
        finally:
            self._closed = True
            if self._group is not None:
                self._log.members.pop(self._group, None)

    def _take(self, limit: int) -> list[Record]:
        active = [partition for partition in self._held if partition not in self._paused]
        records: list[Record] = []
        for partition in active:
            share = max(limit // len(active), 1)
            found = self._log.read(partition, self._offsets[partition], limit=share)
            if found:
                self._offsets[partition] = found[-1].offset + 1
                records += found
        return records

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("this consumer is closed; ask the log for another")


class MemoryLog:
    """A log that lives as long as the object does.

    Args:
        clock: the machine's clock, in milliseconds since 1970; the log's time follows it.
    """

    def __init__(self, *, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._log_clock = LogClock(clock)
        self._latest = Moment(0, 0)
        self._topics: dict[str, list[_Partition]] = {}
        self._commits: dict[tuple[str, TopicPartition], int] = {}
        self.members: dict[str, EmbeddedConsumer] = {}
        self._awaited: set[TopicPartition] = set()
        self._news = threading.Condition()

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there. A compact one keeps the last record of each key."""
        check_count(topic, partitions)
        with self._news:
            self._topics.setdefault(topic, [_Partition(compact) for _ in range(partitions)])

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has."""
        return len(self._topic(topic))

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, in order, and returns where."""
        with self._news:
            places = [destination(m, len(self._topic(m.topic))) for m in messages]
            asked = self._log_clock.ask(self._latest)
            written = [
                self._partition(place).append(place, message, asked.moment.log_ms)
                for place, message in zip(places, messages, strict=True)
            ]
            newest_ms = max((at.timestamp_ms for at in written), default=0)
            self._latest = self._log_clock.appended(self._latest, asked, newest_ms)
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

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the end of each of these partitions."""
        return {partition: self.end_offset(partition) for partition in partitions}

    def consumer(
        self, topics: Sequence[str], assignee: RebalanceListener, *, group: str | None = None
    ) -> EmbeddedConsumer:
        """Returns a consumer that holds all the topics' partitions."""
        return EmbeddedConsumer(self, topics, assignee, group)

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""
        self._partition(partition)
        return self._commits.get((group, partition))

    def topic_settings(self, topics: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Returns none: there is nothing to set."""
        return {}

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Returns the partition that a message of this key gets where there are so many."""
        return partition_of(key, partitions)

    def time(self) -> LogTime:
        """Returns the time that an append would get now, beside the machine's clock."""
        with self._news:
            return LogTime(*self._log_clock.after(self._latest))

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
            replaced = self._latest.get(message.key)
            if replaced is not None:
                del self.records[bisect_left(self.records, replaced, key=attrgetter("offset"))]
            self._latest[message.key] = offset
        self.records.append(
            Record(*place, offset, self._last_ms, message.key, message.value, message.headers)
        )
        self.next_offset += 1
        return TopicOffset(*place, offset, self._last_ms)
