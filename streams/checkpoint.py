"""Checkpoints: a fold's state and the offsets it has read, written together or not at all.

So a process that is killed goes on from where its state says, and neither skips a record nor
folds one twice.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from streams.errors import CheckpointError, LockError
from streams.files.writing import OWNER_ALONE, make_folder, write_whole
from streams.logs.base import TopicPartition
from streams.logs.sqlite_file import flocked

MAGIC: Final = b"copyloop checkpoint 1\n"
SUFFIX: Final = ".checkpoint"
MAX_NAME_LENGTH: Final = 150
RETRY_SECONDS: Final = 0.02
TAKEOVER_SECONDS: Final = 8.0
"""How long a partition's new holder waits for the one before, who may yet learn that it lost it."""


class Checkpoint(NamedTuple):
    """A fold's state, and for each partition the offset to read next."""

    state: bytes
    offsets: dict[TopicPartition, int]


class _Content(msgspec.Struct, array_like=True):
    name: str
    offsets: list[tuple[str, int, int]]
    state: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Content).decode


class Checkpoints:
    """The checkpoints in a directory, one file a name; it is made when the first is saved.

    One process at a time may save under a name (`exclusive` sees to that).
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)

    def save(self, name: str, state: bytes, offsets: Mapping[TopicPartition, int]) -> None:
        """Replaces the checkpoint of that name, durably: after a crash it is the old or the new."""
        rows = [(*partition, offset) for partition, offset in sorted(offsets.items())]
        content = _encode(_Content(name, rows, state))
        data = MAGIC + hashlib.sha256(content).digest() + content
        write_whole(self._path(name), data)

    def load(self, name: str) -> Checkpoint | None:
        """Returns the checkpoint of that name, None if none was saved.

        Raises:
            CheckpointError: the file is damaged, or is not a checkpoint of that name.
        """
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        content = data[len(MAGIC) + hashlib.sha256().digest_size :]
        if data != MAGIC + hashlib.sha256(content).digest() + content:
            raise CheckpointError(
                f"{path} is damaged or no checkpoint ({len(data)} bytes whose checksum is off); "
                "move it away to fold again from the start of the log"
            )
        found = _decode(content)
        if found.name != name:
            raise CheckpointError(f"{path} is the checkpoint of {found.name!r}, not of {name!r}")
        return Checkpoint(
            found.state, {TopicPartition(topic, p): offset for topic, p, offset in found.offsets}
        )

    def _path(self, name: str) -> Path:
        return self._directory / f"{file_name(name)}{SUFFIX}"


@contextmanager
def exclusive(directory: str | Path, name: str, *, patience_seconds: float = 0.0) -> Iterator[None]:
    """Holds the work of that name for the block; a process that is killed lets go of it.

    Raises:
        LockError: another process, or another block of this one, holds it and did not let go
            of it in `patience_seconds`.
    """
    path = Path(directory) / f"{file_name(name)}.lock"
    make_folder(path.parent)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ALONE)
    try:
        if not flocked(file, time.monotonic() + patience_seconds, RETRY_SECONDS):
            holder = os.read(file, 20).decode("ascii", "replace")
            raise LockError(
                f"{name!r} is already running on {path.parent} (process {holder or 'unknown'}); "
                "stop that one first"
            )
        # The lock is the flock; the process id is there to be read by whoever is refused.
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        os.close(file)


def file_name(name: str) -> str:
    """Returns a file name for any name: itself where it can be; a long one ends in a digest.

    >>> file_name("learner/home page")
    'learner%2Fhome%20page'
    """
    quoted = quote(name, safe="")
    if len(quoted) <= MAX_NAME_LENGTH:
        return quoted
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{quoted[:MAX_NAME_LENGTH]}~{digest}"
