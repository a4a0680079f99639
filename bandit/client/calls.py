"""The calls of the API, each written once for both clients.

A call is a coroutine over a connection. `AsyncClient` has it awaited; `Client` has a connection
that blocks, so that the coroutine runs to its end at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar

import httpx

from bandit.client import wire
from bandit.client.errors import ApiError, ClientError, Unreachable
from bandit.client.offline import Away, Offline, Retries, is_offline
from bandit.client.outbox import Batching, Outbox
from bandit.client.wire import Call, Decision, Server, SlotDecisions, path_of
from streams.events import ACTIVATION, REWARD, SLOT_ACTIVATION

if TYPE_CHECKING:
    # Python 3.10, which the client alone runs on, does not have it.
    from typing import Self

PAUSE_SECONDS: Final = 0.005
"""How often a client that waits for delivery looks whether it is done."""
PAGE: Final = 1000

T = TypeVar("T")


class Connection(Protocol):
    """How a client waits: for an answer, for a time, or for a function that blocks."""

    def __init__(self, server: Server) -> None: ...

    async def request(self, **request: Any) -> httpx.Response:
        """Returns the answer to a request, with the arguments of httpx."""

    async def sleep(self, seconds: float) -> None:
        """Waits for that long."""

    async def run(self, function: Callable[[], T]) -> T:
        """Returns what a function returns that may block."""

    async def close(self) -> None:
        """Closes the connections."""


class Calls:
    """The calls of both clients, whose arguments `Client` describes."""

    _connects_by: ClassVar[type[Connection]]

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 10.0,
        retries: Retries | None = None,
        batching: Batching | None = None,
        offline: Offline | None = None,
        http_options: Mapping[str, Any] | None = None,
    ) -> None:
        headers = {} if api_key is None else {"x-api-key": api_key}
        self._server = Server(url, headers, timeout_seconds, http_options or {})
        self._connection = self._connects_by(self._server)
        self._retries = retries or Retries()
        self._offline = offline
        self._signed: set[str] = set()
        self._away = Away(offline.retry_seconds if offline else 0.0)
        self._started_outbox: Outbox | None = None
        if batching is not None or offline is not None:
            self._started_outbox = Outbox(self._server, batching or Batching(), offline)

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._server.url

    @property
    def waiting(self) -> int:
        """The number of outcomes that still have to be delivered."""
        return 0 if self._outbox is None else self._outbox.waiting

    @property
    def _outbox(self) -> Outbox | None:
        """What gathers outcomes in this process, None if nothing does."""
        if self._started_outbox is not None:
            self._started_outbox.follow_fork()
        return self._started_outbox

    def as_caller(self, credential: str | None) -> Self:
        """Returns a client that asks as somebody else, over the connections of this one.

        It gathers no outcomes, and need not be closed.

        Args:
            credential: a key or a token, sent as `Authorization: Bearer`; None sends no credential.
        """
        other = copy(self)
        headers = {} if credential is None else {"authorization": f"Bearer {credential}"}
        other._server = self._server._replace(headers=headers)
        other._started_outbox = None
        return other

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
        outcome: dict[str, object] = {"kind": kind, "value": value, "slot": slot}
        if outcome_id is not None:
            outcome["outcome_id"] = outcome_id
        if self._outbox is None:
            await self._send(wire.outcome_call(placement, event_id, outcome))
        else:
            # It may be sent later, so it says when it was.
            now_ms = time.time_ns() // 1_000_000
            event = {"placement": placement, "event_id": event_id, "timestamp_ms": now_ms}
            self._outbox.add(event | outcome)

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

    async def set_status(
        self, placement: str, creative: str, status: str, *, etag: str | None = None
    ) -> Any:
        """Pauses a creative (`paused`), lets it live again (`live`) or retires it (`retired`)."""
        path = path_of("placements", placement, "creatives", creative)
        return await self.request("PATCH", path, {"status": status}, etag=etag)

    async def review(
        self, placement: str, creative: str, verdict: Mapping[str, Any], *, etag: str | None = None
    ) -> Any:
        """Approves, edits or rejects a creative that waits for a person.

        Args:
            placement: where it waits.
            creative: its id.
            verdict: such as `{"verdict": "approve"}`, `{"verdict": "edit", "parts": {…}}` or
                `{"verdict": "reject", "reason": "tone: not ours"}`.
            etag: of the creative as it was read; a later change by somebody else is refused.
        """
        path = path_of("placements", placement, "creatives", creative, "review")
        return await self.request("POST", path, verdict, etag=etag)

    async def promote(
        self, placement: str, change: Mapping[str, Any], *, etag: str | None = None
    ) -> Any:
        """Gives the placement another policy: `{"challenger": …}` or `{"policy": {…}}`."""
        path = path_of("placements", placement, "policy", "promote")
        return await self.request("POST", path, change, etag=etag)

    async def roll_back(
        self, placement: str, version: int | None = None, *, etag: str | None = None
    ) -> Any:
        """Gives the placement back a policy that it had: the one before, or that version."""
        path = path_of("placements", placement, "policy", "rollback")
        body = {} if version is None else {"version": version}
        return await self.request("POST", path, body, etag=etag)

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
        etag: str | None = None,
    ) -> Any:
        """Returns the decoded answer of any route, None where it has no body.

        A POST is sent again only with an `Idempotency-Key` among the headers, or if no
        connection came about.

        Args:
            method: HTTP's.
            path: such as `/v1/briefs`.
            body: sent as JSON.
            headers: in addition to those of the client.
            query: by name; a list is repeated, None is left out.
            etag: the change counts only if the resource is still as it was read.

        Raises:
            ApiError: the request was refused; `code` says why.
            Unreachable: no answer came.
        """
        payload = await self._send(wire.any_call(method, path, body, headers, query, etag))
        return wire.answer_of(object, payload) if payload else None

    async def items(self, path: str, query: Mapping[str, object] | None = None) -> list[Any]:
        """Returns the items of all pages of a list, such as `/v1/placements`."""
        items: list[Any] = []
        after: str | None = None
        while True:
            asked = {**(query or {}), "limit": PAGE, "after": after}
            page = await self.request("GET", path, query=asked)
            items += page["items"]
            after = page["next"]
            if after is None:
                return items

    async def answer(
        self, path: str, *, query: Mapping[str, object] | None = None
    ) -> httpx.Response:
        """Returns the answer to a GET as it came, refusals too; it is sent once.

        Raises:
            Unreachable: no answer came.
        """
        return await self._once(wire.any_call("GET", path, query=query))

    async def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Has what is gathered sent now; returns whether nothing waits any more."""
        deadline = time.monotonic() + timeout_seconds
        while self._outbox is not None and self.waiting and time.monotonic() < deadline:
            self._outbox.hurry()
            await self._connection.sleep(PAUSE_SECONDS)
        return not self.waiting

    async def close(self, timeout_seconds: float = 5.0) -> int:
        """Sends what is gathered, or leaves it on disk; returns how many outcomes are lost."""
        await self._connection.close()
        if self._outbox is None:
            return 0
        deadline = time.monotonic() + timeout_seconds
        while self._outbox.worth_waiting and time.monotonic() < deadline:
            self._outbox.hurry()
            await self._connection.sleep(PAUSE_SECONDS)
        return await self._connection.run(self._outbox.close)

    async def _ask(
        self, placement: str, event_id: str | None, call: Callable[[str | None], Call]
    ) -> bytes:
        """Sends a request for a decision, unless the server was away a moment ago.

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
                return wire.payload_of(await self._once(call))
            except ClientError as error:
                wait_seconds = self._retries.wait_seconds(call, attempt, error)
            await self._connection.sleep(wait_seconds)
            attempt += 1

    async def _once(self, call: Call) -> httpx.Response:
        try:
            return await self._connection.request(**self._server.request(call))
        except httpx.RequestError as error:
            raise wire.unreachable(call, error) from error
