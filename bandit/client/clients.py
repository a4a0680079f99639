"""The two clients: one to be awaited, and one for threads, with the same calls.

`Client` runs each call to its end where it is made, over a connection that blocks.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from copy import copy
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from bandit.client import wire
from bandit.client.calls import Calls
from bandit.client.offline import Offline, Retries
from bandit.client.outbox import Batching
from bandit.client.wire import Server

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """Returns a method of `Client` that runs the call."""

    @wraps(call)
    def method(self: Client, /, *arguments: P.args, **options: P.kwargs) -> T:
        coroutine = call(self._calls, *arguments, **options)
        try:
            coroutine.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        # Nothing that it waits for ever suspends it.
        raise RuntimeError(f"{call.__name__} waits for an event loop")

    return method


class Client:
    """Talks to one copyloop API; safe to share among threads.

    Outcomes, rewards and activations are sent when they are reported, and an error is raised
    where they are made. With `batching` or `offline`, outcomes are gathered and sent behind the
    caller's back instead; `flush` waits for them, and `close` does.

    Args:
        url: such as `http://127.0.0.1:8080`.
        api_key: sent as `X-API-Key`, if there is one.
        timeout_seconds: for each attempt to connect, to send, and to hear an answer.
        retries: how often a request that may be sent again is.
        batching: gathers outcomes.
        offline: answers with the baseline and keeps outcomes on disk while the server is away;
            it brings `batching` with it.
        http_options: further arguments of httpx's client, such as `verify` or `proxy`.

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
        http_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._calls = _BlockingCalls(
            url,
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            retries=retries,
            batching=batching,
            offline=offline,
            http_options=http_options,
        )

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._calls.url

    @property
    def waiting(self) -> int:
        """The number of outcomes that still have to be delivered."""
        return self._calls.waiting

    def as_caller(self, credential: str | None) -> Client:
        """Returns a client that asks as somebody else, over the connections of this one."""
        other = copy(self)
        other._calls = self._calls.as_caller(credential)
        return other

    rank = _blocking(Calls.rank)
    rank_slots = _blocking(Calls.rank_slots)
    outcome = _blocking(Calls.outcome)
    reward = _blocking(Calls.reward)
    activate = _blocking(Calls.activate)
    set_status = _blocking(Calls.set_status)
    review = _blocking(Calls.review)
    promote = _blocking(Calls.promote)
    roll_back = _blocking(Calls.roll_back)
    request = _blocking(Calls.request)
    items = _blocking(Calls.items)
    answer = _blocking(Calls.answer)
    flush = _blocking(Calls.flush)
    close = _blocking(Calls.close)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _BlockingConnection:
    """Waits by blocking, so that a call which awaits it is never suspended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connect()

    def _connect(self) -> None:
        self._process = os.getpid()
        self._http = self._server.connect(httpx.Client)

    async def request(self, **request: Any) -> httpx.Response:
        if os.getpid() != self._process:
            # A process that was forked would share the sockets of its parent.
            self._connect()
        return self._http.request(**request)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def run(self, function: Callable[[], T]) -> T:
        return function()

    async def close(self) -> None:
        self._http.close()


class _BlockingCalls(Calls):
    _connects_by = _BlockingConnection


class _AsyncConnection:
    def __init__(self, server: Server) -> None:
        self.http = server.connect(httpx.AsyncClient)

    async def request(self, **request: Any) -> httpx.Response:
        return await self.http.request(**request)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def run(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)

    async def close(self) -> None:
        await self.http.aclose()


class AsyncClient(Calls):
    """Talks to one copyloop API, from one event loop.

    It has the arguments and the methods of `Client`, to be awaited. Outcomes that are gathered
    are delivered by a thread, so that they do not wait for the loop.

    Raises:
        SpoolDamaged: what an earlier process left in the spool cannot be read.
    """

    _connects_by = _AsyncConnection
    _connection: _AsyncConnection

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Opens a stream, such as `/v1/live`; it may be silent for any time.

        Raises:
            ApiError: the request was refused; `code` says why.
            Unreachable: no answer came, or it broke off.
        """
        call = wire.any_call("GET", path, headers=headers)
        timeout = httpx.Timeout(self._server.timeout_seconds, read=None)
        request = self._server.request(call)
        try:
            async with self._connection.http.stream(**request, timeout=timeout) as answer:
                if answer.is_error:
                    await answer.aread()
                    wire.payload_of(answer)
                yield answer
        except httpx.RequestError as error:
            raise wire.unreachable(call, error) from error

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
