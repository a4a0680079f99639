"""The log in one SQLite file, for the threads and processes of one machine.

An append is one transaction in the write-ahead log, synced before it returns, so what was
acknowledged outlives kill -9 and a power cut. Readers never wait for writers.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from streams.errors import LogError, LogUnavailable
from streams.files.writing import make_folder
from streams.logs.base import (
    Headers,
    Message,
    RebalanceListener,
    Record,
    TopicOffset,
    TopicPartition,
)
from streams.logs.embedded import (
    EmbeddedConsumer,
    check_count,
    check_partition,
    destination,
    partition_of,
    unknown_topic,
    wall_clock_ms,
)
from streams.logs.log_clock import LogClock, LogTime, Moment
from streams.logs.shared_parts import PartReader, PartWriter
from streams.logs.sqlite_file import (
    FairLock,
    Noted,
    OpenFiles,
    connect,
    lost,
    prepare,
    transaction,
    translated,
)

# A reader looks for news after 1 ms, then less and less often: quick when busy, cheap when idle.
FIRST_LOOK_SECONDS: Final = 0.001
LONGEST_LOOK_SECONDS: Final = 0.004
PATIENCE_SECONDS: Final = 5.0
ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?)"
MOST_ROWS: Final = 64
"""How many rows one statement inserts: the fewer statements, the less often threads change."""
INSERTS: Final = {
    rows: " ".join(("INSERT INTO records VALUES", ", ".join([ROW] * rows)))
    for rows in range(1, MOST_ROWS + 1)
}

RECORDS: Final = "SELECT coalesce(sum(next_offset), 0), coalesce(max(last_ms), 0) FROM partitions"
"""How many records there were ever, and the latest time that one has."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Headers).decode


class _Topic(NamedTuple):
    ids: tuple[int, ...]
    compact: bool


class SqliteLog:
    """A log in the file at `path`, made with its folders if it is not there.

    A process opens its own: a connection does not survive a fork.

    Args:
        path: the database; SQLite and the log keep further files beside it.
        clock: the machine's clock, in milliseconds since 1970; the log's time follows it.
        patience_seconds: how long an append waits for other writers before `LogUnavailable`.

    Raises:
        LogError: the file is something else, or cannot be opened.
        LogLost: it is gone, or lacks records that it had.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._path = Path(path)
        self._clock = clock
        self._log_clock = LogClock(clock)
        self._topics: dict[str, _Topic] = {}
        self.members: dict[str, EmbeddedConsumer] = {}
        self._reading = threading.Lock()
        self._part_writer = PartWriter()
        self._part_reader = PartReader(self._query)
        self._closed = False
        try:
            make_folder(self._path.parent)
            self._lock = FairLock(self._path, patience_seconds=patience_seconds)
        except OSError as error:
            raise LogError(f"cannot open the log {self._path}: {error}") from error
        try:
            with translated(self._path), self._lock.held():
                self._connect(patience_seconds)
        except BaseException:
            self._lock.close()
            raise

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there. A compact one keeps the last record of each key."""
        check_count(topic, partitions)
        if self._find(topic) is not None:
            return
        with self._writing() as database:
            added = database.execute(
                "INSERT OR IGNORE INTO topics VALUES (?, ?, ?)", (topic, partitions, compact)
            )
            if added.rowcount:
                database.executemany(
                    "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
                    [(topic, partition) for partition in range(partitions)],
                )

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has."""
        return len(self._topic(topic).ids)

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages in one transaction, and returns where; durable by then."""
        if not messages:
            return []
        places = [destination(m, len(self._topic(m.topic).ids)) for m in messages]
        with self._locked():
            records, latest = self._lock.noted
            asked = self._log_clock.ask(latest)
            with self._transaction() as database:
                written = self._append(database, messages, places, asked.moment)
            newest_ms = max(at.timestamp_ms for at in written)
            latest = self._log_clock.appended(latest, asked, newest_ms)
            self._lock.noted = Noted(records + len(messages), latest)
        return written

    def _append(
        self,
        database: sqlite3.Connection,
        messages: Sequence[Message],
        places: Sequence[TopicPartition],
        now: Moment,
    ) -> list[TopicOffset]:
        ends: dict[TopicPartition, tuple[int, int]] = {}
        for where in dict.fromkeys(places):
            found = database.execute(
                "SELECT next_offset, last_ms FROM partitions WHERE id = ?", (self._id(where),)
            )
            (ends[where],) = found
        written = []
        for message, where in zip(messages, places, strict=True):
            offset, last_ms = ends[where]
            wanted_ms = now.log_ms if message.timestamp_ms is None else message.timestamp_ms
            written.append(TopicOffset(*where, offset, max(wanted_ms, last_ms)))
            ends[where] = (offset + 1, written[-1].timestamp_ms)
        self._insert(messages, written)
        database.executemany(
            "UPDATE partitions SET next_offset = ?, last_ms = ? WHERE id = ?",
            [(*end, self._id(where)) for where, end in ends.items()],
        )
        return written

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`, without waiting; empty at the end."""
        rows = self._query(
            """SELECT offset, timestamp_ms, key, value, headers, shared_id, shared_at
               FROM records WHERE partition_id = ? AND offset >= ? ORDER BY offset LIMIT ?""",
            (self._id(partition), offset, limit),
        )
        topic, number = partition
        whole = self._part_reader.whole
        return [
            Record(topic, number, at, ms, key, whole(value, *cut), _unpack(hs) if hs else ())
            for at, ms, key, value, hs, *cut in rows
        ]

    def start_offset(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""
        rows = self._query(
            """SELECT coalesce(
                 (SELECT min(offset) FROM records WHERE partition_id = p.id), next_offset)
               FROM partitions p WHERE id = ?""",
            (self._id(partition),),
        )
        return int(rows[0][0])

    def end_offset(self, partition: TopicPartition) -> int:
        """Returns the offset that the next append gets."""
        rows = self._query(
            "SELECT next_offset FROM partitions WHERE id = ?", (self._id(partition),)
        )
        return int(rows[0][0])

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the end of each of these partitions."""
        return {partition: self.end_offset(partition) for partition in partitions}

    def consumer(
        self, topics: Sequence[str], assignee: RebalanceListener, *, group: str | None = None
    ) -> EmbeddedConsumer:
        """Returns a consumer that holds all the topics' partitions.

        Two processes that consume in one group are kept apart by their `exclusive` lock.
        """
        return EmbeddedConsumer(self, topics, assignee, group)

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""
        rows = self._query(
            "SELECT offset FROM commits WHERE member_group = ? AND partition_id = ?",
            (group, self._id(partition)),
        )
        return int(rows[0][0]) if rows else None

    @property
    def records(self) -> int:
        """How many records the log has had, those included that were dropped since."""
        return int(self._query(RECORDS, ())[0][0])

    def topic_settings(self, topics: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Returns none: there is nothing to set."""
        return {}

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Returns the partition that a message of this key gets where there are so many."""
        return partition_of(key, partitions)

    def time(self) -> LogTime:
        """Returns the time that an append would get now, beside the machine's clock.

        Raises:
            LogMoved: nothing may be appended, since the file is not where it was opened.
        """
        self._check_open()
        self._files.check()
        ((accepted_ms,),) = self._query("SELECT accepted_ms FROM clock", ())
        now = self._log_clock.after(self._lock.noted.latest)
        return LogTime(*now, accepted_ms)

    def accept_time(self) -> LogTime:
        """Accepts that the log's time is as far ahead as it is; returns the time."""
        with self._writing() as database:
            ahead_ms = self.time().ahead_ms
            database.execute("UPDATE clock SET accepted_ms = ?", (ahead_ms,))
        return self.time()

    def close(self) -> None:
        """Closes the file; the last process to do so removes the write-ahead log."""
        if self._closed:
            return
        self._closed = True
        # The last connection to close folds the write-ahead log in, hence the lock. While
        # another process holds it, that one is connected, and ours is not the last.
        try:
            with self._lock.held():
                self._disconnect()
        except LogUnavailable:
            self._disconnect()
        self._lock.close()

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Drops the records before the offset, durably; later appends use their room."""
        with self._writing() as database:
            database.execute(
                "DELETE FROM records WHERE partition_id = ? AND offset < ?",
                (self._id(partition), offset),
            )

    def rewrite(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Puts the records in the place of those at their offsets, all or none.

        From then on this log overwrites what it removes; `compact` does so with all older copies.
        """
        with self._writing() as database:
            database.execute("PRAGMA secure_delete = ON")
            database.executemany(
                "UPDATE records SET value = ?, headers = ?, shared_id = NULL, shared_at = NULL "
                "WHERE partition_id = ? AND offset = ?",
                [(r.value, _pack(r.headers), self._id(partition), r.offset) for r in records],
            )

    def compact(self) -> None:
        """Rewrites the file without dropped records, which gives their room back to the disk.

        Raises:
            LogUnavailable: somebody else reads or writes the file.
        """
        with self._locked():
            self._writer.execute("VACUUM")
            # The write-ahead log must not have the removed bytes either.
            ((busy, *_),) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise LogUnavailable(f"{self._path} is read by others; its write-ahead log stays")

    def version(self, partitions: Sequence[TopicPartition]) -> int:
        """Returns a number that changes with every append to these, in whichever process."""
        ids = ",".join([str(self._id(partition)) for partition in partitions])
        sql = f"SELECT sum(next_offset) FROM partitions WHERE id IN ({ids})"  # noqa: S608  # ids
        return int(self._query(sql, ())[0][0])

    def wait_for_news(
        self, partitions: Sequence[TopicPartition], version: int, timeout_seconds: float
    ) -> int:
        """Returns their version once it is not `version` any more, or after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        pause_seconds = FIRST_LOOK_SECONDS
        while (now := self.version(partitions)) == version:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                break
            time.sleep(min(pause_seconds, left_seconds))
            pause_seconds = min(pause_seconds * 1.25, LONGEST_LOOK_SECONDS)
        return now

    def store_commits(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keeps what the group commits, durably."""
        rows = [(group, self._id(partition), offset) for partition, offset in offsets.items()]
        if rows:
            with self._writing() as database:
                database.executemany("INSERT OR REPLACE INTO commits VALUES (?, ?, ?)", rows)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._locked(), self._transaction() as database:
            yield database

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._check_open()
        # The lock also covers the checkpoint that a commit may bring: before SQLite 3.51.3 a
        # commit and a checkpoint at the same instant could, very rarely, spoil the file.
        with translated(self._path), self._lock.held():
            self._files.check()
            yield

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self._writer):
                yield self._writer
        except BaseException:
            # Some of the ids that it knows may be of parts that were never kept.
            self._part_writer = PartWriter()
            raise

    def _connect(self, patience_seconds: float) -> None:
        known, latest = self._lock.noted
        if known and not self._path.exists():
            raise lost(self._path, 0, known)
        self._writer = connect(self._path, patience_seconds)
        prepare(self._writer, self._path)
        ((records, latest_ms),) = self._writer.execute(RECORDS)
        if records < known:
            self._writer.close()
            raise lost(self._path, records, known)
        self._reader = connect(self._path, patience_seconds)
        if latest.log_ms != latest_ms:
            # Nobody noted what the clock showed then: the log's time goes on from here.
            latest = Moment(latest_ms, self._clock())
        self._lock.noted = Noted(records, latest)
        self._files = OpenFiles(self._path)

    def _query(self, sql: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
        self._check_open()
        with translated(self._path), self._reading:
            return self._reader.execute(sql, arguments).fetchall()

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"the log {self._path} is closed; open it again")

    def _disconnect(self) -> None:
        with self._reading:
            self._reader.close()
            self._writer.close()

    def _insert(self, messages: Sequence[Message], written: Sequence[TopicOffset]) -> None:
        rows: list[tuple[object, ...]] = []
        for message, at in zip(messages, written, strict=True):
            topic = self._topic(at.topic)
            value, shared_id, shared_at = self._part_writer.cut(message, self._writer)
            headers = _pack(message.headers) if message.headers else None
            place = (topic.ids[at.partition], at.offset, at.timestamp_ms)
            row = (*place, message.key, value, headers, shared_id, shared_at)
            if topic.compact:
                self._drop_older(topic.ids[at.partition], message.key, at.offset)
                self._writer.execute(INSERTS[1], row)
            else:
                rows.append(row)
        for start in range(0, len(rows), MOST_ROWS):
            run = rows[start : start + MOST_ROWS]
            self._writer.execute(INSERTS[len(run)], tuple(chain.from_iterable(run)))

    def _drop_older(self, partition_id: int, key: bytes, offset: int) -> None:
        # The freed pages are used again, so the file stays at the size of its largest day.
        self._writer.execute(
            """DELETE FROM records WHERE partition_id = ?1 AND offset =
                 (SELECT offset FROM latest WHERE partition_id = ?1 AND key = ?2)""",
            (partition_id, key),
        )
        self._writer.execute(
            "INSERT OR REPLACE INTO latest VALUES (?, ?, ?)", (partition_id, key, offset)
        )

    def _id(self, partition: TopicPartition) -> int:
        ids = self._topic(partition.topic).ids
        check_partition(partition, len(ids))
        return ids[partition.partition]

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name) or self._find(name)
        if topic is None:
            raise unknown_topic(name)
        return topic

    def _find(self, name: str) -> _Topic | None:
        rows = self._query(
            """SELECT p.id, t.compact FROM topics t JOIN partitions p ON p.topic = t.name
               WHERE t.name = ? ORDER BY p.partition""",
            (name,),
        )
        if not rows:
            return None
        # A topic never changes, so it is looked up once.
        self._topics[name] = _Topic(tuple(row[0] for row in rows), bool(rows[0][1]))
        return self._topics[name]
