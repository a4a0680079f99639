"""Rows of CSV files and of JSON lines, in batches, with the number of each row.

CSV comes as text throughout, so that `007` stays a name; JSON has types of its own. A line that
is no row is told to the counts.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from bandit.errors import ReaderError
from bandit.ope.readers.rows import RowCounts

Batches: TypeAlias = Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]

SEPARATORS: Final = ",;\t|"
HEAD: Final = 1 << 16
BOM: Final = b"\xef\xbb\xbf"
MISSING: Final = object()


def head(path: Path) -> bytes:
    """Returns how a file begins, decompressed."""
    with pa.input_stream(str(path)) as stream:
        return bytes(stream.read(HEAD))


def csv_header(path: Path, wanted: Collection[str] = ()) -> tuple[str, list[str]]:
    """Returns what separates the columns of a CSV file, and their names.

    That is the first separator with which the header has all columns wanted, or else the one
    with which it has most.
    """
    text = head(path).decode("utf-8-sig", errors="replace")
    found = [(separator, _names(text, separator)) for separator in SEPARATORS]
    for separator, names in found:
        if wanted and not set(wanted) - set(names):
            return separator, names
    return max(found, key=lambda pair: len(pair[1]))


def _names(text: str, separator: str) -> list[str]:
    try:
        # any end of a line is one, as to Arrow
        return next(csv.reader(io.StringIO(text, newline=None), delimiter=separator), [])
    except csv.Error:
        return []


def csv_batches(path: Path, wanted: Sequence[str], rows: int, counts: RowCounts) -> Batches:
    """Yields these columns of a CSV file as text; its header must have them."""
    separator, _ = csv_header(path, wanted)
    bad: list[tuple[int, str]] = []

    def take(row: pacsv.InvalidRow) -> str:
        # rows are counted from the header, which is 1
        bad.append((row.number - 2, f"{row.actual_columns} fields, not {row.expected_columns}"))
        return "skip"

    reader = pacsv.open_csv(
        str(path),
        # one thread, so that lines come in order and have numbers
        read_options=pacsv.ReadOptions(use_threads=False),
        parse_options=pacsv.ParseOptions(
            delimiter=separator, newlines_in_values=True, invalid_row_handler=take
        ),
        convert_options=pacsv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
        ),
    )
    start, told = 0, 0
    with reader:
        while True:
            whole = next(reader, None)
            for row, detail in bad[told:]:
                counts.refuse("wrong_number_of_fields", f"{path}, row {row}", detail)
            told = len(bad)
            if whole is None:
                return
            for offset in range(0, whole.num_rows, rows):
                batch = whole.slice(offset, rows)
                numbers = np.arange(start, start + batch.num_rows, dtype=np.int64)
                for row, _ in bad:
                    numbers[numbers >= row] += 1
                start += batch.num_rows
                yield batch, numbers


def json_columns(path: Path, rows: int = 1000) -> list[str]:
    """Returns the names in the first objects of JSON lines."""
    found: dict[str, None] = {}
    for number, (_, row) in enumerate(_objects(path, RowCounts("skip"))):
        if number == rows:
            break
        found.update(dict.fromkeys(row))
    return list(found)


def json_batches(
    path: Path, wanted: Sequence[str], rows: int, counts: RowCounts, *, names: Collection[str] = ()
) -> Batches:
    """Yields JSON lines, an object each; `a.b` is b in the object a.

    Args:
        path: the file.
        wanted: names of columns.
        rows: the most in a batch.
        counts: takes the lines that are no objects.
        names: those columns whose values are names, which become text one by one.

    Raises:
        ReaderError: none of the first rows has a column, or `counts` stops at a bad line.
    """
    held: list[list[Any]] = []
    numbers: list[int] = []
    checked = False

    def batch() -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        columns = list(zip(*held, strict=True)) if wanted else []
        for name, values in zip(wanted, columns, strict=True):
            if not checked and all(value is MISSING for value in values):
                has = ", ".join(json_columns(path)) or "none"
                raise ReaderError(f"{path} has no column {name}; its columns are: {has}")
        arrays = [
            array_of([None if v is MISSING else v for v in values], text=name in names)
            for name, values in zip(wanted, columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, names=list(wanted)), np.array(numbers)

    for number, row in _objects(path, counts):
        held.append([_inside(row, name) for name in wanted])
        numbers.append(number)
        if len(held) == rows:
            yield batch()
            held, numbers, checked = [], [], True
    if held:
        yield batch()


def _objects(path: Path, counts: RowCounts) -> Iterator[tuple[int, dict[str, Any]]]:
    with pa.input_stream(str(path)) as stream:
        for number, text in enumerate(io.BufferedReader(stream)):
            line = text.removeprefix(BOM) if not number else text
            if not line.strip():
                continue
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                counts.refuse("not_json", f"{path}, row {number}", f"no JSON object: {error}")
            else:
                yield number, row


def _inside(row: dict[str, Any], name: str) -> Any:
    """Returns the value of a name, or of a path of names with dots between them."""
    value: Any = row
    for step in (name,) if name in row else name.split("."):
        value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
    return value


def array_of(values: Sequence[Any], *, text: bool = False) -> pa.Array:
    """Returns values of Python as a column; as text where they are of several kinds.

    Args:
        values: any.
        text: whether they are names, to become text one by one.

    >>> array_of([7, "007", None]).to_pylist()
    ['7', '007', None]
    >>> array_of([1, 0.5]).to_pylist(), array_of([1, 0.5], text=True).to_pylist()
    ([1.0, 0.5], ['1', '0.5'])
    """
    kinds = {type(value) for value in values if value is not None}
    if not (text and kinds & {int, float}) and (len(kinds) <= 1 or kinds == {int, float}):
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            pass
    return pa.array([text_of(value) for value in values], pa.string())


def text_of(value: Any) -> str | None:
    """Returns the name that a value of Python is; None for none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else repr(value)
    if isinstance(value, bool | dict | list):
        return msgspec.json.encode(value, enc_hook=str).decode()
    return str(value)
