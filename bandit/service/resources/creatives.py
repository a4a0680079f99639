"""The admin routes of creatives: to add them, to look at them, and to let them go."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from bandit.errors import RequestError
from bandit.features import creative_features
from bandit.service.resources.creative_models import CreativeBody, CreativeChange, CreativeView
from bandit.service.resources.desk import After, Desk, Limit, Placed, page_of
from bandit.service.resources.editor import Editor
from bandit.service.resources.models import Page, raw_json
from bandit.service.resources.placement_models import to_caps
from streams.events import Creative, CreativeStatus

TRANSITIONS: Final[dict[CreativeStatus, tuple[CreativeStatus, ...]]] = {
    "proposed": ("screened", "rejected"),
    "screened": ("live", "rejected"),
    "live": ("paused", "retired", "rejected"),
    "paused": ("live", "retired", "rejected"),
    "retired": ("rejected",),
    "rejected": (),
}
"""From which status a creative may go to which."""
MAX_CREATIVES: Final = 1000

router = APIRouter(prefix="/v1/placements", tags=["admin"])


@router.get("/{placement}/creatives")
async def list_creatives(
    desk: Desk,
    name: Placed,
    limit: Limit = 100,
    after: After = None,
    status: Annotated[CreativeStatus | None, Query(description="Only those.")] = None,
) -> Page[CreativeView]:
    """The placement's creatives, in the order in which they came."""
    desk.placement(name)
    found = [c for c in desk.catalogue.creatives(name) if status is None or c.status == status]
    page, following = page_of(found, limit, after, lambda creative: creative.id)
    return Page(items=[CreativeView.of(creative) for creative in page], next=following)


@router.post("/{placement}/creatives", status_code=201)
async def add_creatives(
    desk: Desk, name: Placed, body: CreativeBody | list[CreativeBody]
) -> Page[CreativeView]:
    """Adds one creative or many: all of them, or none."""
    bodies = body if isinstance(body, list) else [body]
    if not 0 < len(bodies) <= MAX_CREATIVES:
        raise RequestError(
            422, "body_invalid", f"{len(bodies)} creatives; expected 1 to {MAX_CREATIVES} at a time"
        )
    desk.placement(name)
    # The first text embedding loads its weights, which would hold up every other request.
    creatives = await run_in_threadpool(_creatives, name, bodies, desk.clock_ms())
    async with desk.turn:
        _check_new(desk, creatives)
        await desk.write(creatives)
    return Page(items=[CreativeView.of(creative) for creative in creatives], next=None)


@router.get("/{placement}/creatives/{creative_id:path}")
async def read_creative(desk: Desk, name: Placed, creative_id: str) -> CreativeView:
    """One creative."""
    return CreativeView.of(desk.creative(name, creative_id))


@router.patch("/{placement}/creatives/{creative_id:path}")
async def change_creative(
    desk: Desk, name: Placed, creative_id: str, body: CreativeChange
) -> CreativeView:
    """Changes the creative's status, or its caps.

    `proposed` may become `screened`, that `live`, that `paused` and back; either may be
    `retired`; all may be `rejected`, with a reason.
    """
    if body.status == "rejected" and not body.reason:
        raise RequestError(
            422, "reason_missing", "a rejection needs a reason, as `code: words`", target="reason"
        )
    async with desk.turn:
        before = desk.creative(name, creative_id)
        caps = to_caps(body.caps) or before.caps
        after = msgspec.structs.replace(before, status=body.status, reason=body.reason, caps=caps)
        if after == before:
            return CreativeView.of(before)
        if body.status not in (before.status, *TRANSITIONS[before.status]):
            possible = ", ".join(TRANSITIONS[before.status]) or "nothing any more"
            raise RequestError(
                409,
                "status_transition_invalid",
                f"creative {creative_id!r} is {before.status} and cannot become {body.status}; "
                f"it can become {possible}",
                target="status",
            )
        await desk.write([after])
    return CreativeView.of(after)


def _creatives(placement: str, bodies: Sequence[CreativeBody], now_ms: int) -> list[Creative]:
    return [
        Creative(
            id=body.id or _id_of_text(body.parts),
            placement=placement,
            parts=body.parts,
            status=body.status,
            timestamp_ms=now_ms,
            features=creative_features(body.parts)
            if body.features is None
            else raw_json(body.features),
            caps=to_caps(body.caps),
        )
        for body in bodies
    ]


def _id_of_text(parts: dict[str, str]) -> str:
    """Returns an id by which the same text is the same creative."""
    text = msgspec.json.encode(parts, order="sorted")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _check_new(desk: Editor, creatives: Sequence[Creative]) -> None:
    seen: set[str] = set()
    for creative in creatives:
        known = desk.catalogue.creative(creative.placement, creative.id)
        if known is not None or creative.id in seen:
            raise RequestError(
                409,
                "creative_exists",
                f"placement {creative.placement!r} has a creative {creative.id!r} already, or it "
                "comes twice; PATCH changes its status",
                target="id",
            )
        seen.add(creative.id)
