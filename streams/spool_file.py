"""The files behind a spool: checksummed frames in segments, and the mark of what is forwarded.

A frame is a group of messages that was written and synced at once, so only the last one can be
torn by a crash. What is unsound and not last was damaged, and is told apart from that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from streams.errors import SpoolDamaged
from streams.log import Message

logger = logging.getLogger(__name__)

SUFFIX: Final = ".segment"
# Not UTF-8, so that no text which a message carries can look like the start of a frame.
MAGIC: Final = b"\xffclp"
# magic, place in the spool, bytes and number of the messages, time in ms, their checksum
_HEAD: Final = Struct(">4sQIIQI")
_CHECKSUM: Final = Struct(">I")
_MARK: Final = Struct(">Q")
HEADER_BYTES: Final = _HEAD.size + _CHECKSUM.size

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


class Frame(NamedTuple):
    """A group of `size` messages, from byte `start` to `end` of all that was ever spooled."""

    start: int
    end: int
    size: int
    arrived_ms: int
    payload: bytes

    def messages(self) -> list[Message]:
        """Returns the messages, in order."""
        return _decode(self.payload)


def pack_frame(messages: Sequence[Message], start: int, now_ms: int) -> bytes:
    """Returns the bytes of a frame that begins at `start`."""
    # All but the hint of a shared part, which is for the SQLite log alone.
    payload = _encode([message[:-1] for message in messages])
    head = _HEAD.pack(MAGIC, start, len(payload), len(messages), now_ms, crc32(payload))
    return head + _CHECKSUM.pack(crc32(head)) + payload


def segment_path(directory: Path, base: int) -> Path:
    """Returns the path of the segment whose first frame begins at `base`."""
    return directory / f"{base:020d}{SUFFIX}"


def segment_bases(directory: Path) -> list[int]:
    """Returns where the segments in a directory begin, in order."""
    return sorted(int(path.stem) for path in directory.glob(f"*{SUFFIX}"))


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Holds the file open for the block."""
    file = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def read_frame(file: int, base: int, start: int) -> Frame | None:
    """Returns the frame at `start` in the segment that begins at `base`, None if it is unsound."""
    header = os.pread(file, HEADER_BYTES, start - base)
    head, checksum = header[: _HEAD.size], header[_HEAD.size :]
    if len(header) < HEADER_BYTES or checksum != _CHECKSUM.pack(crc32(head)):
        return None
    magic, place, length, size, arrived_ms, payload_checksum = _HEAD.unpack(head)
    if magic != MAGIC or place != start:
        return None
    payload = os.pread(file, length, start - base + HEADER_BYTES)
    if len(payload) < length or crc32(payload) != payload_checksum:
        return None
    return Frame(start, start + HEADER_BYTES + length, size, arrived_ms, payload)


def recovered(path: Path, base: int, *, last: bool) -> Iterator[Frame]:
    """Yields the frames of a segment; a torn one at the end of the last segment is cut off.

    Raises:
        SpoolDamaged: a frame is unsound, and it is not the end of all.
    """
    with opened(path, os.O_RDWR) as file:
        size = os.fstat(file).st_size
        start = base
        while start < base + size:
            frame = read_frame(file, base, start)
            if frame is None:
                if not last or _goes_on_after(file, base, start):
                    raise damaged(path, start - base)
                # Whoever wrote this died before it was synced, and so before it answered.
                logger.warning(
                    "%s: %d bytes of an unfinished write are cut off", path, base + size - start
                )
                os.ftruncate(file, start - base)
                os.fsync(file)
                return
            yield frame
            start = frame.end


def damaged(path: Path, place: int) -> SpoolDamaged:
    """Returns the error for a segment that cannot be read at that byte."""
    return SpoolDamaged(
        f"{path} is damaged at byte {place}: expected a group of messages whose checksum is "
        f"right; move {path.parent} away to go on without what it holds"
    )


def read_mark(file: int) -> int | None:
    """Returns up to where the spool was forwarded: 0 if never, None if the mark is torn."""
    data = os.pread(file, _MARK.size + _CHECKSUM.size, 0)
    mark = data[: _MARK.size]
    if not data:
        return 0
    if data[_MARK.size :] != _CHECKSUM.pack(crc32(mark)):
        return None
    return int.from_bytes(mark)


def write_mark(file: int, position: int) -> None:
    """Keeps up to where the spool was forwarded."""
    mark = _MARK.pack(position)
    os.pwrite(file, mark + _CHECKSUM.pack(crc32(mark)), 0)
    os.fsync(file)


def _goes_on_after(file: int, base: int, start: int) -> bool:
    """Returns whether a sound frame begins after `start`: one was written later, then."""
    rest = os.pread(file, os.fstat(file).st_size, start - base)
    found = rest.find(MAGIC, 1)
    while found > 0:
        if read_frame(file, base, start + found) is not None:
            return True
        found = rest.find(MAGIC, found + 1)
    return False
