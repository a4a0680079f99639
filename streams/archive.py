"""The archive: the log's topics as Parquet, one folder a topic, for replay, reports and keeps.

A file holds a range of offsets of one partition and is named after it, so the names alone say
where to go on: a process that is killed leaves no file twice and no record out.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise, repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.checkpoint import exclusive, publish
from streams.errors import ArchiveError
from streams.events import ACCESS, ASSIGNMENTS, POLICIES, TOPICS
from streams.fold import ends, partitions, scan
from streams.logs.base import Headers, Log, Message, Record, TopicPartition
from streams.logs.wrappers import RetryingLog
from streams.topics import create_topics

# Snapshots of policies are large, soon replaced, and folded again from the interactions; keys are
# nobody's business who reads an archive, nor who was given what, and both are soon made anew.
ARCHIVED: Final = tuple(topic for topic in TOPICS if topic not in (POLICIES, ACCESS, ASSIGNMENTS))
ROWS_PER_GROUP: Final = 10_000
READ_ROWS: Final = 1000
LOOK_SECONDS: Final = 1.0
PARTITIONS: Final = b"copyloop.partitions"
FILE_NAME: Final = re.compile(r"(\d+)-(\d+)-(\d+)\.parquet")

SCHEMA: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        # Text where the bytes are UTF-8, as all JSON is, and null where they are not; then the
        # bytes stand in the column of that name. Either way they are kept exactly.
        ("key", pa.string()),
        ("value", pa.string()),
        ("key_bytes", pa.binary()),
        ("value_bytes", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
    ]
)


logger = logging.getLogger(__name__)


@dataclass
class ArchiveCounts:
    """What was archived since the start."""

    rows: int = 0
    files: int = 0


class ArchiveFile(NamedTuple):
    """One file: the records of `partition` from offset `first` to `last`, both in it."""

    partition: int
    first: int
    last: int
    path: Path


def run_archive(
    log: Log,
    directory: Path,
    *,
    stop: threading.Event,
    interval_seconds: float = 60.0,
    rows_per_file: int = 200_000,
    counts: ArchiveCounts | None = None,
) -> None:
    """Archives what the log has and what comes, until `stop`; then what is left, and returns.

    A partition gets a file when it has `rows_per_file` records for one, and for what is there
    after every `interval_seconds`. `counts` is for who looks on meanwhile.

    Raises:
        LockError: another process archives into this directory.
        LogUnavailable: the log was out of reach until `stop` was set; run it again, and nothing
            is missing.
    """
    counts = counts or ArchiveCounts()
    log = RetryingLog(log, stop=stop)

    def write(partition: TopicPartition, offset: int) -> int:
        try:
            return write_file(log, directory, partition, offset, rows=rows_per_file, counts=counts)
        except OSError as error:
            # The log has it all: a later turn writes it.
            logger.error("%s cannot be written, make room for it: %s", directory, error)
            return offset

    with exclusive(directory, "archive"):
        offsets = _archived(log, directory)
        due_at = time.monotonic() + interval_seconds
        while not stop.wait(min(LOOK_SECONDS, interval_seconds)):
            due = time.monotonic() >= due_at
            if due:
                due_at = time.monotonic() + interval_seconds
            for partition in offsets:
                enough = offsets[partition] + (1 if due else rows_per_file)
                if log.end_offset(partition) >= enough:
                    offsets[partition] = write(partition, offsets[partition])
        for partition, offset in offsets.items():
            write(partition, offset)


def write_file(
    log: Log,
    directory: Path,
    partition: TopicPartition,
    offset: int,
    *,
    rows: int,
    counts: ArchiveCounts,
) -> int:
    """Writes up to `rows` records from `offset` on to a file, if there are any, and counts them.

    The file gets its name once it is whole and synced.

    Returns:
        The offset after the last one that was written.
    """
    records = islice(scan(log, partition, offset, limit=min(rows, ROWS_PER_GROUP)), rows)
    page = list(islice(records, ROWS_PER_GROUP))
    if not page:
        return offset
    first, written = page[0].offset, 0
    folder = directory / partition.topic
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{partition.partition:03d}.unfinished"
    schema = SCHEMA.with_metadata({PARTITIONS: str(log.partitions(partition.topic))})
    with _writing(unfinished, schema) as writer:
        while page:
            writer.write_table(_table(page))
            written += len(page)
            offset = page[-1].offset + 1
            page = list(islice(records, ROWS_PER_GROUP))
    name = f"{partition.partition:03d}-{first:012d}-{offset - 1:012d}.parquet"
    publish(unfinished, folder / name)
    counts.rows += written
    counts.files += 1
    return offset


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


def read_archive(directory: Path, topic: str) -> Iterator[Record]:
    """Yields the topic's records, partition by partition, in order; none if none is archived.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged.
    """
    if not directory.is_dir():
        raise ArchiveError(f"there is no archive in {directory}; `run_archive` writes one")
    for file in archive_files(directory, topic):
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
    unfinished = path.with_suffix(".unfinished")
    records = (change(record) or record for record in _read_file(path))
    with _writing(unfinished, _schema(path)) as writer:
        while page := list(islice(records, ROWS_PER_GROUP)):
            writer.write_table(_table(page))
    publish(unfinished, path)
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
    layout = {
        topic: int(_schema(files[0].path).metadata[PARTITIONS]) for topic, files in topics.items()
    }
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


@contextmanager
def _writing(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Yields what writes the file, which is synced by the end of the block."""
    with path.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
            yield writer
        file.flush()
        os.fsync(file.fileno())


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _read_file(path: Path) -> Iterator[Record]:
    try:
        parquet = pq.ParquetFile(path, page_checksum_verification=True)
        for batch in parquet.iter_batches(batch_size=READ_ROWS, columns=SCHEMA.names):
            yield from _records(batch)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _archived(log: Log, directory: Path) -> dict[TopicPartition, int]:
    """Returns, for each partition, the offset after the last one that is archived."""
    offsets = {}
    for topic in ARCHIVED:
        for partition in partitions(log, topic):
            offsets[partition] = log.start_offset(partition)
        for file in archive_files(directory, topic):
            offsets[TopicPartition(topic, file.partition)] = file.last + 1
    return offsets


def _table(records: Sequence[Record]) -> pa.Table:
    *places, raw_keys, raw_values, _ = zip(*records, strict=True)
    keys, key_bytes = _texts(raw_keys)
    values, value_bytes = _texts(raw_values)
    headers = [[{"name": n, "value": v} for n, v in record.headers] for record in records]
    columns = [*places, keys, values, key_bytes, value_bytes, headers]
    return pa.table(columns, schema=SCHEMA)


def _texts(values: Sequence[bytes]) -> tuple[pa.Array, pa.Array]:
    """Returns the values that are UTF-8 as text, and those that are not as bytes."""
    raw = pa.array(values, pa.binary())
    try:
        return raw.cast(pa.string()), pa.nulls(len(values), pa.binary())
    except pa.ArrowInvalid:
        texts = pa.array([_text(value) for value in values], pa.string())
        return texts, pc.if_else(texts.is_null(), raw, None)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _records(batch: pa.RecordBatch) -> Iterator[Record]:
    headers = batch["headers"]
    return map(
        Record,
        batch["topic"].to_pylist(),
        batch["partition"].to_pylist(),
        batch["offset"].to_pylist(),
        batch["timestamp_ms"].to_pylist(),
        pc.coalesce(batch["key"].cast(pa.binary()), batch["key_bytes"]).to_pylist(),
        pc.coalesce(batch["value"].cast(pa.binary()), batch["value_bytes"]).to_pylist(),
        map(_headers, headers.to_pylist()) if len(headers.flatten()) else repeat(()),
    )


def _headers(rows: Sequence[dict[str, Any]]) -> Headers:
    return tuple((row["name"], row["value"]) for row in rows)
