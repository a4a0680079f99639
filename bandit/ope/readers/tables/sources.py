"""Where the rows of a table come from: files of several formats, folders of them, or memory.

Each source gives record batches with the number that each row has in its own file, so that a
message can name the row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bandit.errors import ReaderError
from bandit.ope.readers.rows import RowCounts
from bandit.ope.readers.tables.text_files import (
    BOM,
    Batches,
    csv_batches,
    csv_header,
    head,
    json_batches,
    json_columns,
)

Kind: TypeAlias = Literal["parquet", "csv", "json"]
SUFFIXES: Final[dict[str, Kind]] = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".jsonl": "json", ".ndjson": "json", ".json": "json",
}  # fmt: skip
COMPRESSED: Final = (".gz", ".bz2", ".zst", ".lz4")
NO_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"
NOT_READ: Final = (
    (b"ARROW1", "an Arrow IPC file"), (b"PK\x03\x04", "a zip file or a workbook"),
    (b"SQLite format 3", "a SQLite database"), (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"), (b"Obj\x01", "an Avro file"), (b"ORC", "an ORC file"),
)  # fmt: skip
"""How files begin that are taken for tables and are not read, and what they are."""


class Block(NamedTuple):
    """Rows of a table that follow each other.

    Attributes:
        batch: the rows, with the columns that were asked for.
        file: the file that they are from, as messages name it.
        rows: the number of each row in its file, from 0, shape (n,).
        start: how many rows of the whole table come before these.
    """

    batch: pa.RecordBatch
    file: str
    rows: NDArray[np.int64]
    start: int


class TableFile(NamedTuple):
    """One file of a table; `partition` holds what the names of its folders say of all its rows."""

    path: Path
    kind: Kind
    partition: dict[str, str | None]


class TableSource:
    """A table as blocks of rows; picklable, so in other processes too.

    Args:
        table: a file of CSV, JSON lines or Parquet, a folder of such files, a path with `*`, or
            an Arrow table in memory. Of a folder, files whose names begin with `_` or `.` are no
            data, and folders named `KEY=VALUE` are a column KEY.

    Raises:
        ReaderError: there is no such file, or none of a known format.
    """

    def __init__(self, table: Path | pa.Table) -> None:
        self.name = str(table) if isinstance(table, Path) else "the table"
        self._table = None if isinstance(table, Path) else table
        self._files = find_files(table) if isinstance(table, Path) else ()

    @property
    def parts(self) -> int:
        """How many parts can be read apart: the row groups of Parquet."""
        if self._table is not None or any(file.kind != "parquet" for file in self._files):
            return 1
        return max(sum(len(_groups(file)) for file in self._files), 1)

    @property
    def has_types(self) -> bool:
        """False for CSV, whose cells are all text."""
        return all(file.kind != "csv" for file in self._files)

    @property
    def decimal_comma(self) -> bool:
        """True for CSV whose columns no comma separates, so that one may be in a number."""
        first = self._files[0] if self._files else None
        return first is not None and first.kind == "csv" and csv_header(first.path)[0] != ","

    def columns(self) -> tuple[str, ...]:
        """Returns the names of the columns, as the first file has them."""
        if self._table is not None:
            return tuple(self._table.column_names)
        return tuple(_columns(self._files[0]))

    def check(self, columns: Sequence[str]) -> None:
        """Raises if the first file lacks a column; JSON lines, which may be nested, tell later.

        Raises:
            ReaderError: names all that are missing, and those that there are.
        """
        if not self._files or self._files[0].kind != "json":
            _check(self.name, self.columns(), columns)

    def blocks(
        self,
        columns: Sequence[str],
        rows: int,
        counts: RowCounts,
        *,
        names: Collection[str] = (),
        part: int = 0,
        parts: int = 1,
    ) -> Iterator[Block]:
        """Yields these columns of one of so many parts, which together are all rows, once.

        Args:
            columns: by their names.
            rows: the most in a block.
            counts: takes the lines of text that are no rows.
            names: those of the columns whose cells are names.
            part: which part, from 0.
            parts: how many there are, at most `self.parts`.

        Raises:
            ReaderError: a file lacks a column or cannot be read, or `counts` stops at a bad line.
        """
        wanted, start, number = list(dict.fromkeys(columns)), 0, 0
        if self._table is not None:
            _check(self.name, self._table.column_names, wanted)
            for batch in self._table.select(wanted).to_batches(max_chunksize=rows):
                yield Block(batch, self.name, _numbers(start, batch), start)
                start += batch.num_rows
        for file in self._files:
            if file.kind != "parquet":
                for batch, numbers in _lines(file, wanted, rows, counts, names):
                    yield Block(batch, str(file.path), numbers, start)
                    start += batch.num_rows
                continue
            first = 0
            for group, size in enumerate(_groups(file)):
                if number % parts == part:
                    yield from _of_group(file, wanted, rows, group, first, start)
                first, start, number = first + size, start + size, number + 1


def find_files(path: Path) -> tuple[TableFile, ...]:
    """Returns the files that a path stands for, in the order of their names.

    Raises:
        ReaderError: there are none, or one is of a format that is not read.
    """
    if path.is_file():
        return (TableFile(path, _kind(path), {}),)
    root, found = (path, [path]) if path.is_dir() else _matching(path)
    inside = [
        inner for one in found for inner in (sorted(one.rglob("*")) if one.is_dir() else [one])
    ]
    files = [one for one in inside if one.is_file() and not _hidden(one.relative_to(root))]
    kinds = {SUFFIXES[_suffix(file)] for file in files if _suffix(file) in SUFFIXES}
    if len(kinds) > 1:
        raise ReaderError(
            f"{path} holds files of several formats ({', '.join(sorted(kinds))}); give those of "
            "one, such as 'FOLDER/*.parquet'"
        )
    named = [file for file in files if _suffix(file) in SUFFIXES] or files
    if not named:
        raise ReaderError(f"{path} holds no file of a table; expected CSV, JSON lines or Parquet")
    return tuple(TableFile(file, _kind(file), _partition(file.relative_to(root))) for file in named)


def _matching(path: Path) -> tuple[Path, list[Path]]:
    """Returns the folder in front of a path's first `*`, and what the path matches in it."""
    parts = path.parts
    place = next((n for n, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    root, pattern = Path(*parts[:place]), str(Path(*parts[place:]))
    if place == len(parts) or not root.is_dir():
        raise ReaderError(f"{path} does not exist; expected a table")
    return root, sorted(root.glob(pattern))


def _hidden(path: Path) -> bool:
    """True of what a folder holds beside its data: `_SUCCESS`, checksums, unfinished files."""
    return any(part.startswith(("_", ".")) and "=" not in part for part in path.parts)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in suffixes[::-1] if suffix not in COMPRESSED), "")


def _partition(path: Path) -> dict[str, str | None]:
    pairs = [part.partition("=") for part in path.parts[:-1] if "=" in part]
    return {unquote(key): None if text == NO_PARTITION else unquote(text) for key, _, text in pairs}


def _kind(path: Path) -> Kind:
    """Returns the format of a file, by how it begins, and by its name where that says nothing."""
    start = _read(path, partial(head, path))
    if start.startswith(b"PAR1"):
        return "parquet"
    for begins, what in NOT_READ:
        if start.startswith(begins):
            raise ReaderError(f"{path} is {what}; expected CSV, JSON lines or Parquet, in UTF-8")
    known, text = SUFFIXES.get(_suffix(path)), start.removeprefix(BOM).lstrip()
    if known != "csv" and text.startswith(b"["):
        raise ReaderError(f"{path} is one JSON array; expected JSON lines, an object a line")
    if known is None:
        return "json" if text.startswith(b"{") else "csv"
    return known


def _read(path: Path, read: Callable[[], Any]) -> Any:
    """Returns what `read` does; its errors name the file."""
    try:
        return read()
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        hint = "; expected text in UTF-8" if "invalid UTF8" in str(error) else ""
        raise ReaderError(f"{path} cannot be read: {error}{hint}") from error


def _columns(file: TableFile) -> list[str]:
    read: Callable[[], list[str]]
    if file.kind == "parquet":
        read = partial(_parquet_columns, file.path)
    elif file.kind == "csv":
        read = partial(_csv_columns, file.path)
    else:
        read = partial(json_columns, file.path)
    return [*_read(file.path, read), *file.partition]


def _parquet_columns(path: Path) -> list[str]:
    return [str(name) for name in pq.ParquetFile(path).schema_arrow.names]


def _csv_columns(path: Path) -> list[str]:
    return csv_header(path)[1]


def _check(file: object, names: Sequence[str], wanted: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        has = ", ".join(n if n == n.strip() else repr(n) for n in names) or "none"
        raise ReaderError(f"{file} has no column {', '.join(missing)}; its columns are: {has}")
    if twice := [name for name in wanted if list(names).count(name) > 1]:
        raise ReaderError(f"{file} has several columns of the name {twice[0]}")


def _numbers(start: int, batch: pa.RecordBatch) -> NDArray[np.int64]:
    return np.arange(start, start + batch.num_rows, dtype=np.int64)


def _groups(file: TableFile) -> list[int]:
    """Returns how many rows each row group of a Parquet file has."""
    known = _read(file.path, lambda: pq.ParquetFile(file.path).metadata)
    return [known.row_group(group).num_rows for group in range(known.num_row_groups)]


def _of_group(
    file: TableFile, wanted: list[str], rows: int, group: int, first: int, start: int
) -> Iterator[Block]:
    """Yields a row group of Parquet, whose rows begin at `first` in the file."""
    opened = _read(file.path, lambda: pq.ParquetFile(file.path))
    _check(file.path, [*opened.schema_arrow.names, *file.partition], wanted)
    inside = [name for name in wanted if name not in file.partition]
    batches = opened.iter_batches(batch_size=rows, row_groups=[group], columns=inside)
    while (batch := _read(file.path, lambda: next(batches, None))) is not None:
        full = _with_partition(file, batch, wanted)
        yield Block(full, str(file.path), _numbers(first, batch), start)
        first, start = first + batch.num_rows, start + batch.num_rows


def _lines(
    file: TableFile, wanted: list[str], rows: int, counts: RowCounts, names: Collection[str]
) -> Batches:
    """Yields the rows of a file of text, with the number of each."""
    inside = [name for name in wanted if name not in file.partition]
    if file.kind == "csv":
        _, header = _read(file.path, lambda: csv_header(file.path, inside))
        _check(file.path, [*header, *file.partition], wanted)
        batches = csv_batches(file.path, inside, rows, counts)
    else:
        batches = json_batches(file.path, inside, rows, counts, names=names)
    while (found := _read(file.path, lambda: next(batches, None))) is not None:
        batch, numbers = found
        yield _with_partition(file, batch, wanted), numbers


def _with_partition(file: TableFile, batch: pa.RecordBatch, wanted: list[str]) -> pa.RecordBatch:
    arrays = [
        pa.array([file.partition[name]] * batch.num_rows, pa.string())
        if name in file.partition
        else batch.column(name)
        for name in wanted
    ]
    return pa.RecordBatch.from_arrays(arrays, names=wanted)
