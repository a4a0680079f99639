"""Outcomes on their way: gathered, sent in batches, kept on disk while the server is away.

It does no sending itself. A thread or a task takes the next batch, sends it, and says how that
went; so both clients deliver by the same rules.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from bandit.client.answers import Refused
from bandit.client.errors import ApiError, ClientError, OutboxFull
from bandit.client.offline import Offline
from bandit.client.wire import Call, Taken, outcomes_call
from streams.errors import SpoolError
from streams.events import OUTCOMES
from streams.log import Message
from streams.spool import Batch, Spool, claimed_spool

logger = logging.getLogger(__name__)

AT_ONCE: Final = 1000
"""How many outcomes the API takes in one request."""
LOST_FOR_GOOD: Final = frozenset({400, 413, 415, 422})
"""Refusals of a whole batch that no later attempt would change."""

_encode = msgspec.json.Encoder().encode


class Batching(Struct, frozen=True, kw_only=True):
    """How outcomes are gathered.

    Attributes:
        flush_seconds: for how long the first of a batch waits for others, at most. What waits
            is lost if the process dies.
        max_waiting: how many may wait in memory; beyond it a call raises `OutboxFull`.
        retry_seconds: how long to wait after a batch could not be delivered.
        on_refused: told of each outcome that the API will never take; they are logged as well.
    """

    flush_seconds: float = 0.2
    max_waiting: int = 10_000
    retry_seconds: float = 1.0
    on_refused: Callable[[Refused], None] | None = None


class Parcel(NamedTuple):
    """Outcomes to be sent in one request, and where on disk they lie, None if in memory."""

    items: list[Raw]
    spooled: Batch | None

    @property
    def call(self) -> Call:
        """The request that delivers it."""
        return outcomes_call(self.items)


class Outbox:
    """Outcomes that wait; safe to use from several threads, one of which delivers.

    Raises:
        SpoolDamaged: what an earlier process left on disk cannot be read.
    """

    def __init__(self, batching: Batching, offline: Offline | None) -> None:
        self.batching = batching
        self.arrived = threading.Condition(threading.RLock())
        self._items: list[Raw] = []
        self._sending = 0
        self._held = ExitStack()
        self._spool: Spool | None = None
        if offline is not None:
            self._spool = self._held.enter_context(claimed_spool(offline.spool, offline.max_bytes))

    @property
    def waiting(self) -> int:
        """How many outcomes are not delivered yet, on disk and in memory."""
        with self.arrived:
            return len(self._items) + self._sending + (self._spool.messages if self._spool else 0)

    def add(self, item: object) -> None:
        """Takes one outcome in.

        Raises:
            OutboxFull: too many wait.
        """
        data = Raw(_encode(item))
        with self.arrived:
            if len(self._items) >= self.batching.max_waiting:
                raise OutboxFull(
                    f"{len(self._items)} outcomes wait to be delivered, which is the most that "
                    "may; call flush(), or allow more with Batching(max_waiting=...)"
                )
            self._items.append(data)
            self.arrived.notify_all()

    def next_parcel(self) -> Parcel | None:
        """Returns what to send next, what is on disk first; None if nothing waits."""
        with self.arrived:
            if self._spool is not None and self._spool.messages:
                batch = self._spool.peek(AT_ONCE)
                return Parcel([Raw(message.value) for message in batch.messages], batch)
            taken, self._items = self._items[:AT_ONCE], self._items[AT_ONCE:]
            self._sending = len(taken)
            return Parcel(taken, None) if taken else None

    def delivered(self, parcel: Parcel, taken: Taken) -> None:
        """Forgets what the API has; tells what it will never take."""
        self._forget(parcel)
        for refused in taken.refused:
            self._refuse(parcel.items[refused.index], refused.code, refused.message)

    def failed(self, parcel: Parcel, error: ClientError) -> None:
        """Keeps what could not be delivered: on disk if there is one, else in memory."""
        if isinstance(error, ApiError) and error.status in LOST_FOR_GOOD:
            self._forget(parcel)
            for item in parcel.items:
                self._refuse(item, error.code, str(error))
            return
        logger.warning("%d outcomes could not be delivered, and wait: %s", self.waiting, error)
        if parcel.spooled is None:
            with self.arrived:
                self._items[:0] = parcel.items
                self._sending = 0
            self.spool()

    def spool(self) -> None:
        """Puts what is in memory on disk, if there is one, and it takes it."""
        if self._spool is None:
            return
        with self.arrived:
            now_ms = time.time_ns() // 1_000_000
            while part := self._items[:AT_ONCE]:
                try:
                    self._spool.append([_message(item) for item in part], now_ms)
                except SpoolError as error:
                    logger.error("%d outcomes stay in memory: %s", len(self._items), error)
                    return
                del self._items[:AT_ONCE]

    def close(self) -> int:
        """Puts what is left on disk and lets go of it; returns how many are lost instead."""
        self.spool()
        self._held.close()
        if self._items:
            logger.error("%d outcomes were never delivered, and are lost", len(self._items))
        return len(self._items)

    def _forget(self, parcel: Parcel) -> None:
        with self.arrived:
            self._sending = 0
            if parcel.spooled is not None and self._spool is not None:
                self._spool.forwarded(parcel.spooled)

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
        if self.batching.on_refused is not None:
            self.batching.on_refused(refused)


def _message(item: Raw) -> Message:
    key = msgspec.json.decode(item, type=_Keyed).event_id
    return Message(OUTCOMES, key.encode(), bytes(item))


class _Keyed(Struct):
    event_id: str
