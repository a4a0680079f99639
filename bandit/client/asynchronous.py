"""The client for asyncio: as the one for threads, with `await`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import httpx

from bandit.client import wire
from bandit.client.answers import Decision, SlotDecisions
from bandit.client.courier import PAUSE_SECONDS, Courier
from bandit.client.errors import ApiError, ClientError, Unreachable
from bandit.client.offline import Away, Offline, is_offline
from bandit.client.outbox import Batching
from bandit.client.retries import Retries
from bandit.client.wire import Call, Event
from streams.events import ACTIVATION, REWARD, SLOT_ACTIVATION


class AsyncClient:
    """Talks to one copyloop API, from one event loop.

    It has the arguments and the methods of `Client`, to be awaited. Outcomes that are gathered
    are delivered by a thread, so that they do not wait for the loop.

    Args:
        url: such as `http://127.0.0.1:8080`.
        api_key: sent as `X-API-Key`, if there is one.
        timeout_seconds: for each attempt to connect, to send, and to hear an answer.
        retries: how often a request that may be sent again is.
        batching: gathers outcomes.
        offline: answers with the baseline and keeps outcomes on disk while the server is away;
            it brings `batching` with it.

    Raises:
        SpoolDamaged: what an earlier process left in the spool cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 10.0,
        retries: Retries | None = None,
        batching: Batching | None = None,
        offline: Offline | None = None,
    ) -> None:
        headers = {} if api_key is None else {"x-api-key": api_key}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_seconds)
        self._retries = retries or Retries()
        self._offline = offline
        self._signed: set[str] = set()
        self._away = Away(offline.retry_seconds if offline else 0.0)
        self._courier: Courier | None = None
        if batching is not None or offline is not None:
            self._courier = Courier(url, headers, timeout_seconds, batching or Batching(), offline)

    @property
    def waiting(self) -> int:
        """How many outcomes are not delivered yet."""
        return 0 if self._courier is None else self._courier.waiting

    async def rank(
        self,
        placement: str,
        context: Mapping[str, Any],
        *,
        actions: Sequence[Mapping[str, Any]] | None = None,
        event_id: str | None = None,
        deferred: bool = False,
    ) -> Decision:
        """Returns a decision among the placement's live creatives, or among `actions`.

        Raises:
            ApiError: the request was refused; `code` says why.
            Unreachable: no answer came, and there is no baseline to show.
        """
        call = partial(wire.rank_call, placement, context, actions, deferred)
        try:
            return wire.decision_of(await self._ask(placement, event_id, call))
        except Unreachable:
            baseline = self._offline and self._offline.decision(placement, actions)
            if not baseline:
                raise
            return baseline

    async def rank_slots(
        self,
        placement: str,
        context: Mapping[str, Any],
        slots: Sequence[Mapping[str, Any]],
        *,
        actions: Sequence[Mapping[str, Any]] | None = None,
        event_id: str | None = None,
        deferred: bool = False,
    ) -> SlotDecisions:
        """Returns a decision for each slot, such as `[{"id": "top"}, {"id": "side"}]`.

        Raises:
            ApiError: the request was refused; `code` says why.
            Unreachable: no answer came, and the caller brought too few actions to show.
        """
        call = partial(wire.rank_call, placement, context, actions, deferred, slots=slots)
        try:
            return wire.slot_decisions_of(await self._ask(placement, event_id, call))
        except Unreachable:
            baseline = self._offline and self._offline.slot_decisions(placement, slots, actions)
            if not baseline:
                raise
            return baseline

    async def outcome(
        self,
        placement: str,
        event_id: str,
        kind: str,
        value: float = 1.0,
        *,
        slot: int = 0,
        outcome_id: str | None = None,
    ) -> None:
        """Says that something of this kind followed the decision, or that of this slot.

        Of a baseline shown offline nothing is reported.

        Raises:
            ApiError: it was refused; not where outcomes are gathered.
            Unreachable: no answer came; likewise.
            OutboxFull: too many wait to be delivered.
        """
        if is_offline(event_id):
            return
        event = Event(placement, event_id)
        body = wire.outcome_body(kind, value, outcome_id=outcome_id, slot=slot)
        if self._courier is None:
            await self._send(wire.outcome_call(event, body))
        else:
            self._courier.add(wire.outcome_item(event, body, time.time_ns() // 1_000_000))

    async def reward(self, placement: str, event_id: str, value: float, *, slot: int = 0) -> None:
        """Says what the decision earned, in the placement's range of rewards; like `outcome`."""
        await self.outcome(placement, event_id, REWARD, value, slot=slot)

    async def activate(
        self, placement: str, event_id: str, *, slots: Sequence[int] | None = None
    ) -> None:
        """Says that a deferred decision was shown after all: all of its slots, or just these."""
        if slots is None:
            await self.outcome(placement, event_id, ACTIVATION)
        for slot in slots or ():
            await self.outcome(placement, event_id, SLOT_ACTIVATION, slot=slot)

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Returns the decoded answer of any route, None where it has no body.

        A POST is sent again only with an `Idempotency-Key` among the headers, or if no
        connection came about.

        Raises:
            ApiError: the request was refused; `code` says why.
            Unreachable: no answer came.
        """
        return wire.json_of(await self._send(wire.any_call(method, path, body, headers)))

    async def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Has what is gathered sent now; returns whether nothing waits any more."""
        deadline = time.monotonic() + timeout_seconds
        while self._courier is not None and self.waiting and time.monotonic() < deadline:
            self._courier.hurry()
            await asyncio.sleep(PAUSE_SECONDS)
        return not self.waiting

    async def close(self, timeout_seconds: float = 5.0) -> int:
        """Sends what is gathered, or leaves it on disk; returns how many outcomes are lost."""
        await self._http.aclose()
        if self._courier is None:
            return 0
        deadline = time.monotonic() + timeout_seconds
        while self._courier.worth_waiting and time.monotonic() < deadline:
            self._courier.hurry()
            await asyncio.sleep(PAUSE_SECONDS)
        return await asyncio.to_thread(self._courier.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(
        self, placement: str, event_id: str | None, call: Callable[[str | None], Call]
    ) -> bytes:
        """Sends what decides, unless it is known that nobody would hear it.

        A placement that takes signed ids only makes them itself, so a request to it that got no
        answer is not sent again.
        """
        if self._away:
            raise Unreachable("the server was away a moment ago", sent=False)
        signed = placement in self._signed
        own = None if signed else wire.new_event_id()
        try:
            return await self._send(call(event_id or own))
        except Unreachable:
            self._away.found()
            raise
        except ApiError as error:
            if error.code != wire.UNSIGNED or event_id is not None or signed:
                raise
            self._signed.add(placement)
            return await self._ask(placement, None, call)

    async def _send(self, call: Call) -> bytes:
        attempt = 0
        while True:
            try:
                return await self._once(call)
            except ClientError as error:
                wait_seconds = self._retries.wait_seconds(call, attempt, error)
            await asyncio.sleep(wait_seconds)
            attempt += 1

    async def _once(self, call: Call) -> bytes:
        try:
            answer = await self._http.request(
                call.method, call.path, content=call.body, headers=call.headers
            )
        except httpx.TransportError as error:
            raise wire.unreachable(call, error) from error
        if answer.status_code >= 400:
            raise wire.refusal_of(answer.status_code, answer.headers, answer.content)
        return answer.content
