"""What scripts on the pages ask: the API's answers to GET, and its stream, handed through.

They come from the pages' own origin with the visitor's cookie, so no script ever holds a key.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bandit.dashboard.api import ApiDown, ApiRefused
from bandit.dashboard.visit import PATH, visit_of

logger = logging.getLogger(__name__)

RETRY_MS: Final = 2000
_BELOW: Final = f"{PATH}/data/".encode()


async def data(request: Request) -> Response:
    """`/ui/data/X?…` answers as the API's `/v1/X?…` does."""
    # As it was sent: an escaped slash in a name is none between names.
    path = request.scope["raw_path"].removeprefix(_BELOW).decode("ascii")
    try:
        answer = await visit_of(request).api.raw(f"/v1/{path}", request.url.query)
    except ApiDown as error:
        message = f"the API gave no answer: {error}"
        return JSONResponse({"error": {"code": "api_down", "message": message}}, 502)
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.content, answer.status_code, media_type=kind)


async def live(request: Request) -> Response:
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
    query = request.url.query
    yield f"retry: {RETRY_MS}\n\n".encode()
    try:
        async with visit_of(request).api.stream("/v1/live", query, headers) as answer:
            async for chunk in answer.aiter_raw():
                yield chunk
    except (ApiDown, ApiRefused) as error:
        logger.info("live: %s", error)
        yield b"event: down\ndata: {}\n\n"


ROUTES: Final = [Route(f"{PATH}/data/{{path:path}}", data), Route(f"{PATH}/live", live)]
