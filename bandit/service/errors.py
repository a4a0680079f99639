"""The one form of an error response, and the request id by which log lines are found.

Clients branch on `code`, which is stable; `message` is for people; `target` says where in the
request it is. FastAPI's own errors are put into the same form. A caller's `X-Request-Id` is kept
and answered; without one, an id is made only once a line of the log needs it.
"""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bandit.errors import RequestError
from streams.errors import MessageTooLarge, StreamsError

RETRY_AFTER_SECONDS: Final = 1
_CODES: Final = {400: "body_not_json", 404: "not_found", 405: "method_not_allowed"}
ONE, MANY = "<one>", "<many>"
"""Tags of a body that may be one thing or a list of them; pydantic tells of both, by these."""
REQUEST_ID: Final = b"x-request-id"
_PLACE: Final = re.compile(r"(?<!\S)(?!docs/)\S*/\S+")
"""A path or a URL in a message, but for pages of the documentation."""
_SOUND_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# A context variable is how a log line finds the request that its task works on.
_current: ContextVar[list[str] | None] = ContextVar("request", default=None)


def error_body(error: RequestError) -> bytes:
    """Returns `{"error": {"code", "message", "target"}}`, as JSON."""
    details = {"code": error.code, "message": str(error), "target": error.target}
    return msgspec.json.encode({"error": details})


def error_headers(error: RequestError) -> dict[str, str]:
    """Returns the headers that go with a refusal, by its status."""
    if error.status == 503:
        return {"retry-after": str(RETRY_AFTER_SECONDS)}
    if error.retry_after_seconds is not None:
        return {"retry-after": str(max(math.ceil(error.retry_after_seconds), 1))}
    if error.status == 401:
        return {"www-authenticate": "Bearer"}
    if error.status == 413:
        return {"connection": "close"}  # the rest of the body is not worth reading
    return {}


def placement_not_found(name: str) -> RequestError:
    """Returns the refusal for a placement that does not exist, with the way out."""
    return RequestError(
        404,
        "placement_not_found",
        f"there is no placement {name!r}; PUT /v1/placements/{{name}} makes one",
        target="placement",
    )


def without_places(error: Exception | None) -> str:
    """Returns an error's words for callers: where log and spool are is for the server's own lines.

    >>> without_places(ValueError("the log /data/log.db: disk full"))
    'the log … disk full'
    """
    return _PLACE.sub("…", str(error))


def unavailable(error: StreamsError) -> RequestError:
    """Returns the refusal while nothing can be written."""
    return RequestError(503, error.code, f"{without_places(error)}; try again shortly")


def not_appended(error: StreamsError) -> RequestError:
    """Returns the refusal of a request whose message was not written; others' may be."""
    if isinstance(error, MessageTooLarge):
        return RequestError(413, error.code, without_places(error))
    return unavailable(error)


def check_reachable(
    name: str, target: str, code: str = "name_invalid", *, as_flag: bool = False
) -> None:
    """Refuses a name that an address cannot hold: clients change the address before they ask.

    Args:
        name: what would be a step of a path.
        target: what it names.
        code: of the refusal.
        as_flag: it names a placement. OpenFeature's providers ask for those, too, and write the
            name as it is.

    Raises:
        RequestError: with this code.
    """
    if name in (".", "..") or (as_flag and not name.strip()):
        message = f"{target} is {name!r}, which no address can hold; take another name"
        raise RequestError(422, code, message, target=target)
    if "\ufffd" in name:
        message = f"{target} is {name!r}: bytes of it are not UTF-8; take another name"
        raise RequestError(422, code, message, target=target)
    if as_flag and not name.isprintable():
        message = f"{target} is {name!r}; a name has no control characters; take another name"
        raise RequestError(422, code, message, target=target)
    if as_flag and (cut := set("#?%").intersection(name)):
        message = (
            f"{target} is {name!r}; OpenFeature's providers cannot ask for a name with "
            f"{' or '.join(sorted(cut))}; take another name"
        )
        raise RequestError(422, code, message, target=target)


def internal_error() -> RequestError:
    """Returns what a client is told of a failure that is ours."""
    message = f"the server failed; its log says how, with request id {request_id()}"
    return RequestError(500, "internal_error", message)


def refuse_alike(app: FastAPI) -> None:
    """Has every error of a FastAPI application answered in the one form."""

    @app.exception_handler(RequestError)
    def refused(request: Request, error: RequestError) -> Response:
        return _response(error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return _response(_from_validation(request, error))

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "request_refused")
        message = f"{request.method} {request.url.path}: {error.detail}"
        return _response(RequestError(error.status_code, code, message), error.headers)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        # Starlette raises it again once this is sent, and the router logs the traceback.
        return _response(internal_error())


def _from_validation(request: Request, error: RequestValidationError) -> RequestError:
    sent = request.headers.get("content-type", "")
    if error.body is not None and not sent.startswith("application/json"):
        return RequestError(
            415,
            "content_type_invalid",
            f"Content-Type is {sent!r}; expected application/json",
            target="Content-Type",
        )
    every: list[dict[str, Any]] = list(error.errors())
    other = ONE if isinstance(error.body, list) else MANY
    first = next((each for each in every if other not in each["loc"]), every[0])
    if first["type"] == "json_invalid":
        return RequestError(400, "body_not_json", first.get("ctx", {}).get("error", first["msg"]))
    target = ".".join(str(step) for step in first["loc"][1:] if step not in (ONE, MANY))
    return RequestError(422, "body_invalid", first["msg"], target=target or None)


def _response(error: RequestError, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        error_body(error),
        error.status,
        {**error_headers(error), **(headers or {})},
        media_type="application/json",
    )


def begin_request(given: bytes | None) -> str | None:
    """Notes that a request begins; returns the id that it came with, if that is a sound one."""
    sound = given is not None and _SOUND_ID.fullmatch(given)
    request_id = given.decode() if given is not None and sound else None
    _current.set([] if request_id is None else [request_id])
    return request_id


def request_id() -> str | None:
    """Returns the id of the request that is worked on, None outside of one."""
    holder = _current.get()
    if holder is None:
        return None
    if not holder:
        holder.append(secrets.token_hex(8))
    return holder[0]


def mark_line(record: logging.LogRecord) -> bool:
    """Notes on a log record which request it is about; a filter that lets everything through."""
    if (found := request_id()) is not None:
        record.request_id = found
    return True


def mark_all_lines() -> None:
    """Has every line of this process's log say which request it is about."""
    for handler in logging.getLogger().handlers:
        if mark_line not in handler.filters:
            handler.addFilter(mark_line)
