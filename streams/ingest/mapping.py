"""Outcomes from anywhere: a mapping says where a record of somebody else's topic holds what.

So a team keeps its click topic and its schema as they are. A mapping is a small file, or this
struct; `streams.ingest.mapping` does what it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import jmespath
import msgspec
import yaml
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from msgspec import Struct

from streams.dead_letters import origin_of
from streams.errors import MappingError, UnmappedError
from streams.events import UNREADABLE, Outcome, Slot
from streams.logs.base import Record
from streams.logs.cloudevents import trace_in
from streams.yaml_text import yaml_value

MAX_TOPIC_LENGTH: Final = 200
"""So that the place of a record fits into an outcome's id."""
READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    ".json": msgspec.json.decode,
    ".toml": msgspec.toml.decode,
    ".yaml": yaml_value,
    ".yml": yaml_value,
}


class Kind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an outcome's kind is: one `constant`, or what is at `path`, by way of a `table`.

    A value that the table does not have is refused, or, with `others: skip`, makes no outcome.
    """

    constant: str | None = None
    path: str | None = None
    table: dict[str, str] | None = None
    others: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        if (self.constant is None) == (self.path is None):
            raise ValueError("a kind has either a constant or a path")
        if self.table is None and self.others == "skip":
            raise ValueError("a kind that skips all but those in its table has a table")


class Timestamp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it says when it happened: milliseconds or seconds since 1970, or ISO 8601.

    ISO 8601 without an offset is UTC.
    """

    path: str
    unit: Literal["ms", "s", "iso"] = "ms"


class TopicMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the records of one topic become outcomes.

    A path is JMESPath (`payload.items[0].id`, with `||` for what to take instead), or
    `header:NAME`, or `record:key`. Nothing but these fields gets into the outcome: what else a
    record holds stays in its own topic.

    Attributes:
        topic: whose records they are.
        event_id: the path of the decision's event id.
        kind: the path of the kind, or a `Kind`.
        value: a number, or the path of one; a decimal in a string will do.
        timestamp: when it happened; None for the record's own time.
        outcome_id: the path of what duplicates are told by; None for the record's place in
            the log, so that it counts once however often it is read.
        slot: a number, or the path of one.
    """

    topic: str
    event_id: str
    kind: str | Kind
    value: float | str = 1.0
    timestamp: Timestamp | None = None
    outcome_id: str | None = None
    slot: Slot | str = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.topic) <= MAX_TOPIC_LENGTH:
            raise ValueError(f"topic has {len(self.topic)} characters; 1 to {MAX_TOPIC_LENGTH}")


def read_mapping(path: Path) -> TopicMapping:
    """Returns the mapping that a YAML, JSON or TOML file holds.

    Raises:
        MappingError: no such file, or no mapping in it; the message says what is wrong.
    """
    read = READERS.get(path.suffix)
    if read is None:
        raise MappingError(f"mapping {path}: expected a .yaml, .json or .toml file")
    try:
        return msgspec.convert(read(path.read_bytes()), TopicMapping)
    except OSError as error:
        raise MappingError(f"mapping {path}: {error.strerror}") from error
    except (*UNREADABLE, yaml.YAMLError) as error:
        raise MappingError(f"mapping {path}: {error}") from error


T = TypeVar("T")

HEADER: Final = "header:"
KEY: Final = "record:key"
SHOWN: Final = 80
DATE_LENGTH: Final = 10
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)

_decode = msgspec.json.Decoder().decode


class Mapper:
    """Makes outcomes of a topic's records.

    Raises:
        MappingError: a path of the mapping cannot be read.
    """

    def __init__(self, mapping: TopicMapping) -> None:
        self.topic = mapping.topic
        self._kind = _kind(mapping.kind)
        self._event_id = _at("event_id", mapping.event_id, _text)
        self._timestamp_ms = _timestamp(mapping.timestamp)
        self._outcome_id = (
            (lambda given: origin_of(given.record))
            if mapping.outcome_id is None
            else _at("outcome_id", mapping.outcome_id, _text)
        )
        self._value = _given_or_at("value", mapping.value, _number)
        self._slot = _given_or_at("slot", mapping.slot, lambda found: _whole(_number(found), 2**16))

    def outcome(self, record: Record) -> Outcome | None:
        """Returns the record's outcome, None where the mapping skips its kind.

        Raises:
            UnmappedError: it has none; the code says why, and the message where.
        """
        given = _Given(record)
        kind = self._kind(given)
        if kind is None:
            return None
        try:
            return Outcome(
                event_id=self._event_id(given),
                outcome_id=self._outcome_id(given),
                kind=kind,
                timestamp_ms=self._timestamp_ms(given),
                value=self._value(given),
                slot=self._slot(given),
                traceparent=trace_in(record.headers),
            )
        except ValueError as error:
            raise UnmappedError("mapping_field_invalid", str(error)) from error


class _Given:
    """A record, whose JSON is read when it is first asked for: some have none."""

    def __init__(self, record: Record) -> None:
        self.record = record

    @cached_property
    def document(self) -> object:
        try:
            return _decode(self.record.value)
        except UNREADABLE as error:
            raise UnmappedError("mapping_not_json", f"value: {error}") from error


_Find: TypeAlias = Callable[[_Given], object]


def _finder(field: str, path: str) -> _Find:
    """Returns what finds the value at the path, None where there is nothing."""
    if path == KEY:
        return lambda given: given.record.key.decode() or None
    if path.startswith(HEADER):
        name = path.removeprefix(HEADER)

        def header(given: _Given) -> str | None:
            # Of several by one name the last counts, as with Kafka's own clients.
            value = dict(given.record.headers).get(name)
            return None if value is None else value.decode()

        return header
    try:
        search: Callable[[object], Any] = jmespath.compile(path).search
        # A function that does not exist shows only when it is called.
        with suppress(JMESPathTypeError):
            search(None)
    except JMESPathError as error:
        raise MappingError(
            f"{field}: {path!r} is neither JMESPath nor {HEADER}NAME nor {KEY}: {error}"
        ) from error
    return lambda given: search(given.document)


def _at(field: str, path: str, read: Callable[[object], T]) -> Callable[[_Given], T]:
    """Returns what reads the field from the path, or says what is wrong there."""
    find = _finder(field, path)

    def field_of(given: _Given) -> T:
        try:
            found = find(given)
            if found is not None:
                return read(found)
        except UnmappedError:
            raise
        except Exception as error:  # an expression may trip over a record anyhow
            raise UnmappedError(
                "mapping_field_invalid", f"{field}, from {path!r}: {error}"
            ) from error
        raise UnmappedError("mapping_field_missing", f"{field}: nothing, or null, at {path!r}")

    return field_of


def _given_or_at(field: str, given: T | str, read: Callable[[object], T]) -> Callable[[_Given], T]:
    if isinstance(given, str):
        return _at(field, given, read)
    return lambda _: given


def _kind(kind: str | Kind) -> Callable[[_Given], str | None]:
    if isinstance(kind, str):
        return _at("kind", kind, _text)
    if kind.path is None:
        return lambda _: kind.constant
    named = _at("kind", kind.path, _word)
    if kind.table is None:
        return named
    table, skip = kind.table, kind.others == "skip"

    def kind_of(given: _Given) -> str | None:
        found = named(given)
        if found in table or skip:
            return table.get(found)
        raise UnmappedError(
            "mapping_kind_unknown",
            f"kind: {_shown(found)} at {kind.path!r} is not in the table; add it, or skip others",
        )

    return kind_of


def _timestamp(timestamp: Timestamp | None) -> Callable[[_Given], int]:
    if timestamp is None:
        return lambda given: given.record.timestamp_ms
    readers = {"ms": _from_ms, "s": _from_seconds, "iso": _from_iso}
    return _at("timestamp", timestamp.path, readers[timestamp.unit])


def _text(found: object) -> str:
    """Returns an id or a kind as text; a whole number will do."""
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    raise ValueError(f"{_shown(found)} is neither a string nor a whole number")


def _word(found: object) -> str:
    """Returns what a table is asked for: also true and false, as JSON writes them."""
    return str(found).lower() if isinstance(found, bool) else _text(found)


def _number(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        raise ValueError(f"{_shown(found)} is no number")
    try:
        number = float(found)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{_shown(found)} is no finite number")
    return number


def _whole(number: float, limit: int) -> int:
    if not 0 <= number < limit or number != int(number):
        raise ValueError(f"{number:g} is no whole number from 0 to {limit - 1}")
    return int(number)


def _from_ms(found: object) -> int:
    return _whole(float(round(_number(found))), 2**53)


def _from_seconds(found: object) -> int:
    return _whole(float(round(_number(found) * 1000)), 2**53)


def _from_iso(found: object) -> int:
    if not isinstance(found, str) or len(found) <= DATE_LENGTH:
        raise ValueError(f"{_shown(found)} is no ISO 8601 time, such as 2026-11-23T10:00:00Z")
    moment = datetime.fromisoformat(found)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _whole((moment - EPOCH) // MILLISECOND, 2**53)


def _shown(found: object) -> str:
    shown = repr(found)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
