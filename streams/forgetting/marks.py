"""Marks of values that are being forgotten: one that is left says that this was not finished.

A mark has the field and a salted hash of what is forgotten, never the value itself.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from streams.files.writing import write_whole

FOLDER: Final = "forgetting"
_DIGEST_BYTES: Final = 16


class Mark(Struct, frozen=True):
    """One value that is being forgotten.

    Attributes:
        field: of contexts.
        placement: only of this one; of every placement if None.
        begun_ms: when it was asked for.
        salt: makes the digest one that no other mark has.
        digest: of what is forgotten.
    """

    field: str
    placement: str | None
    begun_ms: int
    salt: bytes
    digest: bytes


def begin(data: Path, field: str, placement: str | None, values: Sequence[object], ms: int) -> Path:
    """Returns the file of the mark of these values, made durable unless it is there."""
    told = repr((field, placement, sorted(map(repr, values)))).encode()
    for path, mark in _marks(data):
        if mark.digest == _digest(told, mark.salt):
            return path
    salt = secrets.token_bytes(_DIGEST_BYTES)
    path = data / FOLDER / f"{salt.hex()}.json"
    mark = Mark(field, placement, ms, salt, _digest(told, salt))
    write_whole(path, msgspec.json.encode(mark))
    return path


def unfinished(data: Path) -> list[Mark]:
    """Returns the marks that are left of what was not finished, oldest first."""
    return sorted((mark for _, mark in _marks(data)), key=lambda mark: mark.begun_ms)


def _marks(data: Path) -> Iterator[tuple[Path, Mark]]:
    for path in sorted((data / FOLDER).glob("*.json")):
        try:
            mark = msgspec.json.decode(path.read_bytes(), type=Mark)
        except msgspec.DecodeError:
            mark = Mark(f"a field that {path} does not tell any more", None, 0, b"", b"")
        yield path, mark


def _digest(told: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(told, key=salt, digest_size=_DIGEST_BYTES).digest()
