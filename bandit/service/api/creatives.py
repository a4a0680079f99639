"""The admin routes of creatives: to add, list, change and review them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pydantic import Tag

from bandit.errors import RequestError
from bandit.features.flatten import creative_features
from bandit.lifecycle import TRANSITIONS, WAITING
from bandit.service.api.dependencies import (
    TAGGED,
    Editing,
    Known,
    Listing,
    Matching,
    Once,
    Placed,
    Since,
    answered,
    state_of,
    tagged,
    unchanged,
)
from bandit.service.api.editor import Editor
from bandit.service.errors import MANY, ONE, check_reachable
from bandit.service.resource import Id, JsonBody, Name, Page, Resource, Text, view_of
from bandit.service.screening import PostedScreen, check_posted
from streams.catalogue.state import catalogue_key
from streams.catalogue.writer import Condition, Repeatable
from streams.events import MAX_ID_LENGTH, AdDetails, Creative, CreativeStatus
from streams.events.fields import doc
from streams.events.placement import Caps

MAX_CREATIVES: Final = 1000

router = APIRouter(prefix="/v1", tags=["creatives"])


PartText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=10_000)]
Parts = Annotated[
    dict[Name, PartText], Meta(min_length=1, max_length=32, description="Its text, by part.")
]
Reason = Annotated[Text | None, doc("As `code: words`; needed to reject.")]


class CreativeBody(Struct, Resource, frozen=True, kw_only=True):
    """A creative written by hand, live unless it says otherwise."""

    examples = ({"id": "warm-feet", "parts": {"headline": "Warm feet, all winter"}},)

    id: Annotated[Id | None, doc("Made from the text if left out.")] = None
    parts: Parts
    features: Annotated[
        Raw | UnsetType, doc("What policies read; made from the text if left out.")
    ] = UNSET
    status: Literal["proposed", "screened", "live", "paused"] = "live"
    caps: Annotated[Caps | UnsetType, doc("In place of the placement's.")] = UNSET
    ad: Annotated[
        AdDetails | UnsetType, doc("What goes with the text: where a click leads, pins.")
    ] = UNSET


OneOrMany: TypeAlias = Annotated[CreativeBody, Tag(ONE)] | Annotated[list[CreativeBody], Tag(MANY)]


class CreativeChange(Struct, Resource, frozen=True, kw_only=True):
    """A change of a creative's status, a rejection with why, of its caps or its ad's details."""

    examples = ({"status": "paused"},)

    status: Annotated[CreativeStatus | None, doc("As it was if left out.")] = None
    reason: Reason = None
    caps: Annotated[Caps | UnsetType, doc("As they were if left out.")] = UNSET
    ad: Annotated[AdDetails | UnsetType, doc("As it was if left out.")] = UNSET


class CreativeView(Creative, Resource, frozen=True, kw_only=True):
    """A creative as it is now."""

    etag: Annotated[str, doc("For `If-Match`.")]


class ReviewBody(Struct, Resource, frozen=True, kw_only=True):
    """What a person makes of a creative that is not shown yet."""

    examples = (
        {"verdict": "approve"},
        {"verdict": "reject", "reason": "claims: not proven"},
        {"verdict": "edit", "parts": {"headline": "Warm feet on every trail"}},
    )

    verdict: Annotated[
        Literal["approve", "edit", "reject"],
        doc(
            "`approve` sets it live; `edit` replaces its text and sets it live; `reject` keeps it "
            "from being shown, for a `reason`."
        ),
    ]
    reason: Reason = None
    parts: Annotated[Parts | None, doc("Needed to edit.")] = None


Screening = Annotated[PostedScreen | None, state_of("screen")]
OfCreative = Annotated[
    str, Path(alias="creative_id", max_length=MAX_ID_LENGTH, description="The creative's id.")
]


def _filter(
    status: Annotated[
        list[CreativeStatus] | None, Query(description="Only these; may come several times.")
    ] = None,
    since_ms: Since = None,
    generation: Annotated[str | None, Query(description="Of this generation.")] = None,
    model: Annotated[str | None, Query(description="By this model or adapter.")] = None,
) -> Callable[[Creative], bool]:
    def keeps(creative: Creative) -> bool:
        lineage = creative.lineage
        return (
            (not status or creative.status in status)
            and creative.timestamp_ms >= (since_ms or 0)
            and generation in (None, lineage.generation_id)
            and model in (None, lineage.model, lineage.adapter)
        )

    return keeps


Filter = Annotated[Callable[[Creative], bool], Depends(_filter)]


@router.get("/creatives", response_model=Page[CreativeView])
async def list_all_creatives(editor: Editing, wanted: Filter, paging: Listing) -> Response:
    """The creatives of all placements, by placement, in the order in which they came."""
    found = [
        creative
        for placement in editor.catalogue.placements()
        for creative in editor.catalogue.creatives(placement.name)
        if wanted(creative)
    ]
    return await answered(paging.page(found, catalogue_key, partial(editor.view, CreativeView)))


@router.get("/placements/{placement}/creatives", response_model=Page[CreativeView])
async def list_creatives(
    editor: Editing, name: Placed, wanted: Filter, paging: Listing
) -> Response:
    """The placement's creatives, in the order in which they came."""
    editor.placement(name)
    found = [creative for creative in editor.catalogue.creatives(name) if wanted(creative)]
    page = paging.page(found, lambda each: each.id, partial(editor.view, CreativeView))
    return await answered(page)


@router.post(
    "/placements/{placement}/creatives", status_code=201, response_model=Page[CreativeView]
)
async def add_creatives(
    editor: Editing, name: Placed, body: JsonBody[OneOrMany], once: Once, screen: Screening
) -> Response:
    """Adds one creative or many: all of them, or none.

    The placement's `posted` says whether they are shown as they come, wait for a person, or are
    screened, and refused with `creative_refused` where they break its rules.
    """
    many = isinstance(body, list)
    bodies = body if isinstance(body, list) else [body]
    if not 0 < len(bodies) <= MAX_CREATIVES:
        raise RequestError(
            422, "body_invalid", f"{len(bodies)} creatives; expected 1 to {MAX_CREATIVES} at a time"
        )
    placement = editor.placement(name)
    for number, each in enumerate(bodies):
        place = f"{number}." if many else ""
        check_reachable(each.id or "", f"{place}id")
        _check_parts(each.parts, place)
        _check_ad(each.ad, place)
    parts = [each.parts for each in bodies]
    await run_in_threadpool(check_posted, screen, editor.catalogue, placement, parts, many=many)
    if placement.posted == "review":
        bodies = [_waiting(each) for each in bodies]
    # The first text embedding loads its weights, which would hold up every other request.
    creatives = await run_in_threadpool(_creatives, name, bodies, editor.clock_ms())

    def added() -> list[Creative]:
        _check_new(editor, creatives, many)
        return creatives

    made = await editor.change([catalogue_key(c) for c in creatives], added, repeatable=once)
    items = [editor.view(CreativeView, event) for event in made if isinstance(event, Creative)]
    return await answered(Page(items=items, next=None), 201)


@router.get(
    "/placements/{placement}/creatives/{creative_id:path}",
    response_model=CreativeView,
    responses=TAGGED,
)
async def read_creative(
    editor: Editing, name: Placed, creative_id: OfCreative, response: Response, known: Known = None
) -> Any:
    """One creative."""
    view = tagged(response, editor.view(CreativeView, editor.creative(name, creative_id)))
    return unchanged(known, view.etag) or view


@router.patch("/placements/{placement}/creatives/{creative_id:path}")
async def change_creative(
    editor: Editing,
    name: Placed,
    creative_id: OfCreative,
    body: JsonBody[CreativeChange],
    response: Response,
    condition: Matching,
) -> CreativeView:
    """Changes the creative's status, its caps, or what goes with its text.

    `proposed` may become `screened`, that `live`, that `paused` and back; either may be
    `retired`; all may be `rejected`, with a reason. Without `If-Match`, what else changed about
    it meanwhile is kept.
    """
    if body.status == "rejected":
        _check_reason(body.reason)
    _check_ad(body.ad)

    def changed(before: Creative) -> Creative:
        status = body.status or before.status
        _check_transition(before, status, (before.status, *TRANSITIONS[before.status]))
        reason = body.reason if body.status else before.reason
        caps = body.caps or before.caps
        ad = body.ad or before.ad
        return msgspec.structs.replace(before, status=status, reason=reason, caps=caps, ad=ad)

    return await _changed(editor, name, creative_id, changed, response, condition, None)


@router.post("/placements/{placement}/creatives/{creative_id:path}/review")
async def review_creative(
    editor: Editing,
    name: Placed,
    creative_id: OfCreative,
    body: JsonBody[ReviewBody],
    response: Response,
    condition: Matching,
    once: Once,
    screen: Screening,
) -> CreativeView:
    """Approves, edits or rejects a creative that is `proposed` or `screened`.

    With `If-Match`, a text that somebody else edited meanwhile is not approved unread. An edited
    text is screened where the placement screens what is posted.
    """
    if body.verdict == "reject":
        _check_reason(body.reason)
    if (body.verdict == "edit") != (body.parts is not None):
        message = f"verdict {body.verdict!r} and parts: an edit needs its text, and only an edit"
        raise RequestError(422, "body_invalid", message, target="parts")
    text: dict[str, Any] = {}
    if body.parts is not None:
        _check_parts(body.parts)
        placement = editor.placement(name)
        await run_in_threadpool(
            check_posted, screen, editor.catalogue, placement, [body.parts], many=False
        )
        features = await run_in_threadpool(creative_features, body.parts)
        text = {"parts": body.parts, "features": features}
    status: CreativeStatus = "rejected" if body.verdict == "reject" else "live"

    def reviewed(before: Creative) -> Creative:
        if before.status not in WAITING:
            _check_transition(before, status, ())
        return msgspec.structs.replace(before, status=status, reason=body.reason, **text)

    return await _changed(editor, name, creative_id, reviewed, response, condition, once)


async def _changed(
    editor: Editor,
    name: str,
    creative_id: str,
    change: Callable[[Creative], Creative],
    response: Response,
    condition: Condition | None,
    once: Repeatable | None,
) -> CreativeView:
    """Has the creative become what `change` makes of it as it is then, and returns it."""

    def changed() -> list[Creative]:
        before = editor.creative(name, creative_id)
        after = change(before)
        return [] if after == before else [after]

    await editor.change(
        [f"creative/{name}/{creative_id}"], changed, condition=condition, repeatable=once
    )
    return tagged(response, editor.view(CreativeView, editor.creative(name, creative_id)))


def _creatives(placement: str, bodies: Sequence[CreativeBody], now_ms: int) -> list[Creative]:
    return [
        view_of(
            Creative,
            body,
            id=body.id or _id_of_text(body.parts),
            placement=placement,
            timestamp_ms=now_ms,
            features=creative_features(body.parts) if body.features is UNSET else body.features,
        )
        for body in bodies
    ]


def _id_of_text(parts: dict[str, str]) -> str:
    """Returns an id by which the same text is the same creative."""
    text = msgspec.json.encode(parts, order="sorted")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _check_new(editor: Editor, creatives: Sequence[Creative], many: bool) -> None:
    seen: set[str] = set()
    for number, creative in enumerate(creatives):
        known = editor.catalogue.creative(creative.placement, creative.id)
        if known is not None or creative.id in seen:
            raise RequestError(
                409,
                "creative_exists",
                f"placement {creative.placement!r} has a creative {creative.id!r} already, or it "
                "comes twice; PATCH changes its status",
                target=f"{number}.id" if many else "id",
            )
        seen.add(creative.id)


def _check_ad(ad: AdDetails | UnsetType, place: str = "") -> None:
    problem = ad.problem() if ad else None
    if problem is not None:
        raise RequestError(422, "body_invalid", problem, target=f"{place}ad.final_url")


def _check_parts(parts: dict[str, str], place: str = "") -> None:
    for part, text in parts.items():
        if not text.strip():
            message = f"{part} is blank; write something or leave it out"
            raise RequestError(422, "body_invalid", message, target=f"{place}parts.{part}")


def _waiting(body: CreativeBody) -> CreativeBody:
    """Returns a creative that a person must approve before it is shown."""
    shown = body.status in ("live", "paused")
    return msgspec.structs.replace(body, status="screened") if shown else body


def _check_reason(reason: str | None) -> None:
    if not reason:
        message = "a rejection needs a reason, as `code: words`"
        raise RequestError(422, "reason_missing", message, target="reason")


def _check_transition(
    creative: Creative, status: CreativeStatus, possible: Sequence[CreativeStatus]
) -> None:
    if status not in possible:
        others = ", ".join(each for each in possible if each != creative.status)
        raise RequestError(
            409,
            "status_transition_invalid",
            f"creative {creative.id!r} is {creative.status} and cannot become {status}; "
            f"it can become {others or 'nothing any more'}",
            target="status",
        )
