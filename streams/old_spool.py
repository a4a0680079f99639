"""Reads the spool of earlier versions: checksummed groups of messages in segments.

A new spool takes them over, so that an upgrade during an outage loses nothing. The last group may
be torn, by a crash before it was answered for; any other that is unsound was damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from streams.errors import SpoolDamaged
from streams.logs.base import Message

logger = logging.getLogger(__name__)

MAGIC: Final = b"\xffclp"
# magic, place in the spool, bytes and number of the messages, time in ms, their checksum
_HEAD: Final = Struct(">4sQIIQI")
_CHECKSUM: Final = Struct(">I")
_MARK: Final = Struct(">Q")

_decode = msgspec.msgpack.Decoder(list[Message]).decode


class Group(NamedTuple):
    """Messages that were written at once, when, and the place in the spool where they end."""

    messages: list[Message]
    arrived_ms: int
    end: int


def old_groups(directory: Path) -> Iterator[Group]:
    """Yields the groups of messages that were not forwarded, oldest first.

    Raises:
        SpoolDamaged: a segment is missing, or a group in the middle is unsound.
    """
    paths = _segments(directory)
    place = int(paths[0].stem) if paths else 0
    forwarded = _mark(directory)
    if paths and forwarded is not None and place > forwarded:
        raise _damaged(directory, forwarded)
    for path in paths:
        base, data = int(path.stem), path.read_bytes()
        if base != place:
            raise _damaged(directory, place)
        while place < base + len(data):
            group = _group(data, base, place)
            if group is None:
                if path != paths[-1] or _goes_on_after(data, base, place):
                    raise _damaged(directory, place)
                logger.warning("%s: an unfinished write at byte %d is left out", directory, place)
                break
            place = group.end
            if forwarded is None or group.end > forwarded:
                yield group
    if paths and forwarded is not None and place < forwarded:
        raise _damaged(directory, place)


def remove_old(directory: Path) -> None:
    """Removes the files of the old layout; the mark first, so that what is left stays sound."""
    (directory / "forwarded").unlink(missing_ok=True)
    for path in _segments(directory):
        path.unlink()


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.segment"))


def _mark(directory: Path) -> int | None:
    """Returns the place up to which all was forwarded, None if that is not known."""
    path = directory / "forwarded"
    data = path.read_bytes() if path.exists() else b""
    mark, checksum = data[: _MARK.size], data[_MARK.size :]
    return int.from_bytes(mark) if checksum == _CHECKSUM.pack(crc32(mark)) else None


def _group(data: bytes, base: int, place: int) -> Group | None:
    """Returns the group at that place of the spool, None if it is unsound."""
    start = place - base
    head = data[start : start + _HEAD.size]
    rest = start + _HEAD.size + _CHECKSUM.size
    if data[start + _HEAD.size : rest] != _CHECKSUM.pack(crc32(head)) or len(head) < _HEAD.size:
        return None
    magic, written_place, length, _, arrived_ms, checksum = _HEAD.unpack(head)
    payload = data[rest : rest + length]
    if magic != MAGIC or written_place != place or crc32(payload) != checksum:
        return None
    return Group(_decode(payload), arrived_ms, base + rest + length)


def _goes_on_after(data: bytes, base: int, place: int) -> bool:
    """Returns whether a sound group begins later: what is unsound was written before it, then."""
    start = data.find(MAGIC, place - base + 1)
    while start > 0:
        if _group(data, base, base + start) is not None:
            return True
        start = data.find(MAGIC, start + 1)
    return False


def _damaged(directory: Path, place: int) -> SpoolDamaged:
    return SpoolDamaged(
        f"the spool {directory} is damaged at byte {place} of its segments: expected a group of "
        "messages whose checksum is right; move it away to go on without what it holds"
    )
