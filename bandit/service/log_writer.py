"""Appends in groups: while one append is being made durable, the next group gathers.

A log's append costs about the same for one message as for a hundred, so a request never
appends by itself. One group is written at a time, which also keeps messages in order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bandit.errors import RequestError
from bandit.service.errors import not_appended, unavailable
from bandit.service.spooling import LogThread, Spooling
from streams.errors import (
    LogError,
    LogUnavailable,
    MessageDenied,
    MessageInvalid,
    MessagesRefused,
    MessageTooLarge,
    SpoolError,
    SpoolFull,
)
from streams.logs.base import Message, TopicOffset

logger = logging.getLogger(__name__)

MAX_GROUP: Final = 1000
REFUSALS: Final = (MessageTooLarge, MessageDenied, MessageInvalid)
"""What one message of an append is refused for."""
RETRY_SECONDS: Final = 0.2
GATHER_SECONDS: Final = 0.001
"""Groups begin at least this far apart: fewer and larger ones, where a disk syncs sooner."""


class _Waiting(NamedTuple):
    messages: Sequence[Message]
    done: asyncio.Future[list[TopicOffset]] | None


class Appender:
    """Groups the messages of many requests into few appends; used from one event loop.

    Args:
        thread: appends to the log.
        limit: the most messages that may wait; beyond it, requests are refused.
        spooling: the way past a log that is away; None if there is none.
        buffered: `write` does not wait until messages are durable.
    """

    def __init__(
        self,
        thread: LogThread,
        *,
        limit: int,
        spooling: Spooling | None = None,
        buffered: bool = False,
    ) -> None:
        self.spooling = spooling
        self._thread = thread
        self._limit = limit
        self._buffered = buffered
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self.failure: Exception | None = None
        """What the latest append that failed raised."""

    def start(self) -> None:
        """Begins to append; called within the event loop."""
        if self.spooling is not None:
            self.spooling.start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def write(self, messages: Sequence[Message]) -> None:
        """Appends messages, by `put` or `append`, as durably as the settings want it."""
        if self._buffered:
            self.put(messages)
        else:
            await self.append(messages)

    async def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Returns where the messages went, once they are durable; nothing while they are spooled.

        Raises:
            RequestError: `overloaded` if too many wait, `log_unavailable` if the log cannot be
                reached, `spool_full` or `spool_failed` if the spool cannot take them either:
                nobody was promised anything, and the same call may work later;
                `message_too_large`, `append_denied` or `message_invalid` if the log refuses
                one of them for what it is.
        """
        done: asyncio.Future[list[TopicOffset]] = asyncio.get_running_loop().create_future()
        self._enqueue(_Waiting(messages, done))
        try:
            return await done
        except (LogUnavailable, SpoolError, *REFUSALS) as error:
            raise not_appended(error) from error

    async def append_through(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Returns where the messages went, once they are durable in the log itself.

        For what has to be read back: it is never spooled.

        Raises:
            RequestError: `log_unavailable`, at once while others are spooled.
        """
        self._check_open()
        if self.spooling is not None and self.spooling.active:
            message = "the log is away or not caught up with; this cannot wait on disk for it"
            raise unavailable(LogUnavailable(message))
        try:
            return await self._thread.append(messages)
        except LogUnavailable as error:
            self._note(error)
            logger.warning("%d messages could not be written: %s", len(messages), error)
            raise unavailable(error) from error
        except MessagesRefused as error:
            raise not_appended(error.refused[min(error.refused)]) from error

    def put(self, messages: Sequence[Message]) -> None:
        """Has the messages appended later: again and again, should the log be unavailable.

        Raises:
            RequestError: `overloaded`: too many wait, or `spool_full`; these were not taken.
        """
        self._enqueue(_Waiting(messages, None))

    def failed_within(self, seconds: float) -> bool:
        """Returns whether the latest append failed, and no longer ago than this."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < seconds

    async def close(self) -> None:
        """Writes what still waits, and ends; what nothing takes now is lost, and said."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        if self.spooling is not None:
            await self.spooling.close()
        # With a spool nothing hangs on an append that is still under way.
        self._thread.close(wait=self.spooling is None)
        left, self._waiting = self._waiting, []
        if left:
            logger.error("%d messages are lost: the log did not take them in time", self._count)
            self._fail(left, LogUnavailable("the server stopped before the log could be reached"))

    def _check_open(self) -> None:
        if self._closing:
            raise RequestError(503, "overloaded", "the server is stopping; ask another one")

    def _enqueue(self, waiting: _Waiting) -> None:
        self._check_open()
        if self.spooling is not None and self.spooling.full:
            raise unavailable(SpoolFull("the log is away, and the spool is full"))
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
        loop, started_at = asyncio.get_running_loop(), 0.0
        while True:
            if not self._waiting and not self._closing:
                await self._arrived.wait()
            wait_seconds = started_at + GATHER_SECONDS - loop.time()
            if wait_seconds > 0.0:
                await asyncio.sleep(wait_seconds)
            self._arrived.clear()
            group = self._next_group()
            if not group:
                return
            started_at = loop.time()
            refused = await self._write(group)
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

    async def _write(self, group: list[_Waiting]) -> bool:
        """Has the group written and tells who waits; returns whether some are to be tried again."""
        messages = [message for waiting in group for message in waiting.messages]
        try:
            if self.spooling is None:
                written = await self._thread.append(messages)
            else:
                written = await self.spooling.write(messages)
        except (LogUnavailable, SpoolError) as error:
            self._note(error)
            logger.warning("%d messages could not be written: %s", len(messages), error)
            self._fail([waiting for waiting in group if waiting.done is not None], error)
            buffered = [waiting for waiting in group if waiting.done is None]
            self._waiting[:0] = buffered
            return bool(buffered)
        except MessagesRefused as error:
            logger.error(
                "%d of %d messages are refused: %s", len(error.refused), len(messages), error
            )
            self._tell(group, error.written, error.refused)
            return False
        except Exception as error:
            logger.exception("%d messages could not be written", len(messages))
            self._note(error)
            self._fail(group, error)
            return False
        self._tell(group, dict(enumerate(written)), {})
        return False

    def _tell(
        self,
        group: list[_Waiting],
        written: Mapping[int, TopicOffset],
        refused: Mapping[int, LogError],
    ) -> None:
        """Tells who waits where their messages went; those of whom one was refused, why."""
        self._failed_at = None
        start = 0
        for waiting in group:
            own = range(start, start + len(waiting.messages))
            start = own.stop
            why = next((refused[position] for position in own if position in refused), None)
            if waiting.done is None or waiting.done.done():
                continue
            if why is not None:
                waiting.done.set_exception(why)
            else:
                # What was spooled has no place yet.
                waiting.done.set_result([written[position] for position in own if written])
        self._count -= start

    def _note(self, error: Exception) -> None:
        self._failed_at = time.monotonic()
        self.failure = error

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        for waiting in group:
            self._count -= len(waiting.messages)
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_exception(error)
