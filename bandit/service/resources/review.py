"""The admin route of review: what a person makes of a creative before anyone sees it."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from bandit.errors import RequestError
from bandit.features import creative_features
from bandit.review import WAITING
from bandit.service.resource import JsonBody
from bandit.service.resources.creatives import (
    CreativeView,
    OfCreative,
    ReviewBody,
    check_transition,
    creative_view,
)
from bandit.service.resources.desk import Desk, Matching, Once, Placed
from streams.catalogue import catalogue_key
from streams.events import Creative, CreativeStatus

router = APIRouter(prefix="/v1", tags=["creatives"])


@router.post("/placements/{placement}/creatives/{creative_id:path}/review")
async def review_creative(
    desk: Desk,
    name: Placed,
    creative_id: OfCreative,
    body: JsonBody[ReviewBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> CreativeView:
    """Approves, edits or rejects a creative that is `proposed` or `screened`.

    With `If-Match`, a text that somebody else edited meanwhile is not approved unread.
    """
    _check(body)
    parts = body.parts if body.verdict == "edit" else None
    features = None if parts is None else await run_in_threadpool(creative_features, parts)
    status: CreativeStatus = "rejected" if body.verdict == "reject" else "live"
    asked_for = creative_id

    def reviewed() -> list[Creative]:
        before = desk.creative(name, asked_for)
        if before.status not in WAITING:
            check_transition(before, status, ())
        after = msgspec.structs.replace(before, status=status, reason=body.reason)
        if parts is not None and features is not None:
            after = msgspec.structs.replace(after, parts=parts, features=features)
        return [after]

    await desk.change(
        [f"creative/{name}/{creative_id}"], reviewed, condition=condition, repeatable=once
    )
    creative = desk.creative(name, creative_id)
    response.headers["ETag"] = desk.tag(catalogue_key(creative))
    return creative_view(desk, creative)


def _check(body: ReviewBody) -> None:
    if body.verdict == "reject" and not body.reason:
        raise RequestError(
            422, "reason_missing", "a rejection needs a reason, as `code: words`", target="reason"
        )
    if (body.verdict == "edit") != (body.parts is not None):
        message = f"verdict {body.verdict!r} and parts: an edit needs its text, and only an edit"
        raise RequestError(422, "body_invalid", message, target="parts")
