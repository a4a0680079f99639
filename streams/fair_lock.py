"""A fair lock among processes, for the one file that they share.

SQLite lets a waiting writer sleep longer and longer, up to 100 ms, while others slip in. Here
a waiter tries again every fraction of a millisecond, and a writer that has just written queues.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.errors import LogUnavailable

RETRY_SECONDS: Final = 0.0003


class FairLock:
    """A lock among the threads and processes that open the same two files beside `path`.

    The process that waits for the lock holds the queue, and so is next; those that wait for the
    queue come after. The locks are the kernel's, so a process that is killed lets go of them.
    """

    def __init__(self, path: Path, *, patience_seconds: float) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._thread = threading.Lock()
        self._queue = os.open(f"{path}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock for the block.

        Raises:
            LogUnavailable: others held it until our patience ended.
        """
        deadline = time.monotonic() + self._patience_seconds
        if not self._thread.acquire(timeout=self._patience_seconds):
            raise self._busy()
        try:
            self._wait_for(self._queue, deadline)
            try:
                self._wait_for(self._lock, deadline)
            finally:
                fcntl.flock(self._queue, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            self._thread.release()

    def close(self) -> None:
        """Closes the files; they stay, since another process may have them open."""
        os.close(self._queue)
        os.close(self._lock)

    def _wait_for(self, file: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._busy() from None
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _busy(self) -> LogUnavailable:
        return LogUnavailable(
            f"{self._path} was being written by others for {self._patience_seconds:g} s; "
            "try again, or see what holds it"
        )
