"""Files outside the log: each is written whole or not at all, and read by its owner alone.

Every file that copyloop writes by itself goes through here, so a crash, a full disk or a kill at
any step leaves the old file or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO, Final

UNFINISHED: Final = ".unfinished"
"""How the name of a file ends that is being written. It begins with a dot, since Spark, pandas
and pyarrow read every file of a folder but hidden ones."""
OWNER_ALONE: Final = 0o600
BY_UMASK: Final = 0o666
"""The mode of a file that a user asked for by its name: who may read it is theirs to say."""


def make_folder(path: Path) -> None:
    """Makes a folder for its owner alone, unless it is there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_whole(path: Path, data: bytes, *, mode: int = OWNER_ALONE, shared: bool = False) -> None:
    """Replaces a file's content at once: a reader, or a crash, sees all of it or nothing."""
    with writing_whole(path, mode=mode, shared=shared) as file:
        file.write(data)


@contextmanager
def writing_whole(
    path: Path,
    *,
    mode: int = OWNER_ALONE,
    shared: bool = False,
    named: Callable[[], str] | None = None,
) -> Iterator[IO[bytes]]:
    """Yields a new file, which replaces the one at `path` durably once the block ends.

    Where the block raises, the old file stays, and nothing is left of the new one. A file that is
    replaced keeps its mode.

    Args:
        path: the file; its folder is made if it is not there.
        mode: of a new file, less what the umask takes.
        shared: whether others may write the same path at the same time; the last one holds.
        named: returns the file's name in the end, in place of that of `path`, for a name that is
            known only then.
    """
    make_folder(path.parent)
    own = f".{token_hex(4)}" if shared else ""
    unfinished = path.with_name(f".{path.name}{own}{UNFINISHED}")
    # Writers of copyloop's first versions, which may have been killed, named them without the dot.
    for left in (unfinished, path.with_name(f"{path.name}{UNFINISHED}")):
        left.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "w+b") as file:
            if path.exists():
                os.fchmod(handle, path.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(handle)
        publish(unfinished, path if named is None else path.with_name(named()))
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def publish(unfinished: Path, path: Path) -> None:
    """Gives a file that is whole and synced its name, durably."""
    unfinished.replace(path)
    sync_folder(path.parent)


def put_aside(path: Path, suffix: str) -> Path:
    """Adds the suffix to the file's name, in the place of any that was put aside before."""
    return path.rename(path.with_name(path.name + suffix))


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Removes what writers that were killed have left in a folder and below it.

    Call it while nobody writes there.
    """
    for path in folder.rglob(f"*{UNFINISHED}"):
        if path.is_file():
            path.unlink()
