"""A table as columns, for policies whose answers need nothing but columns.

No decision is made into an object, which is most of what reading a table costs; a Parquet file's
row groups may be read by several processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bandit.errors import ReaderError
from bandit.estimator import Floats
from bandit.readers.table import is_parquet, open_batches, table_actions, table_roles

ROWS: Final = 65_536


class TableColumns(NamedTuple):
    """Rows of a table by what they are, each of shape (n,).

    `action` holds the places of the logged actions' ids in the table's sorted ids, or is None.
    """

    reward: Floats
    propensity: Floats
    timestamp_ms: Floats
    action: Floats | None
    targets: Mapping[str, Floats]
    labels: Mapping[str, Sequence[str]]


class ColumnLog(NamedTuple):
    """A table that can be read as columns, in parts; picklable, so in other processes too.

    Attributes:
        path: a CSV or Parquet file.
        columns: as `read_table` takes them.
        segments: `context.NAME` of those NAMEs whose values are wanted as text.
        actions: the ids of all actions, sorted; empty where no column is of them.
    """

    path: Path
    columns: Mapping[str, str]
    segments: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def most_parts(self) -> int:
        """How many parts there can be: the row groups of a Parquet file."""
        return pq.ParquetFile(self.path).num_row_groups if is_parquet(self.path) else 1

    def read(self, part: int = 0, parts: int = 1) -> Iterator[TableColumns]:
        """Yields the rows of one of so many parts, which together are all rows, once.

        Raises:
            ReaderError: a column that the file lacks, or that holds what it must not.
        """
        if parts == 1 or not is_parquet(self.path):
            start = 0
            for batch in open_batches(self.path, [*self.columns.values()], ROWS):
                yield self._read(batch, start)
                start += batch.num_rows
            return
        file = pq.ParquetFile(self.path)
        wanted = list(dict.fromkeys(self.columns.values()))
        sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        for group in range(part, file.num_row_groups, parts):
            start = sum(sizes[:group])
            for batch in file.iter_batches(batch_size=ROWS, row_groups=[group], columns=wanted):
                yield self._read(batch, start)
                start += batch.num_rows

    def _read(self, batch: pa.RecordBatch, start: int) -> TableColumns:
        roles = self.columns
        times = np.arange(start, start + batch.num_rows, dtype=np.float64)
        if "timestamp_ms" in roles:
            column = batch.column(roles["timestamp_ms"])
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp("ms")).cast(pa.int64())
            times = self._floats(column, roles["timestamp_ms"], start)
        action = None
        if "action" in roles:
            names = batch.column(roles["action"]).cast(pa.string())
            action = pc.index_in(names, pa.array(self.actions)).to_numpy(zero_copy_only=False)
        prefix = "target."
        return TableColumns(
            self._column(batch, "reward", start),
            self._column(batch, "propensity", start),
            times,
            None if action is None else action.astype(np.float64),
            {
                role.removeprefix(prefix): self._column(batch, role, start)
                for role in roles
                if role.startswith(prefix)
            },
            {segment: _labels(batch, roles[f"context.{segment}"]) for segment in self.segments},
        )

    def _column(self, batch: pa.RecordBatch, role: str, start: int) -> Floats:
        name = self.columns[role]
        return self._floats(batch.column(name), name, start)

    def _floats(self, column: Any, name: str, start: int) -> Floats:
        if column.null_count:
            row = start + int(pc.index(column.is_null(), True).as_py())
            raise ReaderError(f"{self.path}, row {row}: {name} is empty; expected a number")
        try:
            found: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise ReaderError(f"{self.path}: {name} is not of numbers: {error}") from error
        return found


def open_columns(
    path: Path, columns: Mapping[str, str], segments: Sequence[str] = ()
) -> ColumnLog | None:
    """Returns the table to be read as columns; None if a segment is no column of it.

    Raises:
        ReaderError: a role that does not exist, or a column that the file lacks.
    """
    table_roles(columns)
    if not path.exists():
        raise ReaderError(f"{path} does not exist; expected a table")
    if any(f"context.{segment}" not in columns for segment in segments):
        return None
    actions = table_actions(path, columns["action"]) if "action" in columns else ()
    return ColumnLog(path, dict(columns), tuple(segments), actions)


def _labels(batch: pa.RecordBatch, name: str) -> list[str]:
    texts = pc.fill_null(batch.column(name).cast(pa.string()), "–").to_pylist()
    return [str(text) for text in texts]
