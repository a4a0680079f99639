"""Parts that many values of a SQLite log have alike, which its file keeps once."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from streams.logs.base import Message

SMALLEST_PART: Final = 256
"""A shorter part is not worth a look-up."""
REMEMBERED_BYTES: Final = 16 << 20
_DIGEST_BYTES: Final = 16

Query = Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]


class PartWriter:
    """Cuts shared parts out of values on their way into the file; one writer at a time."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._size = 0

    def cut(
        self, message: Message, database: sqlite3.Connection
    ) -> tuple[bytes, int | None, int | None]:
        """Returns what is left of the value, the id of what was cut out, and where that was."""
        value, shared = message.value, message.shared
        if shared is None:
            return value, None, None
        part, start = shared
        # A hint that is wrong must not spoil a value, and costs no more than the room.
        if len(part) < SMALLEST_PART or not value.startswith(part, start):
            return value, None, None
        number = self._ids.get(part) or self._add(part, database)
        return value[:start] + value[start + len(part) :], number, start

    def _add(self, part: bytes, database: sqlite3.Connection) -> int:
        digest = hashlib.blake2b(part, digest_size=_DIGEST_BYTES).digest()
        database.execute(
            "INSERT OR IGNORE INTO shared (digest, part) VALUES (?, ?)", (digest, part)
        )
        ((number,),) = database.execute("SELECT id FROM shared WHERE digest = ?", (digest,))
        self._size += len(part)
        if self._size > REMEMBERED_BYTES:
            self._ids.clear()
            self._size = len(part)
        self._ids[part] = number
        return int(number)


class PartReader:
    """Puts shared parts back into the values that they were cut out of."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._parts: dict[int, bytes] = {}
        self._size = 0

    def whole(self, value: bytes, number: int | None, start: int | None) -> bytes:
        """Returns the value as it was appended."""
        if number is None:
            return value
        part = self._parts.get(number) or self._read(number)
        return b"".join((value[:start], part, value[start:]))

    def _read(self, number: int) -> bytes:
        ((part,),) = self._query("SELECT part FROM shared WHERE id = ?", (number,))
        self._size += len(part)
        if self._size > REMEMBERED_BYTES:
            self._parts.clear()
            self._size = len(part)
        self._parts[number] = part
        return bytes(part)
