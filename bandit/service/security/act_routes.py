"""The admin route for the record of acts."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from msgspec import Struct

from bandit.service.resource import Resource
from streams.access import Act
from streams.audit_log import read_acts
from streams.log import Log

acts_router = APIRouter(prefix="/v1/acts", tags=["keys"])


class ActPage(Struct, Resource, frozen=True):
    """Acts, oldest first; `next` is what to ask for as `since` to go on, null at the end."""

    items: list[Act]
    next: int | None


@acts_router.get("")
def list_acts(
    request: Request,
    since: Annotated[int, Query(ge=0, lt=2**53, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    who: Annotated[str | None, Query(description="Only theirs.")] = None,
) -> ActPage:
    """What people had the service do, oldest first; decisions are not among it."""
    log: Log = request.app.state.log
    found = list(islice(read_acts(log, since=since, who=who), limit))
    return ActPage(
        items=[act for _, act in found],
        next=found[-1][0] + 1 if len(found) == limit else None,
    )
