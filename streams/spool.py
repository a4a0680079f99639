"""A queue of messages on disk: what was answered for while the log is away, until it is there.

It is a SQLite log of one topic, drained from its start: so it keeps order, is bounded, and
outlives kill -9 and a power cut. Its messages are forwarded at least once. It takes over what a
spool of an earlier version holds, so that an upgrade during an outage loses nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from streams.checkpoint import exclusive
from streams.errors import (
    LockError,
    LogError,
    LogUnavailable,
    SpoolDamaged,
    SpoolError,
    SpoolFull,
)
from streams.fold import batches, scan
from streams.logs.base import Message, Record, TopicPartition
from streams.logs.sqlite import SqliteLog

logger = logging.getLogger(__name__)

FILE: Final = "spool.db"
QUEUE: Final = TopicPartition("spool", 0)
ASIDE: Final = TopicPartition("aside", 0)
"""Messages that the log refused, each with why in its header `error`."""
READ_AT_ONCE: Final = 1000
CHECKSUM_BYTES: Final = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class SpoolBatch(NamedTuple):
    """Messages that stand together in a spool, their bytes there, and the offset after them."""

    messages: Sequence[Message]
    size_bytes: int
    end: int


class Spool:
    """A durable first-in-first-out queue in a directory, for one process at a time.

    For one thread at a time; the attributes may be read from any. Opening it takes over the
    messages that an earlier version left in the directory, and has those tried again that the log
    refused before.

    Args:
        directory: made if it is not there; `claimed_spool` keeps other processes out.
        max_bytes: the most bytes that may wait. SQLite's pages and its write-ahead log come on
            top, and go when the spool is empty.

    Attributes:
        directory: where it is.
        max_bytes: its bound.
        messages: how many wait to be forwarded.
        size_bytes: how many bytes they have.
        aside: how many the log refused; they stay for a person to look at, or the next start.
        oldest_ms: when the oldest of them arrived, None if there is none.

    Raises:
        SpoolDamaged: what lies there cannot be read.
        SpoolError: the disk failed.
    """

    def __init__(self, directory: str | Path, max_bytes: int) -> None:
        self.directory = Path(directory)
        self.max_bytes = max_bytes
        self.messages = 0
        self.size_bytes = 0
        self.aside = 0
        self.oldest_ms: int | None = None
        with self._translated():
            self._log = _opened(self.directory)
            try:
                self._start = self._log.start_offset(QUEUE)
                self._count()
                # A crash meanwhile has a part of what an earlier version left forwarded twice.
                for group in old_groups(self.directory):
                    self._append([_pack(message) for message in group.messages], group.arrived_ms)
                remove_old(self.directory)
                self._try_aside_again()
            except BaseException:
                self._log.close()
                raise

    def oldest_seconds(self, now_ms: int) -> float:
        """Returns how long the oldest message has waited, 0 if there is none."""
        oldest_ms = self.oldest_ms
        return 0.0 if oldest_ms is None else max(now_ms - oldest_ms, 0) / 1e3

    def append(self, messages: Sequence[Message], now_ms: int) -> SpoolBatch:
        """Writes the messages, all or none; durable when it returns.

        Raises:
            SpoolFull: more bytes would wait than may, or than the disk has.
            SpoolError: the disk failed.
        """
        values = [_pack(message) for message in messages]
        added = sum(map(len, values))
        if self.size_bytes + added > self.max_bytes:
            raise SpoolFull(
                f"the spool {self.directory} holds {self.size_bytes} bytes, {added} more are to be "
                f"kept, and at most {self.max_bytes} may; it empties once the log is back"
            )
        return SpoolBatch(messages, added, self._append(values, now_ms))

    def peek(self, limit: int) -> SpoolBatch:
        """Returns the oldest messages, at most `limit`.

        Raises:
            SpoolDamaged: they cannot be read any more.
        """
        with self._translated():
            records = self._log.read(QUEUE, self._start, limit=limit)
        messages = [_unpack(record, self.directory) for record in records]
        size_bytes = sum(len(record.value) for record in records)
        return SpoolBatch(messages, size_bytes, self._start + len(records))

    def forwarded(self, batch: SpoolBatch) -> None:
        """Forgets the batch, which are the oldest messages, durably.

        Raises:
            SpoolError: the disk failed; they will be forwarded again.
        """
        with self._translated():
            self._log.delete_before(QUEUE, batch.end)
            self._start = batch.end
            self.messages -= len(batch.messages)
            self.size_bytes -= batch.size_bytes
            oldest = self._log.read(QUEUE, self._start, limit=1)
            self.oldest_ms = oldest[0].timestamp_ms if oldest else None
            if not oldest:
                # It costs room, no message, where somebody who looks at the file prevents it.
                with suppress(LogUnavailable):
                    self._log.compact()

    def set_aside(self, refused: Sequence[tuple[Message, str]]) -> None:
        """Keeps messages that the log refused, and why; `forwarded` forgets them in the queue.

        Raises:
            SpoolError: the disk failed.
        """
        kept = [
            Message(ASIDE.topic, b"", _pack(message), (("error", why.encode()),))
            for message, why in refused
        ]
        with self._translated():
            self._log.append(kept)
        self.aside += len(kept)

    def adopt(self, other: Spool) -> None:
        """Moves all of another spool's messages to the end of this one, whatever the bound."""
        while (oldest_ms := other.oldest_ms) is not None:
            batch = other.peek(READ_AT_ONCE)
            self._append([_pack(message) for message in batch.messages], oldest_ms)
            other.forwarded(batch)

    def close(self) -> None:
        """Closes the file; what it holds stays."""
        self._log.close()

    def _append(self, values: Sequence[bytes], arrived_ms: int) -> int:
        with self._translated():
            written = self._log.append(
                [Message(QUEUE.topic, b"", value, timestamp_ms=arrived_ms) for value in values]
            )
        self.messages += len(values)
        self.size_bytes += sum(map(len, values))
        if self.oldest_ms is None:
            self.oldest_ms = written[0].timestamp_ms
        return written[-1].offset + 1

    def _count(self) -> None:
        """Finds out what waits, and that all of it can be read."""
        for record in scan(self._log, QUEUE, limit=READ_AT_ONCE):
            _unpack(record, self.directory)
            self.messages += 1
            self.size_bytes += len(record.value)
            if self.oldest_ms is None:
                self.oldest_ms = record.timestamp_ms

    def _try_aside_again(self) -> None:
        """Moves what was refused to the end of the queue: sizes and access rules change."""
        for records in batches(self._log, ASIDE, limit=READ_AT_ONCE):
            self._append([record.value for record in records], records[0].timestamp_ms)
            self._log.delete_before(ASIDE, records[-1].offset + 1)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raises errors of the SQLite log in the block as those of the spool."""
        try:
            yield
        except LogError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
            told = f"the spool {self.directory} failed: {error}"
            if code == sqlite3.SQLITE_FULL:
                raise SpoolFull(f"{told}; make room on that disk") from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                message = f"{told}; move it away to go on without what it holds"
                raise SpoolDamaged(message) from error
            raise SpoolError(told) from error


@contextmanager
def claimed_spool(directory: str | Path, max_bytes: int) -> Iterator[Spool]:
    """Holds the first spool of a folder that no other process holds: 0, or 1, or 2.

    The messages that ended processes left in the others are moved to its end first, so that the
    next start forwards all that was answered for. Messages that a process leaves while
    others run wait until one starts.

    Raises:
        SpoolDamaged: one of them cannot be read.
    """
    with ExitStack() as held:
        for number in count():
            with suppress(LockError):
                held.enter_context(exclusive(directory, str(number)))
                break
        own = held.enter_context(closing(Spool(Path(directory, str(number)), max_bytes)))
        for other in _numbers(Path(directory)):
            # A spool that is held has a process of its own that forwards it.
            with (
                suppress(LockError),
                exclusive(directory, str(other)),
                closing(Spool(Path(directory, str(other)), max_bytes)) as left,
            ):
                if left.messages:
                    logger.info("%d messages in %s were left behind", left.messages, left.directory)
                own.adopt(left)
        yield own


def spooled(directory: Path) -> Iterator[tuple[Path, Message]]:
    """Yields the messages that wait in the spools of a folder, each with its spool's folder.

    Processes may hold these spools meanwhile.

    Raises:
        SpoolDamaged: one of them cannot be read.
        LogError: likewise.
    """
    for number in _numbers(directory) if directory.is_dir() else ():
        place = directory / str(number)
        for group in old_groups(place):
            yield from ((place, message) for message in group.messages)
        if (place / FILE).exists():
            with closing(_opened(place)) as log:
                yield from (
                    (place, _unpack(record, place))
                    for queue in (QUEUE, ASIDE)
                    for record in scan(log, queue, limit=READ_AT_ONCE)
                )


def set_aside(directory: Path) -> Iterator[tuple[Path, Message, str]]:
    """Yields the messages in a folder's spools that the log refused, each with why.

    Raises:
        SpoolDamaged: one of them cannot be read.
        LogError: likewise.
    """
    for number in _numbers(directory) if directory.is_dir() else ():
        place = directory / str(number)
        if (place / FILE).exists():
            with closing(_opened(place)) as log:
                for record in scan(log, ASIDE, limit=READ_AT_ONCE):
                    error = dict(record.headers)["error"].decode()
                    yield place, _unpack(record, place), error


def _opened(directory: Path) -> SqliteLog:
    log = SqliteLog(directory / FILE)
    for place in (QUEUE, ASIDE):
        log.create_topic(place.topic)
    return log


def _numbers(directory: Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal())


def _pack(message: Message) -> bytes:
    # All but the hint of a shared part: where it begins is another place here.
    payload = _encode(message[:-1])
    return crc32(payload).to_bytes(CHECKSUM_BYTES) + payload


def _unpack(record: Record, directory: Path) -> Message:
    head, payload = record.value[:CHECKSUM_BYTES], record.value[CHECKSUM_BYTES:]
    if head != crc32(payload).to_bytes(CHECKSUM_BYTES):
        raise SpoolDamaged(
            f"{directory / FILE} is damaged at offset {record.offset}: expected a message whose "
            f"checksum is right; move {directory} away to go on without what it holds"
        )
    return _decode(payload)


MAGIC: Final = b"\xffclp"
# magic, place in the spool, bytes and number of the messages, time in ms, their checksum
_HEAD: Final = Struct(">4sQIIQI")
_CHECKSUM: Final = Struct(">I")
_MARK: Final = Struct(">Q")

_decode_all = msgspec.msgpack.Decoder(list[Message]).decode


class Group(NamedTuple):
    """Messages that an earlier version wrote at once, when, and where in the spool they end."""

    messages: list[Message]
    arrived_ms: int
    end: int


def old_groups(directory: Path) -> Iterator[Group]:
    """Yields the messages that an earlier version left, in its groups, oldest first.

    The last group may be torn by a crash before anybody relied on it; it is left out.

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
    """Removes the files of the old layout."""
    # The mark goes first, so that what is left stays sound.
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
    return Group(_decode_all(payload), arrived_ms, base + rest + length)


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
