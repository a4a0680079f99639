"""The client for asyncio: as the one for threads, with `await`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import httpx

from bandit.client import wire
from bandit.client.calls import Calls
from bandit.client.offline import Offline, Retries
from bandit.client.outbox import Batching
from bandit.client.wire import Server

T = TypeVar("T")


class AsyncClient(Calls):
    """Talks to one copyloop API, from one event loop.

    It has the arguments and the methods of `Client`, to be awaited. Outcomes that are gathered
    are delivered by a thread, so that they do not wait for the loop.

    Raises:
        SpoolDamaged: what an earlier process left in the spool cannot be read.
    """

    _connection: _Connection

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
        super().__init__(
            _Connection, url, api_key, timeout_seconds, retries, batching, offline, http_options
        )

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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class _Connection:
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
