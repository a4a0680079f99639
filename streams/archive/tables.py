"""Records as rows of Parquet, and rows as records, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from streams.logs.base import Headers, Record

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


def table_of(records: Sequence[Record]) -> pa.Table:
    """Returns the records as rows of `SCHEMA`."""
    *places, raw_keys, raw_values, _, _ = zip(*records, strict=True)
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


def records_of(batch: pa.RecordBatch) -> Iterator[Record]:
    """Returns the records that the rows are."""
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
