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
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.errors import LogError, LogUnavailable
from streams.files.writing import OWNER_ALONE

APPLICATION_ID: Final = 0x636C6F67  # "clog", which other databases do not have
LAYOUT_VERSION: Final = 2
"""1 had no shared parts."""
# 8 KiB pages hold a few decisions each; a checkpoint every 2 MiB keeps its pause to milliseconds.
PAGE_BYTES: Final = 8192
CHECKPOINT_PAGES: Final = 256
WAL_LIMIT_BYTES: Final = 64 << 20

PASSING_ERRORS: Final = frozenset(
    (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
)
SHARED: Final = (
    "CREATE TABLE shared (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, part BLOB NOT NULL)",
    "ALTER TABLE records ADD COLUMN shared_id INTEGER",
    "ALTER TABLE records ADD COLUMN shared_at INTEGER",
)
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
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING_ERRORS:
            raise LogUnavailable(f"{message}; the same call may work later") from error
        raise LogError(f"{message}; is this a copyloop log?") from error


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

    def close(self) -> None:
        """Closes the files; they stay, since another process may have them open."""
        os.close(self._queue)
        os.close(self._lock)

    def _busy(self) -> LogUnavailable:
        return LogUnavailable(
            f"{self._path} was being written by others for {self._patience_seconds:g} s; "
            "try again, or see what holds it"
        )
