"""The common part of the embedded logs, memory and SQLite: placing messages, and consuming.

Neither has a broker that could share partitions among members, so one member holds them all;
what differs between the two (how news is awaited, where commits go) they bring themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol
from zlib import crc32

from streams.errors import LockError, LogError, TopicError
from streams.log import Assignee, Log, Message, Record, TopicPartition

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


def place(message: Message, partitions: int) -> TopicPartition:
    """Returns where a message goes in a topic of so many partitions.

    Raises:
        TopicError: it names a partition that the topic does not have.
    """
    if message.partition is None:
        return TopicPartition(message.topic, partition_of(message.key, partitions))
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


def unknown_topic(topic: str) -> TopicError:
    """Returns the error that says what to do about a topic that is not there."""
    return TopicError(f"there is no topic {topic!r} in this log; create_topic() makes it")


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
        self, log: EmbeddedLog, topics: Sequence[str], assignee: Assignee, group: str | None
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
            self._assign()
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

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes known how far the group is (the next offset to read).

        Raises:
            LogError: the consumer has no group to commit for.
        """
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

    def _assign(self) -> None:
        starts = self._assignee.assigned(self._held)
        for partition in self._held:
            start = starts.get(partition)
            self._offsets[partition] = self._log.start_offset(partition) if start is None else start
        self._assigned = True

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
