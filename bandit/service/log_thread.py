"""A log's appends in a thread of their own, so that the event loop never waits for a disk.

One append runs at a time and the others queue behind it, which is what keeps them in order. A
group is handed over at once and its answer handed back at once, for waking a thread costs more
than writing a record.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias, TypeVar

from streams.catalogue import PARTITION
from streams.log import Log, Message, TopicOffset

Around: TypeAlias = Callable[[Sequence[Message]], AbstractContextManager[object]]

_T = TypeVar("_T")


class _Task(NamedTuple):
    run: Callable[[], object]
    done: asyncio.Future[object]


class LogThread:
    """Appends to a log; used from one event loop.

    Args:
        log: where to append.
        on_append: told, in that thread, how many messages each append wrote.
        around: entered, in that thread, for the time that an append takes.
    """

    def __init__(
        self, log: Log, *, on_append: Callable[[int], None], around: Around = nullcontext
    ) -> None:
        self._log = log
        self._on_append = on_append
        self._around = around
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._closed = False
        self._thread: threading.Thread | None = None

    def append(self, messages: Sequence[Message]) -> asyncio.Future[list[TopicOffset]]:
        """Returns what will hold where the messages went, or what the log raised."""
        return self._hand_over(lambda: self._append(messages))

    def ask(self) -> asyncio.Future[int]:
        """Returns what will be done once the log has answered a question, or hold its error."""
        return self._hand_over(lambda: self._log.end_offset(PARTITION))

    def close(self, *, wait: bool) -> None:
        """Takes no more; waits for the append that is under way, if that is wanted."""
        self._closed = True
        self._tasks.put(None)
        if wait and self._thread is not None:
            self._thread.join()

    def _hand_over(self, run: Callable[[], _T]) -> asyncio.Future[_T]:
        if self._closed:
            raise RuntimeError("the log's thread is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="append", daemon=True)
            self._thread.start()
        done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._tasks.put(_Task(run, done))  # type: ignore[arg-type]  # each holds its own kind
        return done

    def _append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        with self._around(messages):
            written = self._log.append(messages)
        self._on_append(len(messages))
        return written

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._closed:
                _tell(task.done, _cancel)
                continue
            try:
                found = task.run()
            except Exception as error:  # noqa: BLE001  # it is for who waits to say
                _tell(task.done, _fail, error)
            else:
                _tell(task.done, _finish, found)


def _tell(done: asyncio.Future[object], how: Callable[..., None], *what: object) -> None:
    try:
        done.get_loop().call_soon_threadsafe(how, done, *what)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return


def _finish(done: asyncio.Future[object], found: object) -> None:
    if not done.done():
        done.set_result(found)


def _fail(done: asyncio.Future[object], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _cancel(done: asyncio.Future[object]) -> None:
    done.cancel()
