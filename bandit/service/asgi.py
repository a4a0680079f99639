"""Raw ASGI, as what answers without a framework uses it: its types, a body, an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from bandit.errors import RequestError
from bandit.service.errors import error_body, error_headers
from streams.logs.cloudevents import HEADER, traceparent_of

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

TRACEPARENT: Final = HEADER.encode()
JSON: Final = b"application/json"


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


def check_json(headers: dict[bytes, bytes]) -> None:
    """Refuses a body that does not say that it is JSON: a browser asks before it sends that.

    Raises:
        RequestError: `content_type_invalid`.
    """
    sent = headers.get(b"content-type", b"")
    if sent.partition(b";")[0].strip().lower() != JSON:
        raise RequestError(
            415,
            "content_type_invalid",
            f"Content-Type is {sent.decode('latin-1')!r}; expected application/json",
            target="Content-Type",
        )


def replayed(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that gives the body that was read, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def before_start(send: Send, tell: Callable[[Message], None]) -> Send:
    """Returns a `send` that hands the start of the response to `tell` before it is sent."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            tell(message)
        await send(message)

    return told


async def send_response(
    send: Send,
    status: int,
    body: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    content_type: bytes = JSON,
) -> None:
    """Answers with a body, or without one where the status is 204."""
    if status != 204:
        length = b"%d" % len(body)
        headers = [*headers, (b"content-type", content_type), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: RequestError) -> int:
    """Answers with a refusal; returns its status."""
    headers = raw_headers(error)
    if error.status == 405:
        headers.append((b"allow", b"POST"))
    await send_response(send, error.status, error_body(error), headers)
    return error.status


def raw_headers(error: RequestError) -> list[tuple[bytes, bytes]]:
    """Returns the headers that go with a refusal, as ASGI has them."""
    return [(name.encode(), value.encode()) for name, value in error_headers(error).items()]


def trace_of(scope: Scope) -> str | None:
    """Returns the trace that a request came with, None if it came with none."""
    return traceparent_of(dict(scope["headers"]).get(TRACEPARENT))


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(413, "body_too_large", f"the body is larger than {max_bytes} bytes")
