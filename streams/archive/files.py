"""The files of an archive: their names, what is missing among them, and whose log they are of.

A file is named after the offsets in it, and knows the offset that it was written from. So a
deleted file shows, and offsets that the log itself left out do not. A log is known by its records:
those that the archive has last must be there, at the same offset and time and with the same key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from streams.checkpoint import exclusive, exclusive_file
from streams.errors import ArchiveError
from streams.logs.base import Log, TopicPartition

FILE_NAME: Final = re.compile(r"(\d+)-(\d+)-(\d+)\.parquet")
WRITTEN_FROM: Final = b"copyloop.from"
"""Where a file's metadata has the offset that it was written from; of files before this, nothing
is known of what is missing before them."""
BEFORE: Final = "before-"
"""How the folders begin that hold the archive of another history of the log."""

LOCK: Final = ".archive.lock"
"""Hidden, since Spark, pandas and pyarrow take every other file of a folder for data."""

logger = logging.getLogger(__name__)


class ArchiveFile(NamedTuple):
    """One file: the records of `partition` from offset `first` to `last`, both in it."""

    partition: int
    first: int
    last: int
    path: Path


class Gap(NamedTuple):
    """Offsets from `start` to `end` (exclusive) that no file holds, before the file at `path`."""

    start: int
    end: int
    path: Path


@contextmanager
def archive_lock(directory: Path) -> Iterator[None]:
    """Holds the writing of the archive for the block; see `exclusive`.

    Raises:
        LockError: another process writes the archive.
    """
    visible = directory / "archive.lock"
    with ExitStack() as held:
        held.enter_context(exclusive_file(directory / LOCK, "archive"))
        # The name of the lock in copyloop's first versions, one of which may run.
        if visible.exists():
            held.enter_context(exclusive(directory, "archive"))
            visible.unlink()
        yield


def archive_files(directory: Path, topic: str) -> list[ArchiveFile]:
    """Returns the topic's files, partition by partition, in the order of their offsets.

    Raises:
        ArchiveError: two files hold the same offsets.
    """
    paths = (directory / topic).glob("*.parquet")
    names = [(path, match) for path in paths if (match := FILE_NAME.fullmatch(path.name))]
    files = sorted(ArchiveFile(int(m[1]), int(m[2]), int(m[3]), path) for path, m in names)
    for earlier, later in pairwise(files):
        if earlier.partition == later.partition and later.first <= earlier.last:
            raise ArchiveError(
                f"{later.path} has offset {later.first}, and so has {earlier.path.name}; "
                "keep one of the two"
            )
    return files


def archives_in(directory: Path) -> list[Path]:
    """Returns the archive, and those of other histories that were put aside in it."""
    return [directory, *sorted(directory.glob(f"{BEFORE}*"))]


def gaps(files: Sequence[ArchiveFile], start: int = 0) -> Iterator[Gap]:
    """Yields what lies between the files of one partition, and between `start` and the first."""
    for file in files:
        if file.first > start:
            yield Gap(start, file.first, file.path)
        start = file.last + 1


def check_complete(files: Sequence[ArchiveFile]) -> None:
    """Refuses the files of a topic if one between them was deleted; warns of a missing beginning.

    Raises:
        ArchiveError: one is missing, or cannot be read.
    """
    for _, group in groupby(files, key=lambda file: file.partition):
        own = list(group)
        for gap in gaps(own):
            written_from = _written_from(gap.path)
            if written_from is None or written_from <= gap.start:
                continue
            found = f"offsets {gap.start} to {written_from - 1} are missing before {gap.path}"
            if gap.path != own[0].path:
                raise ArchiveError(
                    f"{found}: a file was deleted; `copyloop streams archive` writes it again "
                    "while the log has those records"
                )
            logger.warning("%s", found)


def is_sound(file: ArchiveFile) -> bool:
    """Returns whether the file is whole, and holds the offsets that its name says."""
    try:
        found = pq.read_metadata(file.path)
        place = found.schema.names.index("offset")
        groups = [found.row_group(n).column(place).statistics for n in range(found.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError):
        return False
    return bool(groups) and (groups[0].min, groups[-1].max) == (file.first, file.last)


def why_of_another_log(
    log: Log, files: Mapping[str, Sequence[ArchiveFile]], partitions: Mapping[str, int]
) -> str | None:
    """Returns why the archive is not of this log, None if nothing speaks against it.

    Args:
        log: what is to be archived.
        files: the readable files of each topic.
        partitions: how many each topic has in the log.
    """
    for topic, held in files.items():
        last = {file.partition: file for file in held}
        for number, file in last.items():
            if number >= partitions[topic]:
                return f"it has partition {number} of {topic}, and the log has none"
            place = TopicPartition(topic, number)
            if (end := log.end_offset(place)) <= file.last:
                return f"it has offset {file.last} of {topic}/{number}, and the log ends at {end}"
            record = next(iter(log.read(place, file.last, limit=1)), None)
            # What the log has dropped by now says nothing.
            if record is None or record.offset != file.last:
                continue
            if (record.timestamp_ms, record.key) != _last_row(file.path):
                return f"the log has another record at offset {file.last} of {topic}/{number}"
    return None


def put_aside(directory: Path, topics: Sequence[str]) -> Path:
    """Moves these topics' folders into one beside them, and returns it."""
    name = f"{BEFORE}{datetime.now(UTC):%Y%m%dT%H%M%S}"
    taken = sum(path.name.startswith(name) for path in directory.iterdir())
    aside = directory / (f"{name}-{taken}" if taken else name)
    aside.mkdir(mode=0o700)
    for topic in topics:
        if (directory / topic).is_dir():
            (directory / topic).rename(aside / topic)
    return aside


def _written_from(path: Path) -> int | None:
    try:
        found = (pq.read_schema(path).metadata or {}).get(WRITTEN_FROM)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error
    return None if found is None else int(found)


def _last_row(path: Path) -> tuple[int, bytes]:
    """Returns the time and the key of a file's last record."""
    with pq.ParquetFile(path) as parquet:
        columns = ["timestamp_ms", "key", "key_bytes"]
        rows = parquet.read_row_group(parquet.num_row_groups - 1, columns=columns)
    last = rows.slice(rows.num_rows - 1).to_pylist()[0]
    key = last["key_bytes"] if last["key"] is None else last["key"].encode()
    return last["timestamp_ms"], key
