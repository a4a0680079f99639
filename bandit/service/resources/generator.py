"""The admin routes of the generator's versions: which there are, and which one speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response
from msgspec import Meta, Raw, Struct

from bandit.errors import GeneratorVersionError, GeneratorVersionUnknown
from bandit.generator_versions import StatusChange, promoted, rejected, rolled_back, touched
from bandit.service.resource import JsonBody, Page, Resource, view_of
from bandit.service.resources.desk import (
    TAGGED,
    After,
    Desk,
    Known,
    Limit,
    Matching,
    Once,
    page_of,
    refusing,
    unchanged,
)
from bandit.service.resources.editor import Editor
from streams.catalogue import catalogue_key
from streams.events import MAX_ID_LENGTH, Catalogued
from streams.fields import doc
from streams.generator_versions import GeneratorVersion, VersionStatus

_refusing = refusing(
    (GeneratorVersionUnknown, 404, "version"), (GeneratorVersionError, 409, "version")
)
router = APIRouter(prefix="/v1/generator", tags=["generator"])


class StepView(Struct, frozen=True, kw_only=True):
    """A status that it came to, and why."""

    status: VersionStatus
    timestamp_ms: int
    reason: str | None
    by: str | None


class GeneratorVersionView(GeneratorVersion, Resource, frozen=True, kw_only=True):
    """A version of the generator, and how far it has come."""

    steps: Annotated[list[StepView], doc("Every status that it came to, oldest first.")]
    etag: Annotated[str, doc("For `If-Match`.")]

    @classmethod
    def of(
        cls, version: GeneratorVersion, steps: Sequence[GeneratorVersion], tag: str
    ) -> GeneratorVersionView:
        """Returns the view of a version that took these steps, with this entity tag."""
        return view_of(
            cls,
            version,
            manifest=Raw(msgspec.json.encode(version.manifest_fields())),
            steps=[view_of(StepView, step) for step in steps],
            etag=tag,
        )


class WhyBody(Struct, Resource, frozen=True, kw_only=True):
    """Why; kept with the version."""

    examples = ({"why": "reads as one voice"},)

    why: Annotated[str, Meta(min_length=1, max_length=1000)] = "by hand"


class ChampionView(Struct, Resource, frozen=True):
    """Which version writes now; null: the bare model."""

    champion: GeneratorVersionView | None


OfVersion = Annotated[
    str, Path(alias="version_id", max_length=MAX_ID_LENGTH, description="The version's id.")
]
OfVersionStatus = Annotated[
    list[VersionStatus] | None, Query(description="Only these; may come several times.")
]


@router.get("/versions")
async def list_generator_versions(
    desk: Desk, limit: Limit = 100, after: After = None, status: OfVersionStatus = None
) -> Page[GeneratorVersionView]:
    """The versions of the generator, newest first."""
    found = [
        version
        for version in reversed(desk.catalogue.generator_versions())
        if not status or version.status in status
    ]
    page, following = page_of(found, limit, after, lambda version: version.id)
    return Page(items=[_view(desk, version) for version in page], next=following)


@router.get("/versions/{version_id}", response_model=GeneratorVersionView, responses=TAGGED)
async def read_generator_version(
    desk: Desk, version_id: OfVersion, response: Response, known: Known = None
) -> Any:
    """One version: how it was trained and judged, and what became of it."""
    version = desk.generator_version(version_id)
    tag = desk.tag(catalogue_key(version))
    response.headers["ETag"] = tag
    return unchanged(known, tag) or _view(desk, version)


@router.post("/versions/{version_id}/promote")
async def promote_generator_version(
    desk: Desk,
    version_id: OfVersion,
    body: JsonBody[WhyBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> GeneratorVersionView:
    """Makes a version the champion, whatever its canary says so far; the one before retires."""
    return await _changed(desk, version_id, promoted, body.why, condition, once, response)


@router.post("/versions/{version_id}/reject")
async def reject_generator_version(
    desk: Desk,
    version_id: OfVersion,
    body: JsonBody[WhyBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> GeneratorVersionView:
    """Rejects a version that is not the champion; its creatives retire."""
    return await _changed(desk, version_id, rejected, body.why, condition, once, response)


@router.post("/rollback")
async def roll_back_generator(
    desk: Desk, body: JsonBody[WhyBody], condition: Matching, once: Once
) -> ChampionView:
    """Takes the champion back: its creatives retire, and the version before it is live again."""
    champion = desk.catalogue.champion

    @_refusing
    def made() -> list[Catalogued]:
        return rolled_back(desk.catalogue, now_ms=desk.clock_ms(), by=desk.who, why=body.why)

    names = touched(desk.catalogue, "" if champion is None else champion.id)
    await desk.change(names, made, condition=condition, repeatable=once)
    now = desk.catalogue.champion
    return ChampionView(champion=None if now is None else _view(desk, now))


async def _changed(
    desk: Editor,
    version_id: str,
    change: StatusChange,
    why: str,
    condition: Matching,
    once: Once,
    response: Response,
) -> GeneratorVersionView:
    desk.generator_version(version_id)

    @_refusing
    def made() -> list[Catalogued]:
        return change(desk.catalogue, version_id, now_ms=desk.clock_ms(), by=desk.who, why=why)

    names = touched(desk.catalogue, version_id)
    await desk.change(names, made, condition=condition, repeatable=once)
    version = desk.generator_version(version_id)
    response.headers["ETag"] = desk.tag(catalogue_key(version))
    return _view(desk, version)


def _view(desk: Editor, version: GeneratorVersion) -> GeneratorVersionView:
    steps = desk.catalogue.generator_steps(version.id)
    return GeneratorVersionView.of(version, steps, desk.tag(catalogue_key(version)))
