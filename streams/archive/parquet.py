"""The archive: the log's topics as Parquet, one folder a topic, for replay, reports and keeps.

A file holds a range of offsets of one partition and is named after it, so the names alone say
where to go on: a process that is killed leaves no file twice and no record out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from streams.archive.files import (
    WRITTEN_FROM,
    ArchiveFile,
    Gap,
    archive_files,
    archive_lock,
    check_complete,
    gaps,
    is_sound,
    put_aside,
    why_of_another_log,
)
from streams.archive.tables import SCHEMA, records_of, table_of
from streams.errors import ArchiveError
from streams.events import ACCESS, ASSIGNMENTS, POLICIES, TOPICS
from streams.files.writing import remove_unfinished, writing_whole
from streams.fold import ends, partitions, scan
from streams.logs.base import Log, Message, Record, TopicPartition
from streams.logs.wrappers import RetryingLog
from streams.readiness import nobody
from streams.topics import create_topics

# Snapshots of policies are large, soon replaced, and folded again from the interactions; keys are
# nobody's business who reads an archive, nor who was given what, and both are soon made anew.
ARCHIVED: Final = tuple(topic for topic in TOPICS if topic not in (POLICIES, ACCESS, ASSIGNMENTS))
ROWS_PER_GROUP: Final = 10_000
READ_ROWS: Final = 1000
LOOK_SECONDS: Final = 1.0
PARTITIONS: Final = b"copyloop.partitions"

logger = logging.getLogger(__name__)


@dataclass
class ArchiveCounts:
    """What was archived since the start."""

    rows: int = 0
    files: int = 0


def run_archive(
    log: Log,
    directory: Path,
    *,
    stop: threading.Event,
    interval_seconds: float = 60.0,
    rows_per_file: int = 200_000,
    counts: ArchiveCounts | None = None,
    ready: Callable[[], None] = nobody,
) -> None:
    """Archives what the log has and what comes, until `stop`; then what is left, and returns.

    A partition gets a file when it has `rows_per_file` records for one, and for what is there
    after every `interval_seconds`. `counts` is for who looks on meanwhile,
    and `ready` is called once the archive is taken up.

    The archive of another history of the log, as there is once the log was restored from an older
    copy, is put aside in a folder `before-TIME` and begun anew. A file that was deleted, or cannot
    be read, is written again while the log has its records.

    Raises:
        LockError: another process archives into this directory.
        LogUnavailable: the log was out of reach until `stop` was set; run it again, and nothing
            is missing.
    """
    counts = counts or ArchiveCounts()
    log = RetryingLog(log, stop=stop)

    with archive_lock(directory):
        archiver = _Archiver(log, directory, rows_per_file, counts)
        archiver.resume()
        ready()
        due_at = time.monotonic() + interval_seconds
        while not stop.wait(min(LOOK_SECONDS, interval_seconds)):
            due = time.monotonic() >= due_at
            if due:
                due_at = time.monotonic() + interval_seconds
                archiver.fill_gaps()
            archiver.write_new(1 if due else rows_per_file)
        archiver.fill_gaps()
        archiver.write_new(0)


class _Archiver:
    """What is archived of each partition, and what of it is missing.

    Attributes:
        offsets: for each partition, the offset after the last one that is archived.
    """

    def __init__(self, log: Log, directory: Path, rows: int, counts: ArchiveCounts) -> None:
        self._log = log
        self._directory = directory
        self._rows = rows
        self._counts = counts
        self._empty: set[Gap] = set()
        """Gaps that the log has no record for."""
        self.offsets: dict[TopicPartition, int] = {}

    def resume(self) -> None:
        """Takes up the archive where it ends, if it is one of this log, and makes it whole."""
        remove_unfinished(self._directory)
        files = {topic: archive_files(self._directory, topic) for topic in ARCHIVED}
        sound = {topic: [f for f in held if is_sound(f)] for topic, held in files.items()}
        counts = {topic: self._log.partitions(topic) for topic in ARCHIVED}
        why = why_of_another_log(self._log, sound, counts)
        if why is not None:
            aside = put_aside(self._directory, ARCHIVED)
            logger.warning(
                "the archive in %s is of another history: %s; it is kept in %s, and begun anew",
                *(self._directory, why, aside),
            )
        else:
            for topic, held in files.items():
                for file in set(held).difference(sound[topic]):
                    self._remove_damaged(TopicPartition(topic, file.partition), file)
        self.fill_gaps()

    def fill_gaps(self) -> None:
        """Writes again what files that are gone had, and finds out where the archive ends.

        Partitions that were added since are taken up.
        """
        for topic in ARCHIVED:
            files = archive_files(self._directory, topic)
            for place in partitions(self._log, topic):
                own = [file for file in files if file.partition == place.partition]
                start = self._log.start_offset(place)
                for gap in gaps(own, start):
                    if gap not in self._empty:
                        self._fill(place, gap)
                self.offsets[place] = own[-1].last + 1 if own else start

    def write_new(self, least: int) -> None:
        """Writes a file for each partition that has so many new records."""
        for place, offset in self.offsets.items():
            if self._log.end_offset(place) >= offset + least:
                try:
                    self.offsets[place] = self._write(place, offset)
                except OSError as error:
                    self._say_unwritable(error)

    def _fill(self, place: TopicPartition, gap: Gap) -> None:
        offset, start = gap.start, -1
        while offset != start and offset < gap.end:
            try:
                start, offset = offset, self._write(place, offset, gap.end)
            except OSError as error:
                self._say_unwritable(error)
                return
        if offset == gap.start:
            self._empty.add(gap)
        else:
            logger.warning("%s had lost offsets from %d on; written again", place, gap.start)

    def _remove_damaged(self, place: TopicPartition, file: ArchiveFile) -> None:
        if self._log.start_offset(place) > file.first:
            logger.error("%s is damaged, and the log has dropped what was in it", file.path)
            return
        logger.warning("%s is damaged; it is written again", file.path)
        file.path.unlink()

    def _say_unwritable(self, error: OSError) -> None:
        # The log has it all: a later turn writes it.
        logger.error("%s cannot be written, make room for it: %s", self._directory, error)

    def _write(self, place: TopicPartition, offset: int, end: int | None = None) -> int:
        return write_file(
            self._log,
            self._directory,
            place,
            offset,
            end=end,
            rows=self._rows,
            counts=self._counts,
        )


def write_file(
    log: Log,
    directory: Path,
    partition: TopicPartition,
    offset: int,
    *,
    rows: int,
    counts: ArchiveCounts,
    end: int | None = None,
) -> int:
    """Writes up to `rows` records from `offset` on to a file, if there are any, and counts them.

    The file gets its name once it is whole and synced. Records from `end` on are left out.

    Returns:
        The offset after the last one that was written.
    """
    schema = SCHEMA.with_metadata(
        {PARTITIONS: str(log.partitions(partition.topic)), WRITTEN_FROM: str(offset)}
    )
    found = scan(log, partition, offset, end=end, limit=min(rows, ROWS_PER_GROUP))
    records = islice(found, rows)
    page = list(islice(records, ROWS_PER_GROUP))
    if not page:
        return offset
    first, written, number = page[0].offset, 0, f"{partition.partition:03d}"

    def name() -> str:
        return f"{number}-{first:012d}-{offset - 1:012d}.parquet"

    with _writing(directory / partition.topic / number, schema, name) as writer:
        while page:
            writer.write_table(table_of(page))
            written += len(page)
            offset = page[-1].offset + 1
            page = list(islice(records, ROWS_PER_GROUP))
    counts.rows += written
    counts.files += 1
    return offset


def read_archive(directory: Path, topic: str) -> Iterator[Record]:
    """Yields the topic's records, partition by partition, in order; none if none is archived.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged or missing.
    """
    if not directory.is_dir():
        raise ArchiveError(
            f"{directory} is no archive; expected a folder that `copyloop streams archive` writes"
        )
    files = archive_files(directory, topic)
    check_complete(files)
    for file in files:
        yield from _read_file(file.path)


def rewrite_file(
    path: Path, change: Callable[[Record], Record | None], *, dry_run: bool = False
) -> int:
    """Returns how many records of a file `change` replaces; the file is the new one by then.

    `change` returns a record in the place of one, or None to keep it. A `dry_run` only counts.

    Raises:
        ArchiveError: the file is damaged.
    """
    count = sum(change(record) is not None for record in _read_file(path))
    if not count or dry_run:
        return count
    records = (change(record) or record for record in _read_file(path))
    with _writing(path, _schema(path)) as writer:
        while page := list(islice(records, ROWS_PER_GROUP)):
            writer.write_table(table_of(page))
    return count


def restore(directory: Path, log: Log) -> int:
    """Writes the archive back to a new log: same partitions, order and timestamps.

    Offsets are the same as well where the archive has a partition from its first record on.
    Restore before anything else writes to the log; policies are folded again by the learner.

    Returns:
        How many records were restored.

    Raises:
        ArchiveError: there is no archive, or the log is not empty or laid out otherwise.
    """
    topics = {topic: files for topic in ARCHIVED if (files := archive_files(directory, topic))}
    if not topics:
        raise ArchiveError(f"there is no archive in {directory}")
    layout = {topic: _count(files) for topic, files in topics.items()}
    for topic, archived in layout.items():
        log.create_topic(topic, partitions=archived)
    create_topics(log, partitions=max(layout.values()))
    for topic, archived in layout.items():
        if log.partitions(topic) != archived:
            raise ArchiveError(
                f"the log has {log.partitions(topic)} partitions of {topic!r} and the archive "
                f"{archived}; restore into a new log"
            )
        if any(log.start_offset(partition) != end for partition, end in ends(log, topic).items()):
            raise ArchiveError(f"the log already has records in {topic!r}; restore into a new log")
    restored = 0
    for topic in topics:
        records = read_archive(directory, topic)
        while chunk := list(islice(records, READ_ROWS)):
            log.append(
                [
                    Message(r.topic, r.key, r.value, r.headers, r.timestamp_ms, r.partition)
                    for r in chunk
                ]
            )
            restored += len(chunk)
    return restored


def _count(files: Sequence[ArchiveFile]) -> int:
    """Returns how many partitions a topic had: at the end, since some may have been added."""
    last = {file.partition: file.path for file in files}
    told = (_schema(path).metadata[PARTITIONS] for path in last.values())
    return max(*map(int, told), *(partition + 1 for partition in last))


@contextmanager
def _writing(
    path: Path, schema: pa.Schema, named: Callable[[], str] | None = None
) -> Iterator[pq.ParquetWriter]:
    """Yields what writes the file, which has its name once the block ends."""
    with (
        writing_whole(path, named=named) as file,
        pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield writer


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _read_file(path: Path) -> Iterator[Record]:
    try:
        parquet = pq.ParquetFile(path, page_checksum_verification=True)
        for batch in parquet.iter_batches(batch_size=READ_ROWS, columns=SCHEMA.names):
            yield from records_of(batch)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(
            f"{path} cannot be read: {error}; remove it, and `copyloop streams archive` writes it "
            "again while the log has its records"
        ) from error
