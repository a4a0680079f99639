"""The file behind the SQLite log: tables, settings, transactions, and a fair lock of its writers.

A path may name anything, so a file is checked before it is written.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from streams.errors import LogError, LogLost, LogMoved, LogUnavailable
from streams.files import OWNER_ALONE

APPLICATION_ID: Final = 0x636C6F67  # "clog", which other databases do not have
LAYOUT_VERSION: Final = 2
"""1 had no shared parts."""
# 8 KiB pages hold a few decisions each; a checkpoint every 2 MiB keeps its pause to milliseconds.
PAGE_BYTES: Final = 8192
CHECKPOINT_PAGES: Final = 256
WAL_LIMIT_BYTES: Final = 64 << 20

PASSING_ERRORS: Final = {
    sqlite3.SQLITE_BUSY: "others hold it",
    sqlite3.SQLITE_LOCKED: "others hold it",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "see its disk",
    sqlite3.SQLITE_READONLY: "see that this user may write it",
}
"""What may go away while the log is open, and what to do about it."""
DENIED: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
SHARED: Final = (
    "CREATE TABLE shared (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, part BLOB NOT NULL)",
    "ALTER TABLE records ADD COLUMN shared_id INTEGER",
    "ALTER TABLE records ADD COLUMN shared_at INTEGER",
)
CLOCK: Final = (
    # What the machine's clock showed at the partition's latest append.
    "ALTER TABLE partitions ADD COLUMN wall_ms INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE clock (accepted_ms INTEGER NOT NULL)",
    "INSERT INTO clock VALUES (0)",
)
"""Not in older logs. Earlier versions pass over it, so that the layout is the same."""
TABLES: Final = (
    """CREATE TABLE topics (
        name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, compact INTEGER NOT NULL)""",
    """CREATE TABLE partitions (
        id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL DEFAULT 0, last_ms INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic, partition))""",
    """CREATE TABLE records (
        partition_id INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL,
        key BLOB NOT NULL, value BLOB NOT NULL, headers BLOB,
        PRIMARY KEY (partition_id, offset))""",
    """CREATE TABLE latest (
        partition_id INTEGER NOT NULL, key BLOB NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (partition_id, key)) WITHOUT ROWID""",
    """CREATE TABLE commits (
        member_group TEXT NOT NULL, partition_id INTEGER NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (member_group, partition_id)) WITHOUT ROWID""",
    *SHARED,
    *CLOCK,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {LAYOUT_VERSION}",
)


def connect(path: Path, patience_seconds: float) -> sqlite3.Connection:
    """Returns a connection that syncs every commit, for any thread that holds its lock."""
    if not path.exists():
        # SQLite would let everyone read it; the files that it keeps beside it get the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ALONE))
    # The log's own lock keeps its writers apart; SQLite's timeout is for other people's tools.
    connection = sqlite3.connect(
        path, timeout=patience_seconds, isolation_level=None, check_same_thread=False
    )
    for setting in (
        "synchronous = FULL",
        # Dropped records need not be overwritten with zeros, which would double the writing.
        "secure_delete = OFF",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"journal_size_limit = {WAL_LIMIT_BYTES}",
    ):
        connection.execute(f"PRAGMA {setting}")
    return connection


def read_only(path: Path) -> sqlite3.Connection:
    """Returns a connection that changes nothing."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables in a new file, or those that an older one lacks.

    Call it while no other process can.

    Raises:
        LogError: it is another program's database, or a newer copyloop's.
    """
    ((application_id,),) = connection.execute("PRAGMA application_id")
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
    if tables and application_id != APPLICATION_ID:
        raise LogError(f"{path} is a database, but not a copyloop log; choose another path")
    ((layout,),) = connection.execute("PRAGMA user_version")
    if layout > LAYOUT_VERSION:
        raise LogError(
            f"{path} has layout {layout}, newer than {LAYOUT_VERSION}; upgrade this copyloop"
        )
    if not tables:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection):
            for statement in TABLES:
                connection.execute(statement)
    elif layout < LAYOUT_VERSION:
        with transaction(connection):
            for statement in (*SHARED, f"PRAGMA user_version = {LAYOUT_VERSION}"):
                connection.execute(statement)
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'clock'").fetchall():
        with transaction(connection):
            for statement in CLOCK:
                connection.execute(statement)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk is full or broken.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises what SQLite raises in the block as errors of the log."""
    try:
        yield
    except sqlite3.Error as error:
        message = f"the log {path}: {error}"
        # The low byte is the kind of error, the rest its details.
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind in PASSING_ERRORS:
            do = PASSING_ERRORS[kind]
            raise LogUnavailable(f"{message}; {do}, the same call may work later") from error
        if kind in DENIED:
            raise LogError(f"{message}; see that this user may write it and its folder") from error
        raise LogError(f"{message}; is this a copyloop log?") from error


class OpenFiles:
    """The database and its write-ahead log, as they were when they were opened.

    SQLite goes on writing into files that were moved or deleted, where nobody finds it again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = {each: _identity(each) for each in (str(path), f"{path}-wal")}

    def check(self) -> None:
        """Refuses if a path is another file by now, or none.

        Raises:
            LogMoved: it is.
        """
        for path, opened in self._opened.items():
            if (found := _identity(path)) != opened:
                what = "there is no such file any more" if found is None else "it is another file"
                raise LogMoved(
                    f"the log {self._path} was moved, deleted or replaced while it was open "
                    f"({path}: {what}), so nothing is written; move it back, or stop all that "
                    "uses it and see docs/backup.md"
                )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def lost(path: Path, found: int, known: int) -> LogLost:
    """Returns the error of a log that has fewer records than it had."""
    return LogLost(
        f"the log {path} has {found} records, and had {known}: it was removed or replaced by an "
        f"older copy, or its write-ahead log {path}-wal is missing; bring back what is missing, "
        "or restore a backup with `copyloop streams restore`; to go on without, remove "
        f"{path}-lock"
    )


def noted_records(path: Path) -> int:
    """Returns how many records the log of this file has had; 0 if none was ever there."""
    try:
        return _count(Path(f"{path}-lock").read_bytes()[:COUNT_DIGITS])
    except FileNotFoundError:
        return 0


def _count(digits: bytes) -> int:
    return int(digits) if digits.isdigit() else 0


COUNT_DIGITS: Final = 20
RETRY_SECONDS: Final = 0.0003


def flocked(file: int, deadline: float, retry_seconds: float) -> bool:
    """Returns whether the kernel's lock of the file became ours by the (monotonic) deadline."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(retry_seconds)
        else:
            return True


class FairLock:
    """A lock among the threads and processes that open the same two files beside `path`.

    The process that waits for the lock holds the queue, and so is next; those that wait for the
    queue come after. The locks are the kernel's, so a process that is killed lets go of them.

    The lock's file also says how many records the log has had: a log with fewer has lost some.
    """

    def __init__(self, path: Path, *, patience_seconds: float) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._thread = threading.Lock()
        self._queue = os.open(f"{path}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ALONE)
        self._lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ALONE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock for the block.

        Raises:
            LogUnavailable: others held it until our patience ended.
        """
        deadline = time.monotonic() + self._patience_seconds
        if not self._thread.acquire(timeout=self._patience_seconds):
            raise self._busy()
        try:
            if not flocked(self._queue, deadline, RETRY_SECONDS):
                raise self._busy()
            try:
                if not flocked(self._lock, deadline, RETRY_SECONDS):
                    raise self._busy()
            finally:
                fcntl.flock(self._queue, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            self._thread.release()

    @property
    def records(self) -> int:
        """How many records the log has ever had, as far as anybody noted; set it while held."""
        return _count(os.pread(self._lock, COUNT_DIGITS, 0))

    @records.setter
    def records(self, count: int) -> None:
        # What is appended by then stays so, noted or not.
        with suppress(OSError):
            os.pwrite(self._lock, b"%0*d\n" % (COUNT_DIGITS, count), 0)

    def close(self) -> None:
        """Closes the files; they stay, since another process may have them open."""
        os.close(self._queue)
        os.close(self._lock)

    def _busy(self) -> LogUnavailable:
        return LogUnavailable(
            f"{self._path} was being written by others for {self._patience_seconds:g} s; "
            "try again, or see what holds it"
        )
