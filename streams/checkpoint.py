"""Checkpoints: a fold's state and the offsets it has read, written together or not at all.

So a process that is killed goes on from where its state says, and neither skips a record nor
folds one twice. One that is damaged is put aside, since all of it can be made again from the log.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from streams.errors import CheckpointError, LockError
from streams.files import OWNER_ALONE, make_folder, put_aside, write_whole
from streams.logs.base import TopicPartition
from streams.logs.sqlite_file import flocked

MAGIC: Final = b"copyloop checkpoint 1\n"
MAX_NAME_LENGTH: Final = 150
RETRY_SECONDS: Final = 0.02
SUFFIX: Final = ".checkpoint"
DAMAGED: Final = ".damaged"
"""What is added to the name of a checkpoint that could not be read."""
TAKEOVER_SECONDS: Final = 8.0
"""How long a partition's new holder waits for the one before, who may yet learn that it lost it."""


logger = logging.getLogger(__name__)


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
        write_whole(self.path(name), data)

    def load(self, name: str) -> Checkpoint | None:
        """Returns the checkpoint of that name; None if none was saved, or it is damaged.

        One that is damaged is put aside, and said; the fold begins at the start of the log.
        """
        try:
            return read_checkpoint(self.path(name), name)
        except FileNotFoundError:
            return None
        except CheckpointError as error:
            self.put_aside(name, error)
            return None

    def put_aside(self, name: str, error: CheckpointError) -> None:
        """Gives the checkpoint of that name, which cannot be used, another name, and says so."""
        path = put_aside(self.path(name), DAMAGED)
        logger.error("%s; it is %s now, and the log is read again from its start", error, path)

    def path(self, name: str) -> Path:
        """Returns where the checkpoint of that name is, if it is there."""
        return self._directory / f"{file_name(name)}{SUFFIX}"


def read_checkpoint(path: Path, name: str | None = None) -> Checkpoint:
    """Returns the checkpoint in a file.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, or not the checkpoint of that name.
    """
    data = path.read_bytes()
    content = data[len(MAGIC) + hashlib.sha256().digest_size :]
    if data != MAGIC + hashlib.sha256(content).digest() + content:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({len(data)} bytes whose checksum is off)"
        )
    found = _decode(content)
    if name not in (None, found.name):
        raise CheckpointError(f"{path} is the checkpoint of {found.name!r}, not of {name!r}")
    return Checkpoint(
        found.state, {TopicPartition(topic, p): offset for topic, p, offset in found.offsets}
    )


@contextmanager
def exclusive(directory: str | Path, name: str, *, patience_seconds: float = 0.0) -> Iterator[None]:
    """Holds the work of that name for the block; a process that is killed lets go of it.

    Raises:
        LockError: another process, or another block of this one, holds it and did not let go
            of it in `patience_seconds`.
    """
    path = Path(directory) / f"{file_name(name)}.lock"
    with exclusive_file(path, name, patience_seconds=patience_seconds):
        yield


@contextmanager
def exclusive_file(path: Path, name: str, *, patience_seconds: float = 0.0) -> Iterator[None]:
    """Holds the work of that name for the block, as `exclusive` does, by its lock's path."""
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
