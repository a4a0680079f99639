"""The admin routes of placements.

They read the catalogue that this replica follows and change it by appending to the log; a
change is answered once it can be read back.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import UNSET, UnsetType

from bandit.errors import PolicySpecError, RequestError
from bandit.learning.versions import checked
from bandit.service.api.dependencies import (
    TAGGED,
    Conditional,
    Editing,
    Known,
    Listing,
    Matching,
    Placed,
    Protecting,
    answered,
    raw_body,
    refusing,
    tagged,
    unchanged,
)
from bandit.service.api.editor import Editor
from bandit.service.api.placement_bodies import (
    MERGED,
    PlacementBody,
    check_nothing_reset,
    patched,
)
from bandit.service.auth.privacy import PrivacyFilter
from bandit.service.errors import check_reachable
from bandit.service.resource import JsonBody, Page
from streams.catalogue.state import catalogue_key
from streams.catalogue.writer import Condition
from streams.events import Placement, PolicySpec
from streams.events.fields import doc

router = APIRouter(prefix="/v1/placements", tags=["placements"])


class PlacementPut(PlacementBody, frozen=True, kw_only=True):
    """A placement as it is to be; what `GET` answers can be sent back with changes."""

    examples = PlacementBody.examples

    name: Annotated[str | UnsetType, doc("As in the path, if it is there.")] = UNSET
    etag: Annotated[str | UnsetType, doc("Counts as `If-Match` where that is left out.")] = UNSET


class PlacementView(PlacementBody, frozen=True, kw_only=True):
    """A placement as it is now."""

    name: str
    policy: PolicySpec
    etag: Annotated[str, doc("For `If-Match`.")]


@router.get("", response_model=Page[PlacementView])
async def list_placements(
    editor: Editing,
    paging: Listing,
    prefix: Annotated[str, Query(description="What the name starts with.")] = "",
    policy: Annotated[str | None, Query(description="The policy's name.")] = None,
) -> Response:
    """The placements, by name."""
    found = [
        placement
        for placement in editor.catalogue.placements()
        if editor.caller.may_ask(placement.name)
        and placement.name.startswith(prefix)
        and policy in (None, placement.policy["name"])
    ]
    # By where the name would be: the placement that a page ended with may be gone.
    if paging.after is not None:
        found = found[bisect_right(found, paging.after, key=lambda each: each.name) :]
    rest = paging._replace(after=None)
    return await answered(
        rest.page(found, lambda each: each.name, partial(editor.view, PlacementView))
    )


@router.get("/{placement}", response_model=PlacementView, responses=TAGGED)
async def read_placement(
    editor: Editing, name: Placed, response: Response, known: Known = None
) -> Any:
    """One placement."""
    view = tagged(response, editor.view(PlacementView, editor.placement(name)))
    return unchanged(known, view.etag) or view


@router.put(
    "/{placement}", responses={201: {"description": "It was made.", "model": PlacementView}}
)
async def put_placement(
    editor: Editing,
    name: Placed,
    body: JsonBody[PlacementPut],
    request: Request,
    response: Response,
    condition: Conditional,
    protection: Protecting,
) -> PlacementView:
    """Makes the placement, or replaces what it is; its creatives stay.

    What the body does not name gets its default, but the policy, the shortlist and the number of
    corrections stay. So a body that would reset something is refused (428) without `If-Match`;
    `PATCH` changes what it names alone. A placement whose policy changes is served by the old one
    until the new one has learned from the log.
    """
    now = editor.catalogue.placement(name)
    if body.name not in (UNSET, name):
        message = f"the body names placement {body.name!r}, and the path {name!r}; make them one"
        raise RequestError(422, "body_invalid", message, target="name")
    if condition is None and body.etag is not UNSET:
        condition = Condition(frozenset({body.etag}))
    if now is None:
        check_reachable(name, "placement", as_flag=True)
    placement = _checked(body, name, now, protection)
    if now is not None and condition is None:
        check_nothing_reset(now, await request.json())
    return await _write(editor, placement, response, condition)


@router.patch("/{placement}", openapi_extra=raw_body(MERGED, "one", {"learn": "window"}))
async def patch_placement(
    editor: Editing,
    name: Placed,
    request: Request,
    response: Response,
    condition: Matching,
    protection: Protecting,
) -> PlacementView:
    """Changes what the body names, and nothing else (JSON Merge Patch, RFC 7396).

    Objects are merged; null takes a field back to its default, or a kind of outcome away.
    """
    now = editor.placement(name)
    body = patched(now, await request.body())
    seen = condition or Condition(frozenset({editor.view(PlacementView, now).etag}))
    return await _write(editor, _checked(body, name, now, protection), response, seen)


def _checked(
    body: PlacementBody, name: str, now: Placement | None, protection: PrivacyFilter
) -> Placement:
    with refusing((PolicySpecError, 422, "policy")):
        placement = checked(body.to_event(name, now))
        protection.check(placement)
    return placement


async def _write(
    editor: Editor, placement: Placement, response: Response, condition: Condition | None
) -> PlacementView:
    response.status_code = 201

    def replaced() -> list[Placement]:
        before = editor.catalogue.placement(placement.name)
        response.status_code = 201 if before is None else 200
        if before is None:
            return [placement]
        # What others keep with it is none of this route's business.
        kept = msgspec.structs.replace(placement, attributes=before.attributes)
        return [] if msgspec.structs.replace(before, why=UNSET) == kept else [kept]

    await editor.change([catalogue_key(placement)], replaced, condition=condition)
    return tagged(response, editor.view(PlacementView, placement))


@router.delete("/{placement}", status_code=204, response_class=Response)
async def delete_placement(editor: Editing, name: Placed, condition: Matching) -> None:
    """Ends the placement; what was logged for it stays, and so do its creatives."""

    def deleted() -> list[Placement]:
        return [msgspec.structs.replace(editor.placement(name), deleted=True)]

    await editor.change([f"placement/{name}"], deleted, condition=condition)
