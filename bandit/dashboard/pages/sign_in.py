"""Signing in with a key or a token of the API, and out."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bandit.client import ApiError, Unreachable
from bandit.dashboard.render import pages_of
from bandit.dashboard.visit import (
    CREDENTIAL,
    MAX_CREDENTIAL,
    PATH,
    forget,
    keep,
    own_page,
    visit_of,
)


async def show(request: Request) -> Response:
    """The form."""
    return _form(request, own_page(request.query_params.get("next", "")), None)


async def sign_in(request: Request) -> Response:
    """Asks the API who that is, and keeps the credential if it knows them."""
    form = visit_of(request).form
    credential, following = form.get("credential", "").strip(), own_page(form.get("next", ""))
    if not credential or not credential.isascii() or not credential.isprintable():
        return _form(request, following, "Give a key, or a token.", 422)
    if len(credential) > MAX_CREDENTIAL:
        words = f"That has {len(credential)} characters; browsers keep {MAX_CREDENTIAL} at most."
        return _form(request, following, words, 422)
    try:
        await visit_of(request).client.as_caller(credential).request("GET", "/v1/whoami")
    except ApiError as error:
        return _form(request, following, error.message, error.status)
    except Unreachable as error:
        return _form(request, following, f"The API gave no answer: {error}", 503)
    response = RedirectResponse(following, 303)
    keep(response, request, CREDENTIAL, credential)
    return response


async def sign_out(request: Request) -> Response:
    """Has the browser forget the credential."""
    response = RedirectResponse(f"{PATH}/sign-in", 303)
    forget(response, request, CREDENTIAL)
    return response


def _form(request: Request, following: str, error: str | None, status: int = 200) -> Response:
    return pages_of(request).show(request, "sign_in.html", status, following=following, error=error)


ROUTES: Final = [
    Route(f"{PATH}/sign-in", show),
    Route(f"{PATH}/sign-in", sign_in, methods=["POST"]),
    Route(f"{PATH}/sign-out", sign_out, methods=["POST"]),
]
