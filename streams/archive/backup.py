"""Backups of a SQLite log: one file, consistent while others write, verified, whole or not there.

To restore is to make a new log of a backup or of an archive. What processes had derived from the
log before, their checkpoints, is put aside, since it may tell of records that are not there now.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from streams.checkpoint import SUFFIX, exclusive_file
from streams.errors import BackupError, LogError
from streams.files.writing import OWNER_ALONE, make_folder, publish, put_aside, write_whole
from streams.logs.sqlite import SqliteLog
from streams.logs.sqlite_file import FairLock, read_only

CHECKSUM: Final = ".sha256"
"""What is added to a backup's name for the file that `sha256sum -c` checks it by."""
BEFORE_RESTORE: Final = ".before-restore"
PATIENCE_SECONDS: Final = 60.0


class Backup(NamedTuple):
    """A backup, or a log that was made of one: where it is, and what it holds."""

    path: Path
    records: int
    size_bytes: int
    sha256: str | None


def back_up(log: Path, to: Path) -> Backup:
    """Copies the log as it is at one moment to a file, and its checksum to another beside it.

    Others may write meanwhile; all that was acknowledged before the call is in the copy. It gets
    its name once it is whole, verified and durable.

    Raises:
        BackupError: there is something at `to`, or the copy is not sound.
        LogError: the log cannot be read.
    """
    checksum = to.with_name(to.name + CHECKSUM)
    for path in (to, checksum):
        if path.exists():
            raise BackupError(f"{path} exists; a backup replaces nothing, so choose another name")
    with _unfinished(to) as copy:
        with closing(SqliteLog(log, patience_seconds=PATIENCE_SECONDS)) as opened:
            before = opened.records
            _copy(log, copy)
        records = _verified(copy, to)
        if records < before:
            raise BackupError(f"the copy of {log} has {records} records of {before}; try again")
        with copy.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        size_bytes = copy.stat().st_size
        write_whole(checksum, f"{digest}  {to.name}\n".encode())
        publish(copy, to)
    return Backup(to, records, size_bytes, digest)


def restore_backup(backup: Path, log: Path, checkpoints: Path) -> Backup:
    """Makes a new log of a backup: verified, whole or not there.

    Raises:
        BackupError: the backup is damaged or a newer copyloop's, or there is a log already.
        LockError: a process works with the checkpoints.
    """
    digest = _checked(backup)
    with _new_log(log, checkpoints) as copy:
        shutil.copyfile(backup, copy)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
        records = _verified(copy, backup)
        size_bytes = copy.stat().st_size
    return Backup(log, records, size_bytes, digest)


def restore_archive(archive: Path, log: Path, checkpoints: Path) -> Backup:
    """Makes a new log of an archive, as `streams.archive.parquet.restore` does: whole or not there.

    Raises:
        ArchiveError: there is no archive, or a file of it is damaged.
        BackupError: there is a log already.
        LockError: a process works with the checkpoints.
    """
    from streams.archive.parquet import restore

    with _new_log(log, checkpoints) as copy:
        with closing(SqliteLog(copy)) as opened:
            restore(archive, opened)
        records = _verified(copy, archive)
        size_bytes = copy.stat().st_size
    return Backup(log, records, size_bytes, None)


@contextmanager
def _new_log(log: Path, checkpoints: Path) -> Iterator[Path]:
    """Yields where to make the log; it becomes the log at the end of the block."""
    for path in (log, Path(f"{log}-wal")):
        if path.exists():
            raise BackupError(
                f"{path} exists; a log is restored where there is none, so stop all processes, "
                f"and move {log}, {log}-wal and {log}-shm away"
            )
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held, _unfinished(log) as copy:
        for path in sorted(checkpoints.glob("*.lock")):
            held.enter_context(exclusive_file(path, path.stem))
        yield copy
        for path in sorted(checkpoints.glob(f"*{SUFFIX}")):
            put_aside(path, BEFORE_RESTORE)
        with closing(FairLock(copy, patience_seconds=PATIENCE_SECONDS)) as lock:
            noted = lock.noted
        with closing(FairLock(log, patience_seconds=PATIENCE_SECONDS)) as lock, lock.held():
            if log.exists():
                raise BackupError(f"{log} was made meanwhile; stop all processes, and try again")
            # Before the log is there: it must not seem to lack records that it never had.
            lock.noted = noted
            publish(copy, log)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`, in a folder that is removed with all in it after the block."""
    try:
        make_folder(path.parent)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            copy = Path(folder, path.name)
            # SQLite and a copy keep the mode of a file that is there.
            copy.touch(mode=OWNER_ALONE)
            yield copy
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error}") from error


def _copy(log: Path, copy: Path) -> None:
    with (
        closing(read_only(log)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        # It is synced once it is whole.
        target.execute("PRAGMA synchronous = OFF")
        try:
            # In one step, and so as of one moment; writers go on in the write-ahead log.
            source.backup(target, pages=-1)
        except sqlite3.Error as error:
            raise BackupError(f"{log} cannot be copied to {copy.parent}: {error}") from error


def _verified(copy: Path, name: Path) -> int:
    """Returns how many records a copy has had, once all its pages and indexes agree.

    Raises:
        BackupError: they do not, or it is no copyloop log, or a newer copyloop's.
    """
    try:
        with closing(SqliteLog(copy)) as opened:
            records = opened.records
        with closing(read_only(copy)) as database:
            ((verdict,),) = database.execute("PRAGMA integrity_check(1)").fetchall()
    except (LogError, sqlite3.Error) as error:
        verdict = str(error).replace(f"the log {copy}: ", "").replace(str(copy), "it")
    if verdict != "ok":
        raise BackupError(f"{name} cannot be used: {verdict}; take another")
    return records


def _checked(backup: Path) -> str | None:
    """Returns the backup's checksum if there is one beside it, which must be right."""
    checksum = backup.with_name(backup.name + CHECKSUM)
    if not backup.is_file():
        raise BackupError(f"there is no backup at {backup}")
    if not checksum.exists():
        return None
    wanted = checksum.read_text(errors="replace").split(" ", 1)[0].strip()
    with backup.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        raise BackupError(
            f"{backup} is damaged: its SHA-256 is {found}, and {checksum} says {wanted!r}; take "
            "another backup"
        )
    return found
