"""The dashboard's application, and the process that serves it.

Scripts get the API's answers to GET, and its stream, from the pages' own origin with the visitor's
cookie, so no script ever holds a key.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from bandit.client import ApiError, AsyncClient, ClientError, Retries, Unreachable
from bandit.dashboard.middleware import VisitMiddleware
from bandit.dashboard.pages import evaluations, generator, health, placements, sign_in
from bandit.dashboard.render import Assets, PageRenderer, pages_of
from bandit.dashboard.visit import PATH, query_of, visit_of
from bandit.service.auth.tls_cors import edge_options, is_loopback
from bandit.service.settings import Settings
from bandit.service.workers.server import ReadyServer
from bandit.service.workers.supervise import BACKLOG, bound
from streams.events.fields import whole_number
from streams.process import stop_on_signals

logger = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 1
"""Streams never end by themselves; a browser opens them again."""
CONNECTIONS: Final = 200
PATIENCE_SECONDS: Final = 20.0
NO_ANSWER: Final = 503
RETRY_MS: Final = 2000
NAVIGATION: Final = [
    (PATH, "Overview"),
    (generator.REVIEW, "Review"),
    (generator.HERE, "Generator"),
    (evaluations.HERE, "Evaluations"),
    (health.HERE, "Health"),
]
"""The pages that are always in reach."""
_PAGES: Final = (placements, generator, evaluations, health, sign_in)
_AS_SENT: Final = "/%:@!$&'()*+,;=-._~"
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
            Route(PATH + "/", _home),
            *assets.routes,
            Route(f"{PATH}/data/{{path:path}}", _data),
            Route(f"{PATH}/live", _live),
            *(route for page in _PAGES for route in page.ROUTES),
        ],
        exception_handlers={ClientError: _refused, 404: _refused},
        lifespan=life,
    )
    pages.state.pages = PageRenderer(NAVIGATION, assets, client.url.rstrip("/"))

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
    path = quote(request.scope["raw_path"].removeprefix(_BELOW), safe=_AS_SENT)
    try:
        answer = await visit_of(request).client.answer(f"/v1/{path}{query_of(request)}")
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
    headers = {"last-event-id": str(last)} if whole_number(last or "") is not None else {}
    told = _told(request, headers)
    return StreamingResponse(
        told, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _told(request: Request, headers: dict[str, str]) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    try:
        path = f"/v1/live{query_of(request)}"
        async with visit_of(request).client.stream(path, headers=headers) as answer:
            async for chunk in answer.aiter_raw():
                yield chunk
    except ClientError as error:
        logger.info("live: %s", error)
        yield b"event: down\ndata: {}\n\n"


def serve_dashboard(settings: Settings, api_url: str) -> None:
    """Serves the pages until SIGTERM or SIGINT.

    Args:
        settings: the host and the port of the pages, and how TLS is spoken, as the API does.
        api_url: where the API is.

    Raises:
        SettingError: the address cannot be listened on, or Plotly is not installed.
    """
    stop = stop_on_signals()
    exposed = not is_loopback(settings.host) and not settings.open_to_network
    client = AsyncClient(
        api_url,
        timeout_seconds=PATIENCE_SECONDS,
        retries=Retries(attempts=1),
        http_options={
            "limits": httpx.Limits(max_connections=CONNECTIONS),
            "verify": _trust(settings),
            "trust_env": False,
        },
    )
    app = create_dashboard(client, exposed=exposed)
    # The middleware sets headers.
    tls = {name: value for name, value in edge_options(settings).items() if name != "headers"}
    with bound(settings, shared=False) as listening:
        listening.listen(BACKLOG)
        server = ReadyServer(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                **tls,
            )
        )
        host, port = listening.getsockname()[:2]
        scheme = "https" if settings.tls_cert else "http"
        logger.info("the dashboard is at %s://%s:%d/ui", scheme, host, port)
        server.should_exit = stop.is_set()
        server.run(sockets=[listening])


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    """Returns whom to take for the API: whoever has the certificate that we have, too.

    That certificate names the host that others ask, which need not be the one that we do; as no
    other certificate is taken, the name says nothing more.
    """
    if settings.tls_cert is None:
        return True
    edge_options(settings)  # says which file is missing
    context = ssl.create_default_context(cafile=str(settings.tls_cert))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    if settings.tls_client_ca is not None:
        password = settings.tls_key_password.reveal() or None
        context.load_cert_chain(str(settings.tls_cert), str(settings.tls_key), password)
    return context
