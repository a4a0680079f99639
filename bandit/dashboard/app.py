"""Puts the dashboard together: the door in front, the pages behind, one client for the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bandit.dashboard import relay
from bandit.dashboard.api import ApiDown, ApiRefused
from bandit.dashboard.assets import Assets
from bandit.dashboard.door import Door
from bandit.dashboard.pages import NAVIGATION, ROUTES
from bandit.dashboard.render import Pages, pages_of
from bandit.dashboard.visit import PATH

NO_ANSWER: Final = 503


def create_dashboard(client: httpx.AsyncClient, *, exposed: bool = False) -> ASGIApp:
    """Returns the ASGI application that serves the pages under `/ui`.

    Args:
        client: has the API's address as its base; closed at the end.
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
            *relay.ROUTES,
            *ROUTES,
        ],
        exception_handlers={ApiRefused: _refused, ApiDown: _refused, 404: _refused},
        lifespan=life,
    )
    pages.state.pages = Pages(NAVIGATION, assets, str(client.base_url).rstrip("/"))

    pages.state.client = client

    async def show_error(request: Request, error: Exception) -> Response:
        request.scope["app"] = pages
        return await _refused(request, error)

    return Door(pages, client, exposed, show_error)


async def _home(request: Request) -> Response:
    return RedirectResponse(PATH, 307)


async def _refused(request: Request, error: Exception) -> Response:
    """Returns the page that says what went wrong, and what to do."""
    match error:
        case ApiDown():
            status, code = NO_ANSWER, "api_down"
        case ApiRefused():
            status, code = error.status, error.code
        case _:
            status, code = 404, "not_found"
    words = "There is no such page." if code == "not_found" else str(error)
    return pages_of(request).show(request, "error.html", status, code=code, words=words)
