"""The log: what every part of copyloop reads and writes, whatever keeps it.

A log has topics; a topic has partitions; a partition is an ordered run of records, each with
an offset that only grows. `open_log` picks the implementation from a URL, and imports only it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from streams.errors import LogUrlError

_SECRET: Final = re.compile(
    r"([?&][^=&]*(?:password|secret|token|proxy)[^=&]*=)[^&]*|(://)[^?]*(?=@)", re.IGNORECASE
)

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

    `timestamp_ms` None is the log's own clock at the append, which is the rule; history that
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
    """What is read: a message in its place."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Headers = ()


class Assignee(Protocol):
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

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes known how far the group is (the next offset to read)."""

    def close(self) -> None:
        """Has the assignee save what it holds (`revoked`), commits that, and leaves."""


class Log(Protocol):
    """Topics of records. Safe to use from several threads and, but for memory, processes."""

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there. A compact one may drop a key's older records."""

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has.

        Raises:
            TopicError: there is no such topic.
        """

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, in order, and returns where; durable when it returns.

        Raises:
            TopicError: a topic or partition is unknown; nothing was written.
            LogUnavailable: the log could not be reached; retriable.
        """

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`, without waiting; empty at the end."""

    def start_offset(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""

    def end_offset(self, partition: TopicPartition) -> int:
        """Returns the offset that the next append gets."""

    def consumer(
        self, topics: Sequence[str], assignee: Assignee, *, group: str | None = None
    ) -> Consumer:
        """Returns a consumer of the topics' partitions.

        With a `group`, partitions are shared among its members; without, it holds them all.
        `assignee.assigned` is called from within `poll`.
        """

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""

    def close(self) -> None:
        """Lets go of files and connections."""


class TopicOffset(NamedTuple):
    """Where one message went."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


def open_log(url: str) -> Log:
    """Returns the log that the URL names.

    `memory://` lives in this process alone; `sqlite:///PATH` is one file for the processes of
    one machine (`sqlite:////abs/path` is absolute); `kafka://host:port,host:port?option=value`
    is a cluster for many, with any option of kafka-python, a `prefix` for the names of topics
    and groups, `cloudevents` to have our events be such, and a `config` file for what nobody
    else should see.

    Raises:
        LogUrlError: no log goes by that URL.
        LogError: the log is there, but cannot be opened.
        LogUnavailable: the log cannot be reached.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "memory":
        from streams.memory import MemoryLog

        return MemoryLog()
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1:
        from streams.sqlite import SqliteLog

        return SqliteLog(rest[1:])
    if scheme == "kafka":
        return _open_kafka(url)
    raise LogUrlError(
        f"log URL {redacted(url)!r}: expected memory://, sqlite:///path/to/file.db or "
        "kafka://host:port"
    )


def sqlite_path(url: str) -> Path | None:
    """Returns the file of a SQLite log's URL; None for other logs.

    >>> str(sqlite_path("sqlite:///data/log.db"))
    'data/log.db'
    """
    path = url.removeprefix("sqlite:///")
    return None if path == url else Path(path)


def log_exists(url: str) -> bool:
    """Returns whether opening the log would make no new one."""
    path = sqlite_path(url)
    return path is None or path.exists()


def redacted(url: str) -> str:
    """Returns a log's URL as it may be shown: without what could be a secret.

    >>> redacted("kafka://h:9092?sasl_plain_username=ads&sasl_plain_password=x&linger_ms=5")
    'kafka://h:9092?sasl_plain_username=ads&sasl_plain_password=***&linger_ms=5'
    """
    return _SECRET.sub(lambda secret: f"{secret[1] or secret[2]}***", url)


def _open_kafka(url: str) -> Log:
    try:
        from streams.kafka import KafkaLog
        from streams.kafka.options import read_url
    except ImportError as error:
        raise LogUrlError(f"no Kafka client ({error}); pip install 'copyloop[kafka]'") from error
    options = read_url(url)
    return KafkaLog(
        options.bootstrap,
        prefix=options.prefix,
        replication_factor=options.replication_factor,
        cloudevents=options.cloudevents,
        **options.client,
    )
