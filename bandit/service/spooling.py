"""Writes past a log that is away: groups go to a spool on disk, and from there to the log.

A request is answered once its group is on either. While anything is in the spool all goes
through it, so that the log gets everything in the order of arrival.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from queue import SimpleQueue
from typing import Final, NamedTuple, TypeAlias, TypeVar

from streams.catalogue.state import PARTITION
from streams.errors import LogUnavailable, MessagesRefused, SpoolError, SpoolFull
from streams.logs.base import Log, Message, TopicOffset
from streams.spool import Spool, SpoolBatch

Around: TypeAlias = Callable[[Sequence[Message]], AbstractContextManager[object]]

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

FORWARDED_AT_ONCE: Final = 1000
RETRY_SECONDS: Final = 0.2
FAILURE_SECONDS: Final = 5.0
"""How long to wait after any other failure than a log that is away; a person has to repair it."""


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
        try:
            with self._around(messages):
                written = self._log.append(messages)
        except MessagesRefused as error:
            self._on_append(len(error.written))
            raise
        self._on_append(len(messages))
        return written

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._closed:
                _tell(task.done, task.done.cancel)
                continue
            try:
                tell = partial(task.done.set_result, task.run())
            except Exception as error:  # noqa: BLE001  # it is for who waits to say
                tell = partial(task.done.set_exception, error)
            _tell(task.done, tell)


def _tell(done: asyncio.Future[object], tell: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        done.get_loop().call_soon_threadsafe(lambda: done.done() or tell())


class Spooling:
    """The way of groups to a log by a spool; used from one event loop.

    An append that fails, or takes longer than the patience, has its group spooled and begins the
    time of spooling, which ends when all of the spool is in the log. An append that was given up
    on may still succeed: it is waited for before anything else is forwarded, and what it wrote
    is not written again.

    Args:
        thread: appends to the log.
        spool: what is in it is forwarded first.
        patience_seconds: how long an append may take.
        clock_ms: the time that what is spooled carries.
        on_spooled, on_forwarded: told how many messages went in, and how many from there on.
    """

    def __init__(
        self,
        thread: LogThread,
        spool: Spool,
        *,
        patience_seconds: float,
        clock_ms: Callable[[], int],
        on_spooled: Callable[[int], None],
        on_forwarded: Callable[[int], None],
    ) -> None:
        self.spool = spool
        self._thread = thread
        self._patience_seconds = patience_seconds
        self._clock_ms = clock_ms
        self._on_spooled = on_spooled
        self._on_forwarded = on_forwarded
        self.full = False
        """True once the spool had no room, until something is forwarded."""
        self._adding = False
        self._failed = False
        self._forwarder: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="spool")

    @property
    def active(self) -> bool:
        """Whether groups go to the spool now."""
        return self._forwarder is not None

    def start(self) -> None:
        """Begins to forward what the spool holds from before; called within the event loop."""
        if self.spool.messages:
            logger.warning("%d messages from before are forwarded first", self.spool.messages)
            self._forwarder = asyncio.create_task(self._forward(None, None))

    async def write(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Returns where in the log the messages went; nothing where they went to the spool.

        Durable either way. One call at a time.

        Raises:
            MessagesRefused: the log refuses some for what they are; it has the others.
            SpoolFull: neither took them; the log may have, or a part, where it is just slow.
            SpoolError: the spool's disk failed, likewise.
        """
        if self.active:
            await self._add(messages)
            return []
        appending = self._thread.append(messages)
        await asyncio.wait((appending,), timeout=self._patience_seconds)
        if appending.done() and not isinstance(appending.exception(), LogUnavailable):
            return appending.result()
        why = appending.exception() if appending.done() else "an append takes too long"
        logger.warning("the log is away (%s); writing to %s", why, self.spool.directory)
        spooled = None
        try:
            spooled = await self._add(messages)
        finally:
            self._forwarder = asyncio.create_task(self._forward(appending, spooled))
        return []

    async def close(self) -> None:
        """Forwards for as long as an append may take, and leaves the rest for the next start."""
        if self._forwarder is not None:
            forwarder = self._forwarder
            await asyncio.wait((forwarder,), timeout=self._patience_seconds)
            forwarder.cancel()
            await asyncio.gather(forwarder, return_exceptions=True)
        self._executor.shutdown()
        if self.spool.messages:
            logger.warning(
                "%d messages stay in %s; the next start forwards them",
                self.spool.messages,
                self.spool.directory,
            )

    async def _add(self, messages: Sequence[Message]) -> SpoolBatch:
        self._adding = True
        try:
            batch = await self._in_thread(partial(self.spool.append, messages, self._clock_ms()))
        except SpoolFull as error:
            logger.error("%s", error)
            self.full = True
            raise
        finally:
            self._adding = False
        self._on_spooled(len(messages))
        return batch

    async def _forward(
        self, appending: asyncio.Future[list[TopicOffset]] | None, spooled: SpoolBatch | None
    ) -> None:
        if appending is not None:
            (written,) = await asyncio.gather(appending, return_exceptions=True)
            if spooled is not None and not isinstance(written, BaseException):
                try:
                    await self._forwarded(spooled)
                except (OSError, SpoolError):
                    logger.exception("what the log took in the end is forwarded once more")
        # Nothing is awaited between this look at the spool and the return to direct appends.
        while self.spool.messages or self._adding:
            await self._forward_oldest()
        self.full = False
        self._forwarder = None
        logger.info("the log has all that was spooled; writing to it directly")

    async def _forward_oldest(self) -> None:
        """Appends the oldest messages; one that fails is tried again, however often."""
        try:
            if self._failed:
                # A Kafka producer that gets no answer keeps a processor busy; a reader does not.
                await self._thread.ask()
            # Behind what is just being added, for the spool's thread does one thing at a time.
            batch = await self._in_thread(partial(self.spool.peek, FORWARDED_AT_ONCE))
            if batch.messages:
                await self._forward_batch(batch)
            self._failed = False
        except LogUnavailable as error:
            self._failed = True
            logger.warning("%d messages wait in the spool: %s", self.spool.messages, error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # whatever it is, what was answered for must get there in the end
            logger.exception("%d messages wait in the spool", self.spool.messages)
            await asyncio.sleep(FAILURE_SECONDS)

    async def _forward_batch(self, batch: SpoolBatch) -> None:
        """Appends the batch; what the log refuses is set aside, so that it holds nothing up."""
        try:
            await self._thread.append(batch.messages)
        except MessagesRefused as error:
            refused = [(batch.messages[n], str(why)) for n, why in error.refused.items()]
            place = self.spool.directory
            logger.error("%d messages are set aside in %s: %s", len(refused), place, error)
            await self._in_thread(partial(self.spool.set_aside, refused))
        await self._forwarded(batch)

    async def _forwarded(self, batch: SpoolBatch) -> None:
        await self._in_thread(partial(self.spool.forwarded, batch))
        self.full = False
        self._on_forwarded(len(batch.messages))

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)
