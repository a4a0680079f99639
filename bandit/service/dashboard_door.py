"""Where the API sends who asks it for the dashboard, which runs in a process of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from bandit.errors import RequestError

dashboard_router = APIRouter()


def _ui_port(request: Request) -> int:
    port: int = request.app.state.ui_port
    return port


@dashboard_router.get("/ui", include_in_schema=False)
@dashboard_router.get("/ui/{page:path}", include_in_schema=False)
async def to_dashboard(
    request: Request, port: Annotated[int, Depends(_ui_port)]
) -> RedirectResponse:
    """Goes to the same page of the dashboard, on the same host."""
    if not port:
        message = (
            "no dashboard runs beside this API: `copyloop up` starts one, or `copyloop bandit "
            "dashboard`, of which COPYLOOP_UI_PORT tells the API the port"
        )
        raise RequestError(404, "dashboard_absent", message)
    return RedirectResponse(str(request.url.replace(port=port)), 307)
