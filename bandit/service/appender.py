"""Appends in groups: while one append is being made durable, the next group gathers.

A log's append costs about the same for one message as for a hundred, so a request never
appends by itself. One append is in flight at a time, which also keeps messages in order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from bandit.errors import RequestError
from streams.errors import LogUnavailable
from streams.log import Log, Message, TopicOffset

logger = logging.getLogger(__name__)

MAX_GROUP: Final = 1000
RETRY_SECONDS: Final = 0.2


class _Waiting(NamedTuple):
    messages: Sequence[Message]
    done: asyncio.Future[list[TopicOffset]] | None


class Appender:
    """Groups the messages of many requests into few appends; used from one event loop.

    Args:
        log: where to append.
        limit: the most messages that may wait; beyond it, requests are refused.
        on_group: told the size of each group that was appended.
    """

    def __init__(self, log: Log, *, limit: int, on_group: Callable[[int], None]) -> None:
        self._log = log
        self._limit = limit
        self._on_group = on_group
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")

    def start(self) -> None:
        """Begins to append; called within the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Returns where the messages went, once they are durable.

        Raises:
            RequestError: `overloaded` if too many wait, `log_unavailable` if the log cannot be
                reached: nothing was written, and the same call may work later.
        """
        done: asyncio.Future[list[TopicOffset]] = asyncio.get_running_loop().create_future()
        self._enqueue(_Waiting(messages, done))
        try:
            return await done
        except LogUnavailable as error:
            raise RequestError(503, error.code, f"{error}; try again shortly") from error

    def put(self, messages: Sequence[Message]) -> None:
        """Has the messages appended later: again and again, should the log be unavailable.

        Raises:
            RequestError: `overloaded`: too many wait; these were not taken.
        """
        self._enqueue(_Waiting(messages, None))

    def failed_within(self, seconds: float) -> bool:
        """Returns whether the latest append failed, and no longer ago than this."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < seconds

    async def close(self) -> None:
        """Appends what still waits, and ends; what the log does not take now is lost, and said."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()
        left, self._waiting = self._waiting, []
        if left:
            logger.error("%d messages are lost: the log did not take them in time", self._count)
            self._fail(left, LogUnavailable("the server stopped before the log could be reached"))

    def _enqueue(self, waiting: _Waiting) -> None:
        if self._closing:
            raise RequestError(503, "overloaded", "the server is stopping; ask another one")
        if self._count + len(waiting.messages) > self._limit:
            raise RequestError(
                503,
                "overloaded",
                f"{self._count} messages wait for the log, and at most {self._limit} may; "
                "try again shortly",
            )
        self._waiting.append(waiting)
        self._count += len(waiting.messages)
        self._arrived.set()

    async def _run(self) -> None:
        while True:
            if not self._waiting and not self._closing:
                await self._arrived.wait()
            self._arrived.clear()
            group = self._next_group()
            if not group:
                return
            refused = await self._append(group)
            if refused and self._closing:
                return
            if refused:
                await asyncio.sleep(RETRY_SECONDS)

    def _next_group(self) -> list[_Waiting]:
        """Takes the longest run of waiting requests that makes no group above the maximum."""
        size = 0
        for position, waiting in enumerate(self._waiting):
            size += len(waiting.messages)
            if size > MAX_GROUP and position:
                group, self._waiting = self._waiting[:position], self._waiting[position:]
                return group
        group, self._waiting = self._waiting, []
        return group

    async def _append(self, group: list[_Waiting]) -> bool:
        """Appends the group and tells who waits; returns whether some are to be tried again."""
        messages = [message for waiting in group for message in waiting.messages]
        try:
            written = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._log.append, messages
            )
        except LogUnavailable as error:
            self._failed_at = time.monotonic()
            logger.warning("%d messages could not be appended: %s", len(messages), error)
            return self._refuse(group, error)
        except Exception as error:
            logger.exception("%d messages could not be appended", len(messages))
            self._failed_at = time.monotonic()
            self._fail(group, error)
            return False
        self._failed_at = None
        self._on_group(len(messages))
        self._settle(group, written)
        return False

    def _settle(self, group: list[_Waiting], written: list[TopicOffset]) -> None:
        start = 0
        for waiting in group:
            end = start + len(waiting.messages)
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_result(written[start:end])
            start = end
        self._count -= start

    def _refuse(self, group: list[_Waiting], error: LogUnavailable) -> bool:
        """Fails those who wait, and puts the others back in front."""
        self._fail([waiting for waiting in group if waiting.done is not None], error)
        buffered = [waiting for waiting in group if waiting.done is None]
        self._waiting[:0] = buffered
        return bool(buffered)

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        for waiting in group:
            self._count -= len(waiting.messages)
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_exception(error)
