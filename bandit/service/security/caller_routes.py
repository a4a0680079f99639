"""The route that tells a caller who it is to us: what a page asks before it offers an act."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from bandit.service.security.caller import caller_of
from streams.access import Scope

router = APIRouter(prefix="/v1", tags=["keys"])


class CallerView(BaseModel):
    """Whoever asks."""

    id: str = Field(description="`key:ID`, `jwt:SUBJECT`, or `open`: nothing is asked of anyone.")
    scopes: list[Scope] = Field(description="What they may, with all that it includes.")


@router.get("/whoami")
async def who_am_i(request: Request) -> CallerView:
    """Who asks, and what they may."""
    caller = caller_of(request.scope)
    return CallerView(id=caller.id, scopes=sorted(caller.scopes))
