"""Finds out who visits, whether they may, whether a form is ours; and sets every answer's headers.

It stands before every page, so that a page that somebody adds is behind it, too.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bandit.client import ApiError, AsyncClient, ClientError
from bandit.dashboard.visit import (
    PATH,
    VISIT,
    VISITOR,
    Visit,
    credential_of,
    csrf_token,
    is_ours,
    keep,
    own_page,
    query_of,
    visitor_of,
)
from bandit.service.auth.tls_cors import is_loopback

# Plotly places its drawings by style attributes, so styles are let in inline; scripts are not.
POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
STRICT: Final = "max-age=31536000"
MAX_FORM_BYTES: Final = 1 << 20
MAX_FORM_FIELDS: Final = 1000
ASSETS: Final = (f"{PATH}/static/", f"{PATH}/plotly-")
FETCHED: Final = (f"{PATH}/data/", f"{PATH}/live")
"""What scripts of pages ask for; a page that made them has a visitor."""
SIGN_IN: Final = f"{PATH}/sign-in"
UNKNOWN: Final = 401
_SAFE: Final = frozenset({"GET", "HEAD"})
Render = Callable[[Request, Exception], Awaitable[Response]]


class VisitMiddleware:
    """The pages, for those who may see them.

    Args:
        app: the pages.
        client: reaches the API.
        exposed: others than this machine reach the pages, and nobody said that this is meant.
        show_error: answers with a page that says what went wrong.
    """

    def __init__(
        self, app: ASGIApp, client: AsyncClient, exposed: bool, show_error: Render
    ) -> None:
        self._app = app
        self._client = client
        self._exposed = exposed
        self._show_error = show_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request in, or answers it (ASGI 3)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send, secure=scope["scheme"] == "https")
        if scope["path"].startswith(ASSETS):
            await self._app(scope, receive, send)
            return
        if not is_ours(scope["path"]):
            # Cookies are for the pages' paths alone, so a visitor is never known here.
            answer = RedirectResponse(PATH, 307) if scope["path"] == "/" else _nothing_here()
            await answer(scope, receive, send)
            return
        request = Request(scope, receive)
        if not _is_readable(request):
            answer = PlainTextResponse("Host or Origin is no address", 400)
            await answer(scope, receive, send)
            return
        visitor = visitor_of(request)
        if visitor is None and request.method in _SAFE:
            visitor = secrets.token_urlsafe(24)
            if not scope["path"].startswith(FETCHED):
                send = _keeping(send, request, visitor)
        refused = await self._refusal(request, visitor)
        if refused is not None:
            await refused(scope, receive, send)
            return
        # A form has been read; pages have it from the visit.
        await self._app(scope, _gone if request.method == "POST" else receive, send)

    async def _refusal(self, request: Request, visitor: str | None) -> Response | None:
        """Leaves the visit in the scope and returns None, or what to answer instead."""
        credential = credential_of(request)
        client = self._client.as_caller(credential)
        csrf = csrf_token(visitor or "", credential)
        form: dict[str, str] = {}
        if request.method not in _SAFE:
            try:
                form = await _form(request)
            except ValueError as error:
                return PlainTextResponse(str(error), 413)
            given = request.headers.get("x-csrf-token") or form.pop("csrf", "")
            # Compared in a time that does not depend on where they differ.
            known = hmac.compare_digest(given.encode(), csrf.encode())
            if visitor is None or not _is_ours(request) or not known:
                return PlainTextResponse(
                    "this form is not of this visit; go back, load the page again, and send it", 403
                )
        visit = Visit(client, None, frozenset(), csrf, form, credential is not None)
        request.scope[VISIT] = visit
        if request.url.path == SIGN_IN:
            return None
        return await self._unknown(request, visit)

    async def _unknown(self, request: Request, visit: Visit) -> Response | None:
        """Finds out who visits; returns None, or the way to the sign-in, or what went wrong."""
        try:
            who = await visit.client.request("GET", "/v1/whoami")
            # Another site's name that points to this machine reaches it from elsewhere, too.
            if who["id"] == "open" and (
                self._exposed or not is_loopback(request.url.hostname or "")
            ):
                raise ApiError(
                    403,
                    "dashboard_exposed",
                    "the API asks nobody for a key, and this page can be reached from elsewhere. "
                    "Make a key with `copyloop keys create`, or set COPYLOOP_OPEN_TO_NETWORK=true "
                    "if something in front keeps strangers out",
                )
        except ClientError as error:
            if isinstance(error, ApiError) and error.status == UNKNOWN:
                place = SIGN_IN + "?next=" + quote(_here(request), safe="/")
                return RedirectResponse(place, 303)
            return await self._show_error(request, error)
        request.scope[VISIT] = visit._replace(caller=who["id"], scopes=frozenset(who["scopes"]))
        return None


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise ValueError(f"the form is larger than {MAX_FORM_BYTES} bytes")
    text = body.decode(errors="replace")
    fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
    # Browsers send lines ended by CR and LF, whatever they were.
    return {name: text.replace("\r\n", "\n") for name, text in fields}


def _is_readable(request: Request) -> bool:
    """Returns whether the addresses in the request's headers can be taken apart."""
    try:
        urlsplit(f"//{request.headers.get('host', '')}{request.url.path}")
        urlsplit(request.headers.get("origin", ""))
    except ValueError:
        return False
    return True


def _is_ours(request: Request) -> bool:
    """Returns whether the browser says that a page of ours sent this; old ones say nothing."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _here(request: Request) -> str:
    return own_page(quote(request.url.path, safe="/") + query_of(request))


def _nothing_here() -> Response:
    return PlainTextResponse(f"There is no such page; the first one is {PATH}", 404)


def _keeping(send: Send, request: Request, visitor: str) -> Send:
    """Returns a `send` that has the browser keep who visits: forms are made for a visitor."""
    kept = Response()
    keep(kept, request, VISITOR, visitor)

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("set-cookie", kept.headers["set-cookie"])
        await send(message)

    return answer


def _with_headers(send: Send, *, secure: bool) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
            if secure:
                headers["strict-transport-security"] = STRICT
        await send(message)

    return answer


async def _gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}
