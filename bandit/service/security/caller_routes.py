"""The route that tells a caller who it is to us: what a page asks before it offers an act."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from msgspec import Struct

from bandit.service.resource import Resource
from bandit.service.security.caller import caller_of
from streams.access import Scope
from streams.fields import doc

caller_router = APIRouter(prefix="/v1", tags=["keys"])


class CallerView(Struct, Resource, frozen=True):
    """Whoever asks."""

    id: Annotated[str, doc("`key:ID`, `jwt:SUBJECT`, or `open`: nothing is asked of anyone.")]
    scopes: Annotated[list[Scope], doc("What they may, with all that it includes.")]


@caller_router.get("/whoami")
async def who_am_i(request: Request) -> CallerView:
    """Who asks, and what they may."""
    caller = caller_of(request.scope)
    return CallerView(id=caller.id, scopes=sorted(caller.scopes))
