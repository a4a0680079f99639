"""Tables of Parquet as Spark reads them: where each row stands, and what is known of all rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bandit.errors import ReaderError
from bandit.ope.readers.tables.rows import Table
from bandit.ope.readers.tables.sources import Block
from bandit.ope.readers.tables.survey import SurveySums, surveyed_columns
from bandit.ope.spark.workers import Batches, on_partitions, short

FILE: Final = "copyloop_file"
ROW: Final = "copyloop_row"


class Places(NamedTuple):
    """How rows of files are counted over a whole table: by file, how many rows come before it."""

    starts: Mapping[str, int]

    def blocks(self, batches: Batches) -> Iterator[Block]:
        """Yields the rows of Spark's batches, those that follow each other in a file together."""
        for batch in batches:
            files = batch.column(FILE).to_pylist()
            rows = batch.column(ROW).to_numpy(zero_copy_only=False).astype(np.int64)
            inner = batch.drop_columns([FILE, ROW])
            for start, end in _runs(files, rows):
                first = self.starts.get(files[start], 0) + int(rows[start])
                part = inner.slice(start, end - start)
                yield Block(part, files[start], rows[start:end], first)


def _runs(files: Sequence[str], rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    ends = [
        row + 1
        for row in range(len(rows))
        if row + 1 == len(rows) or files[row + 1] != files[row] or rows[row + 1] != rows[row] + 1
    ]
    yield from zip([0, *ends], ends, strict=False)


def open_table(spark: Any, path: str, columns: dict[str, str]) -> tuple[Any, Table, Places]:
    """Returns the rows of a table, located; what their columns are; and how rows are counted.

    Raises:
        ReaderError: the table, or a role, cannot be read.
    """
    try:
        frame = spark.read.parquet(path)
    except Exception as error:  # of the JVM, in classes that differ from version to version
        raise ReaderError(f"{path} cannot be read as Parquet: {short(error)}") from error
    names = pa.table({name: pa.nulls(0) for name in frame.columns})
    roles = Table(names, columns).roles
    located = _located(frame, surveyed_columns(roles))
    sums = reduce(_merged, on_partitions(located, partial(_survey, columns, names)))
    places = Places(_starts(sums.rows))
    repeats = _repeats(_located(frame, roles.names), roles.plain.get("event_id"), places)
    known = sums.found.get([])._replace(repeats=repeats)
    return _located(frame, roles.columns()), Table(names, columns, known=known), places


def _located(frame: Any, columns: Sequence[str]) -> Any:
    """Returns these columns, each once, with the file and the number of each row in it."""
    from pyspark.sql import functions as sql

    wanted = [sql.col(f"`{name}`") for name in dict.fromkeys(columns)]
    file, row = sql.col("_metadata.file_path"), sql.col("_metadata.row_index")
    return frame.select(*wanted, file.alias(FILE), row.alias(ROW))


class _Sums(NamedTuple):
    found: SurveySums
    rows: dict[str, int]


def _survey(columns: dict[str, str], names: pa.Table, part: int, batches: Batches) -> _Sums:
    roles = Table(names, columns).roles
    # Whether an event id is repeated, Spark finds out.
    plain = {role: column for role, column in roles.plain.items() if role != "event_id"}
    sums = _Sums(SurveySums(roles._replace(plain=plain)), {})
    for block in Places({}).blocks(batches):
        sums.rows[block.file] = max(sums.rows.get(block.file, 0), int(block.rows[-1]) + 1)
        sums.found.add(block, [])
    return sums


def _merged(one: _Sums, other: _Sums) -> _Sums:
    one.found.merge(other.found)
    rows = dict(one.rows)
    for file, count in other.rows.items():
        rows[file] = max(rows.get(file, 0), count)
    return _Sums(one.found, rows)


def _starts(rows: Mapping[str, int]) -> dict[str, int]:
    """Returns how many rows come before each file, in the order of their names."""
    starts, total = {}, 0
    for file in sorted(rows, key=lambda name: name.split("/")):
        starts[file] = total
        total += rows[file]
    return starts


def _repeats(located: Any, event_id: str | None, places: Places) -> NDArray[np.int64]:
    """Returns which rows repeat the event id of one before."""
    from pyspark.sql import functions as sql

    if event_id is None:
        return np.zeros(0, dtype=np.int64)
    named = located.where(sql.col(f"`{event_id}`").isNotNull())
    rows = sql.collect_list(sql.struct(FILE, ROW)).alias("rows")
    of_event = named.groupBy(sql.col(f"`{event_id}`").cast("string")).agg(rows)
    again = [
        sorted(places.starts[row[FILE]] + row[ROW] for row in found.rows)[1:]
        for found in of_event.where("size(rows) > 1").select("rows").collect()
    ]
    return np.array([row for rows in again for row in rows], dtype=np.int64)
