"""The front door: a raw ASGI function that answers the hot routes and hands the rest on.

It reads the body within its limit, gives every refusal the same form, and counts. A framework
would spend several times what the hot routes themselves cost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from bandit.errors import RequestError
from bandit.service.hot import Answer, Call, HotRoutes
from bandit.service.operations.metrics import Metrics
from bandit.service.refusals import (
    error_body,
    error_headers,
    internal_error,
    placement_not_found,
)
from bandit.service.requests import check_depth, check_event_id
from bandit.service.snapshots import Snapshots
from streams.traceparent import HEADER, traceparent_of

logger = logging.getLogger(__name__)

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

TRACEPARENT: Final = HEADER.encode()
UNMATCHED: Final = "unmatched"
RANK_SEGMENTS: Final = 5  # an empty one first, then v1, placements, {placement}, rank
EVENT_SEGMENTS: Final = 7


class HotRoute(NamedTuple):
    """A hot route: its template, which metrics and the documentation show, and its handler."""

    template: str
    handler: Callable[[HotRoutes, Call], Awaitable[Answer]]


RANK: Final = HotRoute("/v1/placements/{placement}/rank", HotRoutes.rank)
OF_EVENTS: Final = {
    b"reward": HotRoute("/v1/placements/{placement}/events/{event_id}/reward", HotRoutes.reward),
    b"outcomes": HotRoute(
        "/v1/placements/{placement}/events/{event_id}/outcomes", HotRoutes.outcomes
    ),
    b"activate": HotRoute(
        "/v1/placements/{placement}/events/{event_id}/activate", HotRoutes.activate
    ),
}


class FrontDoor:
    """The whole application.

    Args:
        hot: answers the hot routes.
        rest: answers everything else, the lifespan included.
        max_body_bytes: a larger body is refused, whichever the route.
    """

    def __init__(
        self,
        hot: HotRoutes,
        rest: AsgiApp,
        snapshots: Snapshots,
        metrics: Metrics,
        *,
        max_body_bytes: int,
    ) -> None:
        self._hot = hot
        self._rest = rest
        self._snapshots = snapshots
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or lives the application's life (ASGI 3)."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        started = time.perf_counter()
        segments = scope["raw_path"].split(b"/")
        route = _hot_route(segments)
        if route is not None:
            template = route.template
            status = await self._answer_hot(route, segments, scope, receive, send)
        else:
            status = await self._answer_rest(scope, receive, send)
            template = getattr(scope.get("route"), "path_format", UNMATCHED)
        self._metrics.request(template, status, time.perf_counter() - started)

    async def _answer_hot(
        self, route: HotRoute, segments: list[bytes], scope: Scope, receive: Receive, send: Send
    ) -> int:
        try:
            if scope["method"] != "POST":
                raise RequestError(405, "method_not_allowed", f"{scope['method']}: expected POST")
            headers = dict(scope["headers"])
            body = await read_body(headers, receive, self._max_body_bytes)
            answer = await route.handler(self._hot, self._call(segments, headers, body))
        except RequestError as error:
            return await send_error(send, error)
        except Exception:  # one request's failure, whatever it is, must not end the others
            logger.exception("%s failed", route.template)
            return await send_error(send, internal_error())
        await _send(send, answer.status, answer.body, [])
        return answer.status

    async def _answer_rest(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Hands the request on with its body read, and returns the status that was sent."""
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            body = await read_body(dict(scope["headers"]), receive, self._max_body_bytes)
            check_depth(body)
        except RequestError as error:
            return await send_error(send, error)
        try:
            await self._rest(scope, _replayed(body, receive), watched)
        except Exception:  # answered already, and raised for the log: see refusals.py
            logger.exception("%s %s failed", scope["method"], scope["path"])
        return status

    def _call(self, segments: list[bytes], headers: dict[bytes, bytes], body: bytes) -> Call:
        # No placement has a name that is not UTF-8, so what stands in for it is not found either.
        name = _unquoted(segments[3]).decode(errors="replace")
        serving = self._snapshots.placement(name)
        if serving is None:
            raise placement_not_found(name)
        event_id = _event_id(segments[5]) if len(segments) == EVENT_SEGMENTS else ""
        return Call(serving, event_id, body, traceparent_of(headers.get(TRACEPARENT)))


async def read_body(headers: dict[bytes, bytes], receive: Receive, max_bytes: int) -> bytes:
    """Returns the request's body, read no further than the limit.

    Raises:
        RequestError: `body_too_large`, or `client_gone` where nobody hears the answer.
    """
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise _too_large(max_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    if message["type"] == "http.disconnect":
        raise RequestError(400, "client_gone", "the body ended early")
    return body


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(413, "body_too_large", f"the body is larger than {max_bytes} bytes")


def _hot_route(segments: list[bytes]) -> HotRoute | None:
    if segments[1:3] != [b"v1", b"placements"]:
        return None
    if len(segments) == RANK_SEGMENTS and segments[4] == b"rank":
        return RANK
    if len(segments) == EVENT_SEGMENTS and segments[4] == b"events":
        return OF_EVENTS.get(segments[6])
    return None


def _event_id(segment: bytes) -> str:
    try:
        event_id = _unquoted(segment).decode()
    except UnicodeDecodeError as error:
        message = f"the event id is not UTF-8: {error}"
        raise RequestError(422, "event_id_invalid", message, target="event_id") from error
    check_event_id(event_id)
    return event_id


def _unquoted(segment: bytes) -> bytes:
    return unquote_to_bytes(segment) if b"%" in segment else segment


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that gives the body that was read, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def send_error(send: Send, error: RequestError) -> int:
    """Answers with a refusal; returns its status."""
    headers = [(name.encode(), value.encode()) for name, value in error_headers(error).items()]
    if error.status == 405:
        headers.append((b"allow", b"POST"))
    await _send(send, error.status, error_body(error), headers)
    return error.status


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    if status != 204:
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
