"""Cells of a table as what they stand for: names, numbers and times, a column at once.

One place reads a column of whatever type it comes in. So a cell means the same to every policy
and every way of reading, and a cell that cannot be read is known by its row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bandit.errors import ReaderError
from bandit.ope.base import Floats

PER_MS: Final = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}
ISO_TYPES: Final = (
    pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("ns", tz="UTC"),
)  # fmt: skip
LEAST_PROPENSITY: Final = 1e-30
LARGEST_REWARD: Final = 1e100
"""Beyond these, squares of weights and rewards would be no numbers."""
LATEST_MS: Final = 8.64e15
"""The times that there are, in milliseconds around 1970: a hundred million days to each side."""
SHOWN: Final = 40
"""Characters of a cell that a message shows."""


class Numbers(NamedTuple):
    """A column's numbers, NaN where a cell is none, and which cells are empty; shape (n,)."""

    values: Floats
    empty: NDArray[np.bool_]


def names(column: pa.Array, called: str = "the column") -> pa.Array:
    """Returns the cells as text, as a file of text would have it; null where a cell is empty.

    A name is never taken for a number: `007` stays as it is, a float 101.0 is `101.0`, and a
    boolean is `true` or `false`. Bytes that are no UTF-8 are in hexadecimal.

    Args:
        column: the cells.
        called: what a message calls the column.

    >>> names(pa.array([101.0, 2.5, None])).to_pylist()
    ['101.0', '2.5', None]

    Raises:
        ReaderError: the cells are lists or objects.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return names(column.dictionary_decode(), called)
    try:
        if pa.types.is_floating(kind):
            text = _by_value(column.cast(pa.float64()), repr if kind == pa.float64() else _short)
        elif is_binary(kind):
            text = _by_value(column, _of_bytes)
        elif pa.types.is_timestamp(kind):
            text = column.cast(pa.int64()).cast(pa.timestamp(kind.unit)).cast(pa.string())
            text = pc.replace_substring_regex(text, r"\.0+$", "")
            text = pc.binary_join_element_wise(text, "Z", "") if kind.tz else text
        else:
            text = column.cast(pa.string())
    except pa.ArrowException as error:
        raise ReaderError(f"{called} is of type {kind}; expected names or numbers") from error
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text)


def numbers(column: pa.Array, *, decimal_comma: bool = False) -> Numbers:
    """Returns the cells as numbers; text is read, and booleans are 1 and 0.

    >>> numbers(pa.array(["0.5", "", "much"])).values.tolist()
    [0.5, nan, nan]
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type):
        return _numbers_of_text(column, decimal_comma)
    empty = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    try:
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        values = np.full(len(column), np.nan)
    return Numbers(np.asarray(values, dtype=np.float64), empty)


def times(column: pa.Array) -> Numbers:
    """Returns the cells as whole milliseconds since 1970, in UTC where no zone is given.

    Numbers are milliseconds already; dates begin at midnight; text is ISO 8601 or a number.

    >>> times(pa.array(["1970-01-01T02:00:01+02:00"])).values.tolist()
    [1000.0]
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return times(column.dictionary_decode())
    if pa.types.is_date(kind):
        return times(column.cast(pa.timestamp("ms")))
    if pa.types.is_timestamp(kind):
        empty = column.is_null().to_numpy(zero_copy_only=False)
        ticks = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        return Numbers(np.where(empty, np.nan, np.floor(ticks / PER_MS[kind.unit])), empty)
    if is_text(kind):
        return _times_of_text(column)
    found = numbers(column)
    return Numbers(np.floor(found.values), found.empty)


def is_text(kind: pa.DataType) -> bool:
    """True if a column of this type holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_binary(kind: pa.DataType) -> bool:
    """True if a column of this type holds bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def shown(cell: Any) -> str:
    """Returns a cell for a message, cut where it is long."""
    text = repr(cell.as_py() if isinstance(cell, pa.Scalar) else cell)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _short(value: float) -> str:
    """Returns the least digits that tell a single-precision number from its neighbours."""
    return str(np.float32(value))


def _of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _by_value(column: pa.Array, name: Callable[[Any], str]) -> pa.Array:
    """Returns what `name` makes of each cell, asked once for each value; NaN is null."""
    coded = column.dictionary_encode()
    values = coded.dictionary.to_pylist()
    known = [None if value is None or value != value else name(value) for value in values]
    return pa.array(known, pa.string()).take(coded.indices)


def _numbers_of_text(column: pa.Array, decimal_comma: bool) -> Numbers:
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    empty = pc.or_kleene(text.is_null(), pc.equal(text, "")).to_numpy(zero_copy_only=False)
    filled = pc.if_else(pa.array(empty), "nan", text)
    if decimal_comma:
        filled = pc.replace_substring_regex(filled, r"^([+-]?\d*),(\d+)$", r"\1.\2")
    try:
        values = filled.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        values = np.array([_number(one) for one in filled.to_pylist()])
    return Numbers(np.asarray(values, dtype=np.float64), empty)


def _number(text: str) -> float:
    """Returns the number that a text writes, true being 1; NaN if it writes none."""
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _times_of_text(column: pa.Array) -> Numbers:
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    for kind in ISO_TYPES:
        try:
            return times(pc.if_else(pc.equal(text, ""), None, text).cast(kind))
        except pa.ArrowInvalid:
            continue
    found = numbers(text)
    values = np.floor(found.values)
    for row in np.flatnonzero(~np.isfinite(values) & ~found.empty).tolist():
        values[row] = _moment(text[row].as_py())
    return Numbers(values, found.empty)


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp() * 1000)
