"""The admin routes of the generator: its versions, the briefs, and what was asked of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from fastapi import APIRouter, Path, Query, Response
from msgspec import Meta, Raw, Struct

from bandit.errors import GeneratorVersionError, GeneratorVersionUnknown, RequestError
from bandit.lifecycle import StatusChange, promoted, rejected, rolled_back, touched
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
    refusing,
    tagged,
    unchanged,
)
from bandit.service.api.editor import Editor
from bandit.service.decide import new_id
from bandit.service.resource import JsonBody, Page, Resource, Text, view_of
from streams.events import MAX_ID_LENGTH, Catalogued, Generation
from streams.events.creatives import GeneratorVersion, VersionStatus
from streams.events.fields import doc

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
    editor: Editing, paging: Listing, status: OfVersionStatus = None
) -> Page[GeneratorVersionView]:
    """The versions of the generator, newest first."""
    found = [
        version
        for version in reversed(editor.catalogue.generator_versions())
        if not status or version.status in status
    ]
    return paging.page(found, lambda each: each.id, partial(_view, editor))


@router.get("/versions/{version_id}", response_model=GeneratorVersionView, responses=TAGGED)
async def read_generator_version(
    editor: Editing, version_id: OfVersion, response: Response, known: Known = None
) -> Any:
    """One version: how it was trained and judged, and what became of it."""
    view = tagged(response, _view(editor, editor.generator_version(version_id)))
    return unchanged(known, view.etag) or view


@router.post("/versions/{version_id}/promote")
async def promote_generator_version(
    editor: Editing,
    version_id: OfVersion,
    body: JsonBody[WhyBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> GeneratorVersionView:
    """Makes a version the champion, whatever its canary says so far; the one before retires."""
    return await _changed(editor, version_id, promoted, body.why, condition, once, response)


@router.post("/versions/{version_id}/reject")
async def reject_generator_version(
    editor: Editing,
    version_id: OfVersion,
    body: JsonBody[WhyBody],
    response: Response,
    condition: Matching,
    once: Once,
) -> GeneratorVersionView:
    """Rejects a version that is not the champion; its creatives retire."""
    return await _changed(editor, version_id, rejected, body.why, condition, once, response)


@router.post("/rollback")
async def roll_back_generator(
    editor: Editing, body: JsonBody[WhyBody], condition: Matching, once: Once
) -> ChampionView:
    """Takes the champion back: its creatives retire, and the version before it is live again."""
    champion = editor.catalogue.champion

    @_refusing
    def made() -> list[Catalogued]:
        return rolled_back(editor.catalogue, now_ms=editor.clock_ms(), by=editor.who, why=body.why)

    names = touched(editor.catalogue, "" if champion is None else champion.id)
    await editor.change(names, made, condition=condition, repeatable=once)
    now = editor.catalogue.champion
    return ChampionView(champion=None if now is None else _view(editor, now))


async def _changed(
    editor: Editor,
    version_id: str,
    change: StatusChange,
    why: str,
    condition: Matching,
    once: Once,
    response: Response,
) -> GeneratorVersionView:
    editor.generator_version(version_id)

    @_refusing
    def made() -> list[Catalogued]:
        return change(
            editor.catalogue, version_id, now_ms=editor.clock_ms(), by=editor.who, why=why
        )

    names = touched(editor.catalogue, version_id)
    await editor.change(names, made, condition=condition, repeatable=once)
    return tagged(response, _view(editor, editor.generator_version(version_id)))


def _view(editor: Editor, version: GeneratorVersion) -> GeneratorVersionView:
    steps = editor.catalogue.generator_steps(version.id)
    return editor.view(
        GeneratorVersionView,
        version,
        manifest=Raw(msgspec.json.encode(version.manifest_fields())),
        steps=[view_of(StepView, step) for step in steps],
    )


generations_router = APIRouter(prefix="/v1", tags=["generations"])


class GenerationBody(Struct, Resource, frozen=True, kw_only=True):
    """A request for new creatives from a brief."""

    examples = (
        {
            "brief": {"product": "wool socks", "audience": "hikers"},
            "n": 20,
            "seed": 7,
            "winners": ["Warm feet, all winter"],
        },
    )

    brief: Raw
    n: Annotated[int, Meta(ge=1, le=1000, description="How many to write.")] = 10
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**31)] | None, doc("Chosen by chance if left out.")
    ] = None
    winners: Annotated[
        tuple[Text, ...], Meta(max_length=100, description="Texts that did well.")
    ] = ()


class GenerationView(Generation, Resource, frozen=True):
    """A generation, and how it went."""


class BriefView(Struct, Resource, frozen=True, kw_only=True):
    """A brief that creatives of a placement were asked for from, and what came of it."""

    id: Annotated[str, doc("A hash of the placement and the brief.")]
    placement: str
    brief: Raw
    first_ms: Annotated[int, doc("When it was first asked for.")]
    last_ms: int
    generations: Annotated[list[str], doc("Their ids, oldest first.")]
    waiting: Annotated[int, doc("How many of them are still `requested`.")]
    accepted: Annotated[int, doc("Creatives that passed the gates.")]
    rejected: int


Status: TypeAlias = Literal["requested", "done", "failed"]
OfStatus = Annotated[list[Status] | None, Query(description="Only these; may come several times.")]
OfPlacement = Annotated[str | None, Query(description="Of this placement.")]


@generations_router.get("/generations", response_model=Page[GenerationView])
async def list_all_generations(
    editor: Editing,
    paging: Listing,
    placement: OfPlacement = None,
    status: OfStatus = None,
    since_ms: Since = None,
) -> Response:
    """The generations of all placements, in the order in which they were asked for."""
    found = _wanted(editor.catalogue.generations(placement), status, since_ms)
    page = paging.page(found, lambda each: each.id, partial(view_of, GenerationView))
    return await answered(page)


@generations_router.get("/briefs", response_model=Page[BriefView])
async def list_briefs(
    editor: Editing,
    paging: Listing,
    placement: OfPlacement = None,
    since_ms: Since = None,
) -> Response:
    """The briefs that creatives were asked for from, each once a placement, oldest first."""
    found = _briefs(_wanted(editor.catalogue.generations(placement), None, since_ms))
    return await answered(paging.page(found, lambda brief: brief.id, lambda brief: brief))


@generations_router.get("/briefs/{brief_id}")
async def read_brief(editor: Editing, brief_id: str) -> BriefView:
    """One brief, with all that was generated from it."""
    for brief in _briefs(editor.catalogue.generations()):
        if brief.id == brief_id:
            return brief
    raise RequestError(404, "brief_not_found", f"there is no brief {brief_id!r}", target="brief")


@generations_router.get("/placements/{placement}/generations", response_model=Page[GenerationView])
async def list_generations(
    editor: Editing,
    name: Placed,
    paging: Listing,
    status: OfStatus = None,
    since_ms: Since = None,
) -> Response:
    """The placement's generations, in the order in which they were asked for."""
    editor.placement(name)
    return await list_all_generations(editor, paging, name, status, since_ms)


@generations_router.post("/placements/{placement}/generations", status_code=202)
async def request_generation(
    editor: Editing, name: Placed, body: JsonBody[GenerationBody], once: Once
) -> GenerationView:
    """Asks the generator for new creatives; they arrive in the catalogue when they are ready."""
    editor.placement(name)
    now_ms = editor.clock_ms()
    seed = secrets.randbelow(2**31) if body.seed is None else body.seed
    own = {"id": new_id(now_ms), "placement": name, "seed": seed}
    generation = view_of(Generation, body, **own, status="requested", timestamp_ms=now_ms)
    made = await editor.change([], lambda: [generation], repeatable=once)
    return next(view_of(GenerationView, event) for event in made if isinstance(event, Generation))


@generations_router.get("/placements/{placement}/generations/{generation_id}")
async def read_generation(editor: Editing, name: Placed, generation_id: str) -> GenerationView:
    """One generation: `requested`, then `done` or `failed`."""
    editor.placement(name)
    found = editor.catalogue.generation(generation_id)
    if found is None or found.placement != name:
        message = f"placement {name!r} has no generation {generation_id!r}"
        raise RequestError(404, "generation_not_found", message, target="generation")
    return view_of(GenerationView, found)


def _wanted(
    generations: Sequence[Generation], status: list[Status] | None, since_ms: int | None
) -> list[Generation]:
    return [
        generation
        for generation in generations
        if (not status or generation.status in status)
        and generation.timestamp_ms >= (since_ms or 0)
    ]


def _briefs(generations: Sequence[Generation]) -> list[BriefView]:
    """Returns the briefs of the generations: the same words for the same placement are one."""
    found: dict[str, list[Generation]] = {}
    for generation in generations:
        said = generation.placement.encode() + b"\0" + bytes(generation.brief)
        found.setdefault(hashlib.blake2b(said, digest_size=8).hexdigest(), []).append(generation)
    return [
        view_of(
            BriefView,
            asked[0],
            id=brief_id,
            first_ms=asked[0].timestamp_ms,
            last_ms=asked[-1].timestamp_ms,
            generations=[generation.id for generation in asked],
            waiting=sum(generation.status == "requested" for generation in asked),
            accepted=sum(generation.accepted for generation in asked),
            rejected=sum(generation.rejected for generation in asked),
        )
        for brief_id, asked in found.items()
    ]
