"""Fields of other people's records: where each is found, and what it is read as."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from streams.errors import MappingError, StreamsError, UnmappedError
from streams.logs.base import Record

HEADER: Final = "header:"
KEY: Final = "record:key"
BATCH: Final = "batch:"
"""Before the path of a field of the whole record, where a mapping is for each of a batch."""
SHOWN: Final = 80

T = TypeVar("T")
Decode: TypeAlias = Callable[[Record], object]


class Given:
    """A record, whose value is read when it is first asked for: some have none."""

    def __init__(self, record: Record, decode: Decode) -> None:
        self.record = record
        self._decode = decode

    @cached_property
    def document(self) -> object:
        """What the record's value holds."""
        return self._decode(self.record)

    @cached_property
    def part(self) -> object:
        """What paths start from: all of the document, or one of a batch."""
        return self.document

    def each(self, part: object) -> Given:
        """Returns the record as one of its batch."""
        one = Given(self.record, self._decode)
        one.document, one.part = self.document, part
        return one


Find: TypeAlias = Callable[[Given], object]


def finder(field: str, path: str) -> Find:
    """Returns what finds the value at the path, None where there is nothing.

    Raises:
        MappingError: the path cannot be read.
    """
    if path == KEY:
        return lambda given: given.record.key.decode() or None
    if path.startswith(HEADER):
        name = path.removeprefix(HEADER)

        def header(given: Given) -> str | None:
            # Of several by one name the last counts, as with Kafka's own clients.
            value = dict(given.record.headers).get(name)
            return None if value is None else value.decode()

        return header
    try:
        search: Callable[[object], Any] = jmespath.compile(path.removeprefix(BATCH)).search
        # A function that does not exist shows only when it is called.
        with suppress(JMESPathTypeError):
            search(None)
    except JMESPathError as error:
        raise MappingError(
            f"{field}: {path!r} is neither JMESPath nor {HEADER}NAME nor {KEY}: {error}"
        ) from error
    if path.startswith(BATCH):
        return lambda given: search(given.document)
    return lambda given: search(given.part)


def is_in_value(path: str) -> bool:
    """Returns whether the path leads into the record's value."""
    return path != KEY and not path.startswith(HEADER)


def at(field: str, path: str, read: Callable[[object], T]) -> Callable[[Given], T]:
    """Returns what reads the field from the path, or says what is wrong there."""
    find = found_at(field, path)

    def field_of(given: Given) -> T:
        found = find(given)
        if found is None:
            raise UnmappedError("mapping_field_missing", f"{field}: nothing, or null, at {path!r}")
        try:
            return read(found)
        except Exception as error:  # whatever was found, it is none of these
            raise _invalid(field, path, error) from error

    return field_of


def found_at(field: str, path: str) -> Find:
    """Returns what finds the value at the path, or refuses a record that an expression trips on."""
    find = finder(field, path)

    def found(given: Given) -> object:
        try:
            return find(given)
        except StreamsError:  # also that a registry is away, which is no fault of the record
            raise
        except Exception as error:  # an expression may trip over a record anyhow
            raise _invalid(field, path, error) from error

    return found


def given_or_at(field: str, given: T | str, read: Callable[[object], T]) -> Callable[[Given], T]:
    """Returns what reads the field from a path, or returns what was given in its place."""
    if isinstance(given, str):
        return at(field, given, read)
    return lambda _: given


def _invalid(field: str, path: str, error: Exception) -> UnmappedError:
    return UnmappedError("mapping_field_invalid", f"{field}, from {path!r}: {error}")


def text(found: object) -> str:
    """Returns an id or a kind as text; a whole number will do."""
    if isinstance(found, str):
        return found
    if isinstance(found, UUID) or (isinstance(found, int) and not isinstance(found, bool)):
        return str(found)
    raise ValueError(f"{shown(found)} is neither a string nor a whole number")


def word(found: object) -> str:
    """Returns what a table is asked for: also true and false, as JSON writes them."""
    return str(found).lower() if isinstance(found, bool) else text(found)


def number(found: object) -> float:
    """Returns a finite number; a decimal in a string will do."""
    if isinstance(found, bool) or not isinstance(found, int | float | str | Decimal):
        raise ValueError(f"{shown(found)} is no number")
    try:
        read = float(found)
    except (ValueError, OverflowError):
        read = math.nan
    if not math.isfinite(read):
        raise ValueError(f"{shown(found)} is no finite number")
    return read


def whole(found: float, limit: int) -> int:
    """Returns a whole number from 0 to below the limit."""
    if not 0 <= found < limit or found != int(found):
        raise ValueError(f"{found:g} is no whole number from 0 to {limit - 1}")
    return int(found)


def shown(found: object) -> str:
    """Returns what was found, as a message shows it."""
    as_text = repr(found)
    return as_text if len(as_text) <= SHOWN else f"{as_text[:SHOWN]}…"
