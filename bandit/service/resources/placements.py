"""The admin routes of placements.

They read the catalogue that this replica follows and change it by appending to the log; a
change is answered once it can be read back.
"""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Response
from msgspec import UNSET

from bandit.errors import PolicySpecError, RequestError
from bandit.service.resources.desk import After, Desk, Limit, Placed, page_of
from bandit.service.resources.models import Page
from bandit.service.resources.placement_models import PlacementBody, PlacementView
from bandit.versions import checked

router = APIRouter(prefix="/v1/placements", tags=["admin"])


@router.get("")
async def list_placements(
    desk: Desk, limit: Limit = 100, after: After = None
) -> Page[PlacementView]:
    """The placements, by name."""
    found = desk.catalogue.placements()
    page, following = page_of(found, limit, after, lambda placement: placement.name)
    return Page(items=[PlacementView.of(placement) for placement in page], next=following)


@router.get("/{placement}")
async def read_placement(desk: Desk, name: Placed) -> PlacementView:
    """One placement."""
    return PlacementView.of(desk.placement(name))


@router.put(
    "/{placement}", responses={201: {"description": "It was made.", "model": PlacementView}}
)
async def put_placement(
    desk: Desk, name: Placed, body: PlacementBody, response: Response
) -> PlacementView:
    """Makes the placement, or replaces what it is; its creatives stay.

    A placement whose policy changes is served by the old one until the new one has learned
    from the log.
    """
    try:
        placement = checked(body.to_event(name))
    except PolicySpecError as error:
        raise RequestError(422, error.code, str(error), target="policy") from error
    async with desk.turn:
        before = desk.catalogue.placement(name)
        if before is None or msgspec.structs.replace(before, why=UNSET) != placement:
            await desk.write([placement])
    response.status_code = 201 if before is None else 200
    return PlacementView.of(placement)


@router.delete("/{placement}", status_code=204, response_class=Response)
async def delete_placement(desk: Desk, name: Placed) -> None:
    """Ends the placement; what was logged for it stays, and so do its creatives."""
    async with desk.turn:
        await desk.write([msgspec.structs.replace(desk.placement(name), deleted=True)])
