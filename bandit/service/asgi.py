"""Raw ASGI, as what answers without a framework uses it: its types, a body, an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from bandit.errors import RequestError
from bandit.features.measure import has_more_values
from bandit.service.errors import error_body, error_headers
from bandit.service.requests import check_depth
from streams.logs.cloudevents import HEADER, traceparent_of

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

TRACEPARENT: Final = HEADER.encode()
JSON: Final = b"application/json"
MAX_TARGET_BYTES: Final = 16_384
"""The longest path with its query."""
MAX_HEADERS: Final = 128
MAX_HEADER_BYTES: Final = 32_768
"""The most bytes that the headers' values have together."""
BYTES_PER_VALUE: Final = 16
"""A body may hold one JSON value for so many bytes of the largest body: 65,536 in 1 MiB."""
ADMIN_BYTES_PER_VALUE: Final = 64
"""The same on admin routes, which do more with each."""


def check_head(scope: Scope, header_bytes: int) -> None:
    """Refuses a request whose path, query or headers are so large that reading them costs much.

    Args:
        scope: the request's.
        header_bytes: what the values of its headers have together.

    Raises:
        RequestError: `target_too_long` or `headers_too_large`.
    """
    target_bytes = len(scope["raw_path"]) + len(scope["query_string"])
    if target_bytes > MAX_TARGET_BYTES:
        message = f"path and query have {target_bytes} bytes; at most {MAX_TARGET_BYTES}"
        raise RequestError(414, "target_too_long", message)
    if header_bytes > MAX_HEADER_BYTES or len(scope["headers"]) > MAX_HEADERS:
        raise RequestError(
            431,
            "headers_too_large",
            f"{len(scope['headers'])} headers with {header_bytes} bytes; at most {MAX_HEADERS} "
            f"with {MAX_HEADER_BYTES}",
        )


async def read_body(
    headers: dict[bytes, bytes],
    receive: Receive,
    max_bytes: int,
    bytes_per_value: int = BYTES_PER_VALUE,
) -> bytes:
    """Returns the request's body, read no further than the limit.

    What a body costs hangs on its values more than on its bytes, so these have a limit too: one
    for so many bytes of the largest body.

    Raises:
        RequestError: `body_too_large`, `too_many_values`, `body_invalid` of a body that nests too
            deep besides, or `client_gone` where nobody hears the answer.
    """
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise _too_large(max_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts, size = [body], len(body)
        while message.get("more_body", False):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > max_bytes:
                raise _too_large(max_bytes)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise RequestError(400, "client_gone", "the body ended early")
    if has_more_values(body, most := max_bytes // bytes_per_value):
        check_depth(body)
        raise RequestError(
            422,
            "too_many_values",
            f"the body holds more than {most} JSON values; send fewer, or several requests",
        )
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
