"""A log's appends in a thread of their own, so that the event loop never waits for a disk.

One append runs at a time and the others queue behind it, which is what keeps them in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from streams.catalogue import PARTITION
from streams.log import Log, Message, TopicOffset


class LogThread:
    """Appends to a log; used from one event loop.

    Args:
        log: where to append.
        on_append: told, in that thread, how many messages each append wrote.
    """

    def __init__(self, log: Log, *, on_append: Callable[[int], None]) -> None:
        self._log = log
        self._on_append = on_append
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="append")

    def append(self, messages: Sequence[Message]) -> asyncio.Future[list[TopicOffset]]:
        """Returns what will hold where the messages went, or what the log raised."""
        return asyncio.get_running_loop().run_in_executor(self._executor, self._append, messages)

    def ask(self) -> asyncio.Future[int]:
        """Returns what will be done once the log has answered a question, or hold its error."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, self._log.end_offset, PARTITION)

    def close(self, *, wait: bool) -> None:
        """Takes no more; waits for the append that is under way, if that is wanted."""
        self._executor.shutdown(wait=wait, cancel_futures=True)

    def _append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        written = self._log.append(messages)
        self._on_append(len(messages))
        return written
