"""Puts the dashboard together: the middleware, the pages, and what their scripts ask.

Scripts get the API's answers to GET, and its stream, from the pages' own origin with the visitor's
cookie, so no script ever holds a key.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from bandit.client import ApiError, AsyncClient, ClientError, Unreachable
from bandit.dashboard.assets import Assets
from bandit.dashboard.middleware import VisitMiddleware
from bandit.dashboard.pages import NAVIGATION, ROUTES
from bandit.dashboard.render import Pages, pages_of
from bandit.dashboard.visit import PATH, visit_of

logger = logging.getLogger(__name__)

NO_ANSWER: Final = 503
RETRY_MS: Final = 2000
_BELOW: Final = f"{PATH}/data/".encode()


def create_dashboard(client: AsyncClient, *, exposed: bool = False) -> ASGIApp:
    """Returns the ASGI application that serves the pages under `/ui`.

    Args:
        client: asks the API, without a credential; closed at the end.
        exposed: others than this machine reach it, and nobody said that this is meant; then it
            serves only those who show a key.

    Raises:
        SettingError: Plotly is not installed.
    """

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    assets = Assets()
    pages = Starlette(
        routes=[
            Route("/", _home),
            Route(PATH + "/", _home),
            *assets.routes,
            Route(f"{PATH}/data/{{path:path}}", _data),
            Route(f"{PATH}/live", _live),
            *ROUTES,
        ],
        exception_handlers={ClientError: _refused, 404: _refused},
        lifespan=life,
    )
    pages.state.pages = Pages(NAVIGATION, assets, client.url.rstrip("/"))

    async def show_error(request: Request, error: Exception) -> Response:
        request.scope["app"] = pages
        return await _refused(request, error)

    return VisitMiddleware(pages, client, exposed, show_error)


async def _home(request: Request) -> Response:
    return RedirectResponse(PATH, 307)


async def _refused(request: Request, error: Exception) -> Response:
    """Returns the page that says what went wrong, and what to do."""
    match error:
        case ApiError():
            status, code, words = error.status, error.code, error.message
        case ClientError():
            status, code, words = NO_ANSWER, "api_down", str(error)
        case _:
            status, code, words = 404, "not_found", "There is no such page."
    return pages_of(request).show(request, "error.html", status, code=code, words=words)


async def _data(request: Request) -> Response:
    """`/ui/data/X?…` answers as the API's `/v1/X?…` does."""
    # As it was sent: an escaped slash in a name is none between names.
    path = request.scope["raw_path"].removeprefix(_BELOW).decode("ascii")
    try:
        answer = await visit_of(request).client.answer(f"/v1/{path}{_query(request)}")
    except Unreachable as error:
        message = f"the API gave no answer: {error}"
        return JSONResponse({"error": {"code": "api_down", "message": message}}, 502)
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.content, answer.status_code, media_type=kind)


async def _live(request: Request) -> Response:
    """`/ui/live?placement=…` streams what the API's `/v1/live` does.

    A browser gives up on a stream that begins with an error, so what goes wrong is told in it:
    as an event `down`, after which the browser asks again.
    """
    last = request.headers.get("last-event-id")
    headers = {} if last is None else {"last-event-id": last}
    told = _told(request, headers)
    return StreamingResponse(
        told, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _told(request: Request, headers: dict[str, str]) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    try:
        path = f"/v1/live{_query(request)}"
        async with visit_of(request).client.stream(path, headers=headers) as answer:
            async for chunk in answer.aiter_raw():
                yield chunk
    except ClientError as error:
        logger.info("live: %s", error)
        yield b"event: down\ndata: {}\n\n"


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""
