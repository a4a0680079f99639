"""The admin routes of creatives: to add them, to look at them, and to let them go."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
    After,
    Editing,
    Known,
    Limit,
    Matching,
    Once,
    Placed,
    Since,
    page_of,
    unchanged,
)
from bandit.service.api.editor import Editor
from bandit.service.resource import Id, JsonBody, Name, Page, Resource, Text, view_of
from streams.catalogue.state import catalogue_key
from streams.events import MAX_ID_LENGTH, Creative, CreativeStatus
from streams.events.fields import doc
from streams.events.placement import Caps

MAX_CREATIVES: Final = 1000

router = APIRouter(prefix="/v1", tags=["creatives"])


Parts = Annotated[
    dict[Name, Text], Meta(min_length=1, max_length=32, description="Its text, by part.")
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


OneOrMany: TypeAlias = Annotated[CreativeBody, Tag("CreativeBody")] | list[CreativeBody]


class CreativeChange(Struct, Resource, frozen=True, kw_only=True):
    """A change of a creative's status, a rejection with why, or of its caps."""

    examples = ({"status": "paused"},)

    status: Annotated[CreativeStatus | None, doc("As it was if left out.")] = None
    reason: Reason = None
    caps: Annotated[Caps | UnsetType, doc("As they were if left out.")] = UNSET


class CreativeView(Creative, Resource, frozen=True, kw_only=True):
    """A creative as it is now."""

    etag: Annotated[str, doc("For `If-Match`.")]

    @classmethod
    def of(cls, creative: Creative, tag: str) -> CreativeView:
        """Returns the view of a creative with this entity tag."""
        return view_of(cls, creative, etag=tag)


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


OfCreative = Annotated[
    str, Path(alias="creative_id", max_length=MAX_ID_LENGTH, description="The creative's id.")
]


class Wanted(Struct, frozen=True):
    """Which creatives a list is to have."""

    statuses: frozenset[CreativeStatus]
    since_ms: int
    generation: str | None
    model: str | None

    def keeps(self, creative: Creative) -> bool:
        """Returns whether this one is to be in it."""
        lineage = creative.lineage
        return (
            (not self.statuses or creative.status in self.statuses)
            and creative.timestamp_ms >= self.since_ms
            and self.generation in (None, lineage.generation_id)
            and self.model in (None, lineage.model, lineage.adapter)
        )


def _wanted(
    status: Annotated[
        list[CreativeStatus] | None, Query(description="Only these; may come several times.")
    ] = None,
    since_ms: Since = None,
    generation: Annotated[str | None, Query(description="Of this generation.")] = None,
    model: Annotated[str | None, Query(description="By this model or adapter.")] = None,
) -> Wanted:
    return Wanted(frozenset(status or ()), since_ms or 0, generation, model)


Filters = Annotated[Wanted, Depends(_wanted)]


@router.get("/creatives")
async def list_all_creatives(
    editor: Editing, wanted: Filters, limit: Limit = 100, after: After = None
) -> Page[CreativeView]:
    """The creatives of all placements, by placement, in the order in which they came."""
    found = [
        creative
        for placement in editor.catalogue.placements()
        for creative in editor.catalogue.creatives(placement.name)
        if wanted.keeps(creative)
    ]
    page, following = page_of(found, limit, after, catalogue_key)
    return Page(items=[creative_view(editor, creative) for creative in page], next=following)


@router.get("/placements/{placement}/creatives")
async def list_creatives(
    editor: Editing, name: Placed, wanted: Filters, limit: Limit = 100, after: After = None
) -> Page[CreativeView]:
    """The placement's creatives, in the order in which they came."""
    editor.placement(name)
    found = [creative for creative in editor.catalogue.creatives(name) if wanted.keeps(creative)]
    page, following = page_of(found, limit, after, lambda creative: creative.id)
    return Page(items=[creative_view(editor, creative) for creative in page], next=following)


@router.post("/placements/{placement}/creatives", status_code=201)
async def add_creatives(
    editor: Editing, name: Placed, body: JsonBody[OneOrMany], once: Once
) -> Page[CreativeView]:
    """Adds one creative or many: all of them, or none."""
    bodies = body if isinstance(body, list) else [body]
    if not 0 < len(bodies) <= MAX_CREATIVES:
        raise RequestError(
            422, "body_invalid", f"{len(bodies)} creatives; expected 1 to {MAX_CREATIVES} at a time"
        )
    editor.placement(name)
    # The first text embedding loads its weights, which would hold up every other request.
    creatives = await run_in_threadpool(_creatives, name, bodies, editor.clock_ms())

    def added() -> list[Creative]:
        _check_new(editor, creatives)
        return creatives

    made = await editor.change([catalogue_key(c) for c in creatives], added, repeatable=once)
    return Page(
        items=[creative_view(editor, event) for event in made if isinstance(event, Creative)],
        next=None,
    )


@router.get(
    "/placements/{placement}/creatives/{creative_id:path}",
    response_model=CreativeView,
    responses=TAGGED,
)
async def read_creative(
    editor: Editing, name: Placed, creative_id: OfCreative, response: Response, known: Known = None
) -> Any:
    """One creative."""
    creative = editor.creative(name, creative_id)
    tag = editor.tag(catalogue_key(creative))
    response.headers["ETag"] = tag
    return unchanged(known, tag) or creative_view(editor, creative)


@router.patch("/placements/{placement}/creatives/{creative_id:path}")
async def change_creative(
    editor: Editing,
    name: Placed,
    creative_id: OfCreative,
    body: JsonBody[CreativeChange],
    response: Response,
    condition: Matching,
) -> CreativeView:
    """Changes the creative's status, or its caps.

    `proposed` may become `screened`, that `live`, that `paused` and back; either may be
    `retired`; all may be `rejected`, with a reason. Without `If-Match`, what else changed about
    it meanwhile is kept.
    """
    if body.status == "rejected" and not body.reason:
        raise RequestError(
            422, "reason_missing", "a rejection needs a reason, as `code: words`", target="reason"
        )
    asked_for = creative_id

    def changed() -> list[Creative]:
        before = editor.creative(name, asked_for)
        status = body.status or before.status
        caps = body.caps or before.caps
        reason = body.reason if body.status else before.reason
        after = msgspec.structs.replace(before, status=status, reason=reason, caps=caps)
        if after == before:
            return []
        check_transition(before, status, (before.status, *TRANSITIONS[before.status]))
        return [after]

    await editor.change([f"creative/{name}/{creative_id}"], changed, condition=condition)
    creative = editor.creative(name, creative_id)
    response.headers["ETag"] = editor.tag(catalogue_key(creative))
    return creative_view(editor, creative)


def creative_view(editor: Editor, creative: Creative) -> CreativeView:
    """Returns the creative as it is answered, with its present tag."""
    return CreativeView.of(creative, editor.tag(catalogue_key(creative)))


def check_transition(
    creative: Creative, status: CreativeStatus, possible: Sequence[CreativeStatus]
) -> None:
    """Refuses a status that the creative cannot have next.

    Raises:
        RequestError: `status_transition_invalid`.
    """
    if status not in possible:
        others = ", ".join(each for each in possible if each != creative.status)
        raise RequestError(
            409,
            "status_transition_invalid",
            f"creative {creative.id!r} is {creative.status} and cannot become {status}; "
            f"it can become {others or 'nothing any more'}",
            target="status",
        )


def _creatives(placement: str, bodies: Sequence[CreativeBody], now_ms: int) -> list[Creative]:
    return [
        Creative(
            id=body.id or _id_of_text(body.parts),
            placement=placement,
            parts=body.parts,
            status=body.status,
            timestamp_ms=now_ms,
            features=creative_features(body.parts) if body.features is UNSET else body.features,
            caps=body.caps,
        )
        for body in bodies
    ]


def _id_of_text(parts: dict[str, str]) -> str:
    """Returns an id by which the same text is the same creative."""
    text = msgspec.json.encode(parts, order="sorted")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _check_new(editor: Editor, creatives: Sequence[Creative]) -> None:
    seen: set[str] = set()
    for creative in creatives:
        known = editor.catalogue.creative(creative.placement, creative.id)
        if known is not None or creative.id in seen:
            raise RequestError(
                409,
                "creative_exists",
                f"placement {creative.placement!r} has a creative {creative.id!r} already, or it "
                "comes twice; PATCH changes its status",
                target="id",
            )
        seen.add(creative.id)


@router.post("/placements/{placement}/creatives/{creative_id:path}/review")
async def review_creative(
    editor: Editing,
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
        before = editor.creative(name, asked_for)
        if before.status not in WAITING:
            check_transition(before, status, ())
        after = msgspec.structs.replace(before, status=status, reason=body.reason)
        if parts is not None and features is not None:
            after = msgspec.structs.replace(after, parts=parts, features=features)
        return [after]

    await editor.change(
        [f"creative/{name}/{creative_id}"], reviewed, condition=condition, repeatable=once
    )
    creative = editor.creative(name, creative_id)
    response.headers["ETag"] = editor.tag(catalogue_key(creative))
    return creative_view(editor, creative)


def _check(body: ReviewBody) -> None:
    if body.verdict == "reject" and not body.reason:
        raise RequestError(
            422, "reason_missing", "a rejection needs a reason, as `code: words`", target="reason"
        )
    if (body.verdict == "edit") != (body.parts is not None):
        message = f"verdict {body.verdict!r} and parts: an edit needs its text, and only an edit"
        raise RequestError(422, "body_invalid", message, target="parts")
