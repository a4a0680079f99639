"""The API as the pages ask it: over HTTP, with the credential of whoever is signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx

PATIENCE_SECONDS: Final = 20.0
_PAGE: Final = 1000


class ApiRefused(Exception):
    """The API said no: its status, its stable code, and its words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ApiDown(Exception):
    """The API gave no answer."""


class Api:
    """Asks the API as one caller.

    Args:
        client: has the API's address; shared by all callers.
        credential: a key or a token; None where nothing is asked of anyone.
    """

    def __init__(self, client: httpx.AsyncClient, credential: str | None) -> None:
        self._client = client
        self._headers = {} if credential is None else {"authorization": f"Bearer {credential}"}

    async def get(self, path: str, **query: Any) -> Any:
        """Returns what the API answers, decoded; a query that is None is left out."""
        return await self.request("GET", path, query=query)

    async def every(self, path: str, **query: Any) -> list[Any]:
        """Returns the items of all pages of a list."""
        items: list[Any] = []
        after: str | None = None
        while True:
            page = await self.get(path, **query, limit=_PAGE, after=after)
            items += page["items"]
            after = page["next"]
            if after is None:
                return items

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        etag: str | None = None,
    ) -> Any:
        """Returns what the API answers, decoded, None if it has nothing to say.

        Args:
            method: HTTP's.
            path: with its names quoted: `placements/home`, below `/v1`.
            body: sent as JSON.
            query: by name; None is left out.
            etag: the change counts only if the resource is still so.

        Raises:
            ApiRefused: it said no.
            ApiDown: it gave no answer.
        """
        headers = self._headers | ({"if-match": etag} if etag else {})
        try:
            answer = await self._client.request(
                method, f"/v1/{path}", json=body, params=_given(query), headers=headers
            )
        except httpx.HTTPError as error:
            raise ApiDown(str(error) or type(error).__name__) from error
        if answer.is_error:
            raise _refused(answer)
        return answer.json() if answer.content else None

    async def raw(self, path: str, query: str) -> httpx.Response:
        """Returns the answer to a GET as it came, refusals too.

        Raises:
            ApiDown: there was none.
        """
        try:
            return await self._client.get(path, params=query, headers=self._headers)
        except httpx.HTTPError as error:
            raise ApiDown(str(error) or type(error).__name__) from error

    @asynccontextmanager
    async def stream(
        self, path: str, query: str, headers: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Opens a stream that may be silent for as long as it likes.

        Raises:
            ApiRefused: it said no.
            ApiDown: there was no answer, or it broke off.
        """
        timeout = httpx.Timeout(PATIENCE_SECONDS, read=None)
        try:
            async with self._client.stream(
                "GET", path, params=query, headers=self._headers | headers, timeout=timeout
            ) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refused(answer)
                yield answer
        except httpx.HTTPError as error:
            raise ApiDown(str(error) or type(error).__name__) from error


def named(*names: str) -> str:
    """Returns a path of names, each quoted.

    >>> named("placements", "a/b", "creatives")
    'placements/a%2Fb/creatives'
    """
    return "/".join(quote(name, safe="") for name in names)


def _given(query: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _refused(answer: httpx.Response) -> ApiRefused:
    try:
        error = answer.json()["error"]
        return ApiRefused(answer.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        # something between us and the API answered in its place
        return ApiRefused(answer.status_code, "not_from_the_api", answer.text[:200])
