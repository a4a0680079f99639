"""A queue of messages on disk: what was answered for while the log is away, until it is there.

It keeps order, outlives the process, and is bounded. What is in it is forwarded at least once:
a crash in between has the last batch forwarded again, which readers of the log know how to take.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from streams.checkpoint import exclusive, sync_directory
from streams.errors import LockError, SpoolDamaged, SpoolError, SpoolFull
from streams.log import Message
from streams.spool_file import (
    Frame,
    damaged,
    opened,
    pack_frame,
    read_frame,
    read_mark,
    recovered,
    segment_bases,
    segment_path,
    write_mark,
)

logger = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 16 << 20
ADOPTED_AT_ONCE: Final = 1000


class Batch(NamedTuple):
    """Messages that stand together in a spool, and where they end there."""

    messages: Sequence[Message]
    end: int


class Spool:
    """A durable first-in-first-out queue in a directory, for one process at a time.

    Everything that was ever spooled is numbered by its bytes: segments are named by where they
    begin, and one that is forwarded as a whole is removed, which is how space comes back. For
    one thread at a time; the attributes may be read from any.

    Args:
        directory: made if it is not there; `claimed_spool` sees that it is nobody else's.
        max_bytes: the most bytes that its segments may take up.

    Attributes:
        directory: where it is.
        max_bytes: its bound.
        messages: how many wait to be forwarded.
        oldest_ms: when the oldest of them arrived, None if there is none.

    Raises:
        SpoolDamaged: what lies there cannot be read.
    """

    def __init__(self, directory: str | Path, max_bytes: int) -> None:
        self.directory = Path(directory)
        self.messages = 0
        self.oldest_ms: int | None = None
        self.max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // 8)
        self._segment: int | None = None
        self._torn = False
        self.directory.mkdir(parents=True, exist_ok=True)
        self._mark = os.open(self.directory / "forwarded", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            self._bases = segment_bases(self.directory)
            self._position = self._end = self._forwarded_up_to()
            self._recover()
        except BaseException:
            self.close()
            raise

    @property
    def size_bytes(self) -> int:
        """How many bytes wait to be forwarded."""
        return self._end - self._position

    def oldest_seconds(self, now_ms: int) -> float:
        """Returns how long the oldest message has waited, 0 if there is none."""
        oldest_ms = self.oldest_ms
        return 0.0 if oldest_ms is None else max(now_ms - oldest_ms, 0) / 1e3

    def append(self, messages: Sequence[Message], now_ms: int) -> Batch:
        """Writes the messages, all or none; durable when it returns.

        Raises:
            SpoolFull: they would take up more than may be, or than the disk has.
            SpoolError: the disk failed.
        """
        frame = pack_frame(messages, self._end, now_ms)
        taken = self._end - self._bases[0] if self._bases else 0
        if taken + len(frame) > self.max_bytes:
            raise SpoolFull(
                f"the spool {self.directory} takes up {taken} bytes, {len(frame)} more are to be "
                f"kept, and at most {self.max_bytes} may; it empties once the log is back"
            )
        self._add(frame, len(messages), now_ms)
        return Batch(messages, self._end)

    def peek(self, limit: int) -> Batch:
        """Returns the oldest messages: whole groups, of at most `limit` unless the first has more.

        Raises:
            SpoolDamaged: they cannot be read any more.
        """
        messages: list[Message] = []
        end = self._position
        for frame in self._frames():
            if messages and len(messages) + frame.size > limit:
                break
            messages += frame.messages()
            end = frame.end
        return Batch(messages, end)

    def forwarded(self, batch: Batch) -> None:
        """Keeps in mind, durably, that the oldest messages need not be forwarded any more."""
        write_mark(self._mark, batch.end)
        self._position = batch.end
        self.messages -= len(batch.messages)
        self._drop_forwarded()
        oldest = next(self._frames(), None)
        self.oldest_ms = None if oldest is None else oldest.arrived_ms

    def adopt(self, other: Spool) -> None:
        """Moves all of another spool's messages to the end of this one, whatever the bound."""
        while (oldest_ms := other.oldest_ms) is not None:
            batch = other.peek(ADOPTED_AT_ONCE)
            frame = pack_frame(batch.messages, self._end, oldest_ms)
            self._add(frame, len(batch.messages), oldest_ms)
            other.forwarded(batch)

    def close(self) -> None:
        """Closes the files; what they hold stays."""
        os.close(self._mark)
        self._close_segment()

    def _forwarded_up_to(self) -> int:
        mark = read_mark(self._mark)
        if mark is not None:
            return mark
        logger.warning("%s: how far it was forwarded is lost; all is sent again", self.directory)
        return self._bases[0] if self._bases else 0

    def _recover(self) -> None:
        """Finds out what waits, and cuts off what a crash left unfinished."""
        for base in list(self._bases):
            size = segment_path(self.directory, base).stat().st_size
            if base + size <= self._position:
                self._remove(base)
        self._end = min([self._position, *self._bases[:1]])
        for base in list(self._bases):
            if base != self._end:
                raise self._missing(self._end)
            path = segment_path(self.directory, base)
            for frame in recovered(path, base, last=base == self._bases[-1]):
                self._count(frame)
        if self._end < self._position:
            raise self._missing(self._end)
        if self._bases and self._bases[-1] == self._end:
            self._remove(self._end)

    def _count(self, frame: Frame) -> None:
        self._end = frame.end
        if frame.start >= self._position:
            self.messages += frame.size
            if self.oldest_ms is None:
                self.oldest_ms = frame.arrived_ms
        elif frame.end > self._position:
            raise self._missing(self._position)

    def _missing(self, place: int) -> SpoolDamaged:
        return SpoolDamaged(
            f"the spool {self.directory} was forwarded up to byte {self._position}, and has no "
            f"message that begins at byte {place}; move it away to go on without what it holds"
        )

    def _frames(self) -> Iterator[Frame]:
        """Yields what waits, oldest first."""
        for base, end in itertools.pairwise([*self._bases, self._end]):
            path, start = segment_path(self.directory, base), max(base, self._position)
            with opened(path, os.O_RDONLY) as file:
                while start < end:
                    frame = read_frame(file, base, start)
                    if frame is None:
                        raise damaged(path, start - base)
                    yield frame
                    start = frame.end

    def _add(self, frame: bytes, count: int, arrived_ms: int) -> None:
        try:
            self._write(frame)
        except OSError as error:
            # What is there of it is no message, and goes before the next is written.
            self._torn = True
            failed = f"the spool {self.directory} cannot be written: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"{failed}; make room on that disk") from error
            raise SpoolError(failed) from error
        self._end += len(frame)
        self.messages += count
        if self.oldest_ms is None:
            self.oldest_ms = arrived_ms

    def _write(self, frame: bytes) -> None:
        file = self._segment_for(len(frame))
        place, rest = self._end - self._bases[-1], memoryview(frame)
        while rest:
            written = os.pwrite(file, rest, place)
            place, rest = place + written, rest[written:]
        os.fsync(file)

    def _segment_for(self, size: int) -> int:
        """Returns the file of the segment that takes that many bytes next."""
        if self._segment is not None:
            taken = self._end - self._bases[-1]
            if self._torn:
                os.ftruncate(self._segment, taken)
                os.fsync(self._segment)
            if not taken or taken + size <= self._segment_bytes:
                self._torn = False
                return self._segment
        self._close_segment()
        path = segment_path(self.directory, self._end)
        path.write_bytes(b"")
        sync_directory(self.directory)
        self._segment = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._bases.append(self._end)
        self._torn = False
        return self._segment

    def _close_segment(self) -> None:
        if self._segment is not None:
            os.close(self._segment)
            self._segment = None

    def _drop_forwarded(self) -> None:
        for base, end in list(itertools.pairwise([*self._bases, self._end])):
            if end > self._position:
                return
            if base == self._bases[-1]:
                self._close_segment()
            self._remove(base)

    def _remove(self, base: int) -> None:
        segment_path(self.directory, base).unlink()
        self._bases.remove(base)


@contextmanager
def claimed_spool(directory: str | Path, max_bytes: int) -> Iterator[Spool]:
    """Holds the first spool of a folder that no other process holds: 0, or 1, or 2.

    What processes that are gone have left in the others is moved to its end first, so that
    whoever starts next forwards what everybody before it was answered for. What a process leaves
    while others run waits until one starts.

    Raises:
        SpoolDamaged: one of them cannot be read.
    """
    with ExitStack() as held:
        number = _claim(Path(directory), held)
        own = held.enter_context(closing(Spool(Path(directory, str(number)), max_bytes)))
        for other in _numbers(Path(directory)):
            # A spool that is held has a process of its own that forwards it.
            with suppress(LockError), exclusive(directory, str(other)):
                _take_over(Path(directory, str(other)), own)
        yield own


def _claim(directory: Path, held: ExitStack) -> int:
    number = 0
    while True:
        with suppress(LockError):
            held.enter_context(exclusive(directory, str(number)))
            return number
        number += 1


def _numbers(directory: Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal())


def _take_over(directory: Path, own: Spool) -> None:
    with closing(Spool(directory, own.max_bytes)) as left:
        if left.messages:
            logger.info("%d messages in %s were left behind", left.messages, directory)
        own.adopt(left)
