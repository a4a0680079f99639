"""The admin routes of placements.

They read the catalogue that this replica follows and change it by appending to the log; a
change is answered once it can be read back.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from msgspec import UNSET

from bandit.errors import PolicySpecError
from bandit.service.resources.desk import (
    TAGGED,
    After,
    Conditional,
    Desk,
    Known,
    Limit,
    Matching,
    Placed,
    Protecting,
    refusing,
    unchanged,
)
from bandit.service.resources.models import Page
from bandit.service.resources.placement_models import PlacementBody, PlacementView
from bandit.versions import checked
from streams.catalogue import catalogue_key
from streams.events import Placement

router = APIRouter(prefix="/v1/placements", tags=["placements"])


@router.get("")
async def list_placements(
    desk: Desk,
    limit: Limit = 100,
    after: After = None,
    prefix: Annotated[str, Query(description="What the name starts with.")] = "",
    policy: Annotated[str | None, Query(description="The policy's name.")] = None,
) -> Page[PlacementView]:
    """The placements, by name."""
    found = [
        placement
        for placement in desk.catalogue.placements()
        if placement.name.startswith(prefix) and policy in (None, placement.policy["name"])
    ]
    # By where the name would be: the placement that a page ended with may be gone.
    start = 0 if after is None else bisect_right(found, after, key=lambda each: each.name)
    page = found[start : start + limit]
    return Page(
        items=[_view(desk, placement) for placement in page],
        next=page[-1].name if start + limit < len(found) else None,
    )


@router.get("/{placement}", response_model=PlacementView, responses=TAGGED)
async def read_placement(desk: Desk, name: Placed, response: Response, known: Known = None) -> Any:
    """One placement."""
    placement = desk.placement(name)
    tag = desk.tag(catalogue_key(placement))
    response.headers["ETag"] = tag
    return unchanged(known, tag) or _view(desk, placement)


@router.put(
    "/{placement}", responses={201: {"description": "It was made.", "model": PlacementView}}
)
async def put_placement(
    desk: Desk,
    name: Placed,
    body: PlacementBody,
    response: Response,
    condition: Conditional,
    protection: Protecting,
) -> PlacementView:
    """Makes the placement, or replaces what it is; its creatives stay.

    A placement whose policy changes is served by the old one until the new one has learned
    from the log; a policy that is left out stays. Without `If-Match`, the last one who writes wins.
    """
    now = desk.catalogue.placement(name)
    with refusing((PolicySpecError, 422, "policy")):
        placement = checked(body.to_event(name, now))
        protection.check(placement)
    response.status_code = 201

    def replaced() -> list[Placement]:
        before = desk.catalogue.placement(name)
        response.status_code = 201 if before is None else 200
        if before is None:
            return [placement]
        # What others keep with it is none of this route's business.
        kept = msgspec.structs.replace(placement, attributes=before.attributes)
        return [] if msgspec.structs.replace(before, why=UNSET) == kept else [kept]

    await desk.change([catalogue_key(placement)], replaced, condition=condition)
    response.headers["ETag"] = desk.tag(catalogue_key(placement))
    return _view(desk, placement)


@router.delete("/{placement}", status_code=204, response_class=Response)
async def delete_placement(desk: Desk, name: Placed, condition: Matching) -> None:
    """Ends the placement; what was logged for it stays, and so do its creatives."""

    def deleted() -> list[Placement]:
        return [msgspec.structs.replace(desk.placement(name), deleted=True)]

    await desk.change([f"placement/{name}"], deleted, condition=condition)


def _view(desk: Desk, placement: Placement) -> PlacementView:
    return PlacementView.of(placement, desk.tag(catalogue_key(placement)))
