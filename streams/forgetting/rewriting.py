"""Rewrites records where they are kept: in the SQLite log's file, and in the archive's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from streams.archive import archive_files, rewrite_file
from streams.errors import LogError
from streams.events import DEAD_LETTER, DECISIONS, INTERACTIONS
from streams.fair_lock import FairLock
from streams.forgetting.wanted import FORGOTTEN, Wanted
from streams.log import Record, TopicPartition
from streams.sqlite_file import compact, connect, transaction, translated

TOPICS: Final = (DECISIONS, INTERACTIONS, DEAD_LETTER)
"""Where contexts are; outcomes have none."""
PATIENCE_SECONDS: Final = 30.0

_pack = msgspec.msgpack.Encoder().encode


def rewritten(record: Record, wanted: Wanted, now_ms: int) -> Record | None:
    """Returns the record without what is wanted, None if it has nothing of it."""
    value = wanted.without(record)
    if value is None:
        return None
    kept = tuple(header for header in record.headers if header[0] != FORGOTTEN)
    return record._replace(value=value, headers=(*kept, (FORGOTTEN, str(now_ms).encode())))


class SqliteFile:
    """The file of a SQLite log, opened to change what an append never does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FairLock(path, patience_seconds=PATIENCE_SECONDS)
        self._database = connect(path, PATIENCE_SECONDS)
        # What is taken out is overwritten, not only let go of.
        self._database.execute("PRAGMA secure_delete = ON")

    def write(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Puts the records in the place of those at their offsets, all or none."""
        with translated(self._path), self._lock.held(), transaction(self._database):
            found = self._database.execute(
                "SELECT id FROM partitions WHERE topic = ? AND partition = ?", partition
            ).fetchall()
            if not found:
                raise LogError(f"{self._path} has no {partition.topic}/{partition.partition}")
            self._database.executemany(
                "UPDATE records SET value = ?, headers = ?, shared_id = NULL, shared_at = NULL "
                "WHERE partition_id = ? AND offset = ?",
                [(r.value, _pack(r.headers), found[0][0], r.offset) for r in records],
            )

    def compact(self) -> None:
        """Writes the file anew, so that no page and no write-ahead log has what was taken out."""
        with translated(self._path), self._lock.held():
            compact(self._database)

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()
        self._lock.close()


def rewrite_archive(
    directory: Path, wanted: Wanted, now_ms: int, *, dry_run: bool
) -> dict[str, int]:
    """Returns how many records of each of the archive's files were rewritten, or would be.

    Raises:
        ArchiveError: a file is damaged.
    """
    changed: dict[str, int] = {}
    if not directory.is_dir():
        return changed
    for topic in TOPICS:
        for file in archive_files(directory, topic):
            count = rewrite_file(
                file.path, lambda record: rewritten(record, wanted, now_ms), dry_run=dry_run
            )
            if count:
                changed[str(file.path.relative_to(directory))] = count
    return changed
