"""The log: what every part of copyloop reads and writes, whatever keeps it.

A log has topics; a topic has partitions; a partition is an ordered run of records, each with
an offset that only grows. This module imports no implementation; `streams.logs.opening` picks one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.logs.log_clock import LogTime

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Shared(NamedTuple):
    """A part that many values have alike, and where it begins in this one."""

    part: bytes
    start: int


class Message(NamedTuple):
    """What is appended. The key picks the partition unless `partition` does.

    `timestamp_ms` None is the log's own time at the append, which is the rule; history that
    is written back brings its own. Timestamps never go back within a partition: the log raises
    one that would to that of the record before it.

    `shared` is a hint: a log may keep that part of the value once for all messages that have it.
    The value is whole all the same, and so is the record that is read.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    timestamp_ms: int | None = None
    partition: int | None = None
    shared: Shared | None = None


class Record(NamedTuple):
    """What is read: a message in its place.

    `is_log_time` says whether its time is the log's; it is its producer's otherwise, and may be
    any.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Headers = ()
    is_log_time: bool = True


class RebalanceListener(Protocol):
    """Who folds partitions: told which it holds, and before it loses one."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Returns the offset to start each partition from; one left out starts at the oldest."""

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Saves what these partitions led to; returns the offsets to commit for them."""


class Consumer(Protocol):
    """Reads the partitions that it holds, each in order."""

    def poll(self, timeout_seconds: float, *, limit: int = 5000) -> list[Record]:
        """Returns up to about `limit` next records; waits for the first at most the timeout."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Returns nothing more from these until they are resumed."""

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Takes these up again."""

    def stay(self) -> None:
        """Keeps what is held while `assigned` is at work; some of that may be revoked meanwhile.

        Whoever takes long in there calls it every second or so.
        """

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes known how far the group is (the next offset to read).

        Raises:
            LogError: the consumer has no group to commit for.
        """

    def close(self) -> None:
        """Has the assignee save what it holds (`revoked`), commits that, and leaves."""


class Log(Protocol):
    """Topics of records. Safe to use from several threads and, but for memory, processes.

    Raises:
        TopicError: from every method, if it is asked for a topic or partition that is not there.
        LogUnavailable: from every method, if the log is out of reach; retriable.
        LogError: from every method, if the log cannot do what is asked of it.
    """

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there. A compact one may drop a key's older records.

        Raises:
            TopicError: fewer than one partition, or a name that the log does not take.
        """

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has."""

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, in order, and returns where; durable when it returns.

        Where a topic or a partition is unknown, nothing is written.
        """

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`, without waiting; empty at the end."""

    def start_offset(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""

    def end_offset(self, partition: TopicPartition) -> int:
        """Returns the offset that the next append gets."""

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the end of each of these partitions, asked for at once."""

    def consumer(
        self, topics: Sequence[str], assignee: RebalanceListener, *, group: str | None = None
    ) -> Consumer:
        """Returns a consumer of the topics' partitions.

        With a `group`, partitions are shared among its members; without, it holds them all.
        `assignee.assigned` is called from within `poll`.

        Raises:
            LockError: the group has a member already, in a log of one process or machine.
        """

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""

    def topic_settings(self, topics: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Returns the settings of these topics by Kafka's names; none where a log has no such."""

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Returns the partition that a message of this key gets where there are so many."""

    def time(self) -> LogTime:
        """Returns the time that an append would get now, beside the machine's clock.

        Raises:
            LogMoved: nothing may be appended, since the file is not where it was opened.
        """

    def close(self) -> None:
        """Lets go of files and connections."""


class TopicOffset(NamedTuple):
    """Where one message went."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
