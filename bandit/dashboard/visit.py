"""A request's visitor: the credential, the scopes, and the token that forms carry.

All of it comes with the request, in cookies, so any copy of this process can answer it. The
credential is in a cookie that scripts cannot read and other sites cannot have sent.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from bandit.client import AsyncClient

CREDENTIAL: Final = "copyloop_credential"
VISITOR: Final = "copyloop_visitor"
TOLD: Final = "copyloop_told"
PATH: Final = "/ui"
MAX_CREDENTIAL: Final = 3800
"""Characters; browsers keep no cookie of more than 4096 with its name and attributes."""
MAX_VISITOR: Final = 64
MAX_TOLD: Final = 4096
_VISIBLE: Final = re.compile("[!-~]+")
VISIT: Final = "copyloop.visit"
"""Where the ASGI scope holds the visit."""


class Visit(NamedTuple):
    """One request's visitor.

    Attributes:
        client: asks the API as this visitor.
        caller: who the API says that is; None before signing in.
        scopes: what they may.
        csrf: what their forms must carry.
        form: what a POST brought, its token checked.
        signed_in: whether there is a credential to forget.
    """

    client: AsyncClient
    caller: str | None
    scopes: frozenset[str]
    csrf: str
    form: Mapping[str, str]
    signed_in: bool

    def may(self, scope: str) -> bool:
        """Returns whether the visitor has the scope: view, review, operate or admin."""
        return scope in self.scopes


def page_at(*names: str) -> str:
    """Returns the path of a page.

    >>> page_at("placements", "a/b")
    '/ui/placements/a%2Fb'
    """
    return "/".join((PATH, *(quote(name, safe="") for name in names)))


def is_ours(path: str) -> bool:
    """Returns whether a path is one of the pages'."""
    return path == PATH or path.startswith(f"{PATH}/")


def own_page(address: str) -> str:
    """Returns an address if it is of a page of ours, and that of the first page otherwise.

    Browsers take `..` for the folder above, however it is spelled, and a backslash for a slash.

    >>> own_page("/ui/placements/a%2Fb?range=day"), own_page("//evil.example/ui")
    ('/ui/placements/a%2Fb?range=day', '/ui')
    >>> own_page("/ui/../v1/keys"), own_page("/ui/%2E%2e//evil.example")
    ('/ui', '/ui')
    """
    path = re.split("[?#]", address, maxsplit=1)[0]
    steps = unquote(path).split("/")
    sound = address.isprintable() and "\\" not in address and not {".", ".."} & {*steps}
    return address if sound and is_ours(path) else PATH


def query_of(request: Request) -> str:
    """Returns the request's query with its question mark, empty if there is none."""
    return f"?{request.url.query}" if request.url.query else ""


def visit_of(request: Request) -> Visit:
    """Returns who visits; the middleware has found it out."""
    found: Visit = request.scope[VISIT]
    return found


def csrf_token(visitor: str, credential: str | None) -> str:
    """Returns the token of a visitor's forms: theirs alone, and another once they sign in.

    >>> csrf_token("v", None) == csrf_token("v", "key")
    False
    """
    message = f"form {credential or ''}".encode()
    return hmac.new(visitor.encode(), message, hashlib.sha256).hexdigest()


def credential_of(request: Request) -> str | None:
    """Returns the credential that the visitor's cookie holds, None if it is none that we keep."""
    return _cookie(request, CREDENTIAL, MAX_CREDENTIAL)


def visitor_of(request: Request) -> str | None:
    """Returns what the visitor is known again by, None if they bring nothing of ours."""
    return _cookie(request, VISITOR, MAX_VISITOR)


def told_of(request: Request) -> dict[str, Any] | None:
    """Returns what came of the visitor's last form, None if there is nothing to tell."""
    text = _cookie(request, TOLD, MAX_TOLD)
    try:
        told = None if text is None else json.loads(unquote(text))
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("text"), str):
        return None
    return {"text": told["text"], "refused": bool(told.get("refused"))}


def _cookie(request: Request, name: str, most: int) -> str | None:
    """Returns a cookie's value if it is of visible ASCII: all that we set, and headers may hold."""
    value = request.cookies.get(name, "")
    return value if len(value) <= most and _VISIBLE.fullmatch(value) else None


def keep(response: Response, request: Request, name: str, value: str, **options: Any) -> None:
    """Sets a cookie that scripts cannot read, other sites cannot send, and TLS alone carries."""
    response.set_cookie(
        name,
        value,
        path=PATH,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        **options,
    )


def forget(response: Response, request: Request, name: str) -> None:
    """Has the browser forget a cookie."""
    keep(response, request, name, "", max_age=0)
