"""Outcomes on their way: gathered, sent in batches by a thread, kept on disk meanwhile."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx
import msgspec
from msgspec import Raw, Struct

from bandit.client import wire
from bandit.client.errors import ApiError, ClientError, OutboxFull
from bandit.client.offline import Offline
from bandit.client.wire import Call, Refused, Server, Taken
from streams.errors import SpoolError
from streams.events import OUTCOMES
from streams.logs.base import Message

if TYPE_CHECKING:
    from streams.spool import Spool, SpoolBatch

logger = logging.getLogger(__name__)

AT_ONCE: Final = 1000
"""How many outcomes the API takes in one request."""
LOST_FOR_GOOD: Final = frozenset({400, 413, 415, 422})
"""Refusals of a whole batch that no later attempt would change."""


class Batching(Struct, frozen=True, kw_only=True):
    """How outcomes are gathered.

    Attributes:
        flush_seconds: for how long the first of a batch waits for others, at most. What waits
            is lost if the process dies.
        max_waiting: how many may wait in memory; beyond it a call raises `OutboxFull`.
        retry_seconds: how long to wait after a batch could not be delivered.
        on_refused: called with each outcome that the API will never take; they are logged as well.
    """

    flush_seconds: float = 0.2
    max_waiting: int = 10_000
    retry_seconds: float = 1.0
    on_refused: Callable[[Refused], None] | None = None


class OutcomeBatch(NamedTuple):
    """Outcomes to be sent in one request, and where on disk they lie, None if in memory."""

    items: list[Raw]
    spooled: SpoolBatch | None


class Outbox:
    """Outcomes that wait; a thread of its own sends them. Safe to share among threads.

    Args:
        server: where they go.
        batching: how they are gathered.
        offline: where they wait on disk while the server is away; None if they do not.

    Raises:
        SpoolDamaged: what an earlier process left on disk cannot be read.
        ClientError: to wait on disk needs Python 3.11.
    """

    def __init__(self, server: Server, batching: Batching, offline: Offline | None) -> None:
        self._batching = batching
        self._offline = offline
        self._server = server
        self._inherited: list[object] = []
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._arrived = threading.Condition(threading.RLock())
        self._items: list[Raw] = []
        self._sending = 0
        self._held = ExitStack()
        self._spool: Spool | None = None
        if self._offline is not None:
            self._spool = self._held.enter_context(_claimed_spool(self._offline))
        self._http = self._server.connect(httpx.Client)
        self._failed = False
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="outcomes", daemon=True)
        self._thread.start()

    def follow_fork(self) -> None:
        """Starts anew in a process that was forked: the parent delivers what it had gathered."""
        if os.getpid() != self._process:
            # A connection to SQLite must not be used, nor closed, in another process.
            self._inherited.append((self._held, self._spool, self._http))
            self._start()

    @property
    def waiting(self) -> int:
        """How many outcomes are not delivered yet, on disk and in memory."""
        with self._arrived:
            return len(self._items) + self._sending + (self._spool.messages if self._spool else 0)

    @property
    def worth_waiting(self) -> bool:
        """True if outcomes wait that are not safe on disk, with the server away."""
        return self.waiting > 0 and not (self._failed and self._spool is not None)

    def add(self, item: object) -> None:
        """Takes one outcome in.

        Raises:
            OutboxFull: too many wait.
        """
        data = Raw(wire.encode(item))
        with self._arrived:
            if len(self._items) >= self._batching.max_waiting:
                raise OutboxFull(
                    f"{len(self._items)} outcomes wait to be delivered, which is the most that "
                    "may; call flush(), or allow more with Batching(max_waiting=...)"
                )
            self._items.append(data)
            self._arrived.notify_all()

    def hurry(self) -> None:
        """Has what is gathered sent now."""
        self._hurry.set()

    def close(self) -> int:
        """Ends; what is not sent yet goes to disk. Returns how many outcomes are lost instead."""
        self._closing.set()
        self._hurry.set()
        with self._arrived:
            self._arrived.notify_all()
        self._thread.join()
        self._http.close()
        self._put_on_disk()
        self._held.close()
        if self._items:
            logger.error("%d outcomes were never delivered, and are lost", len(self._items))
        return len(self._items)

    def _deliver(self) -> None:
        while not self._closing.is_set():
            with self._arrived:
                self._arrived.wait_for(lambda: self._closing.is_set() or self.waiting)
            self._hurry.wait(self._batching.flush_seconds)
            self._hurry.clear()
            while not self._closing.is_set() and (batch := self._next()) is not None:
                try:
                    taken = self._send(batch)
                    self._failed = False
                    self._forget(batch)
                    for refused in taken.refused:
                        self._refuse(batch.items[refused.index], refused.code, refused.message)
                except ClientError as error:
                    self._keep(batch, error)
                    self._closing.wait(self._batching.retry_seconds)
                except SpoolError as error:
                    logger.error("delivered outcomes are sent once more: %s", error)
                    self._closing.wait(self._batching.retry_seconds)

    def _next(self) -> OutcomeBatch | None:
        """Returns what to send next, what is on disk first; None if nothing waits."""
        with self._arrived:
            if self._spool is not None and self._spool.messages:
                batch = self._spool.peek(AT_ONCE)
                return OutcomeBatch([Raw(message.value) for message in batch.messages], batch)
            taken, self._items = self._items[:AT_ONCE], self._items[AT_ONCE:]
            self._sending = len(taken)
            return OutcomeBatch(taken, None) if taken else None

    def _send(self, batch: OutcomeBatch) -> Taken:
        call = Call("POST", "/v1/outcomes", wire.encode(batch.items))
        try:
            answer = self._http.request(**self._server.request(call))
        except httpx.RequestError as error:
            raise wire.unreachable(call, error) from error
        return wire.answer_of(Taken, wire.payload_of(answer))

    def _keep(self, batch: OutcomeBatch, error: ClientError) -> None:
        """Keeps what could not be delivered: on disk if there is one, else in memory."""
        self._failed = True
        if isinstance(error, ApiError) and error.status in LOST_FOR_GOOD:
            self._forget(batch)
            for item in batch.items:
                self._refuse(item, error.code, str(error))
            return
        logger.warning("%d outcomes could not be delivered, and wait: %s", self.waiting, error)
        if batch.spooled is None:
            with self._arrived:
                self._items[:0] = batch.items
                self._sending = 0
            self._put_on_disk()

    def _put_on_disk(self) -> None:
        """Moves what is in memory to the disk, if there is one, and it takes it."""
        if self._spool is None:
            return
        with self._arrived:
            now_ms = time.time_ns() // 1_000_000
            while part := self._items[:AT_ONCE]:
                try:
                    self._spool.append(
                        [
                            Message(
                                OUTCOMES,
                                msgspec.json.decode(item, type=_Keyed).event_id.encode(),
                                bytes(item),
                            )
                            for item in part
                        ],
                        now_ms,
                    )
                except SpoolError as error:
                    logger.error("%d outcomes stay in memory: %s", len(self._items), error)
                    return
                del self._items[:AT_ONCE]

    def _forget(self, batch: OutcomeBatch) -> None:
        with self._arrived:
            self._sending = 0
            if batch.spooled is not None and self._spool is not None:
                self._spool.forwarded(batch.spooled)

    def _refuse(self, item: Raw, code: str, message: str) -> None:
        said = msgspec.json.decode(item)
        refused = Refused(
            placement=said["placement"],
            event_id=said["event_id"],
            kind=said["kind"],
            code=code,
            message=message,
        )
        logger.warning("an outcome is refused: %s", refused)
        if self._batching.on_refused is not None:
            self._batching.on_refused(refused)


class _Keyed(Struct):
    event_id: str


def _claimed_spool(offline: Offline) -> AbstractContextManager[Spool]:
    if not hasattr(sqlite3, "SQLITE_BUSY"):
        # The spool acts on SQLite's error codes, which Python 3.10 does not tell.
        raise ClientError("outcomes wait on disk (`offline`) from Python 3.11 on; leave it out")
    from streams.spool import claimed_spool

    return claimed_spool(offline.spool, offline.max_bytes)
