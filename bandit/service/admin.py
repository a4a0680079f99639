"""The admin routes: placements, their creatives, generations and policy.

They read the catalogue that this replica follows and change it by appending to the log; a
change is answered once it can be read back.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import UNSET

from bandit.errors import PolicySpecError, RequestError
from bandit.features import creative_features
from bandit.policy import Deciding
from bandit.service.editor import Editor
from bandit.service.hot import action_pmf, new_id
from bandit.service.models import (
    CreativeBody,
    CreativeChange,
    CreativeView,
    GenerationBody,
    GenerationView,
    Page,
    PlacementBody,
    PlacementView,
    PolicyView,
    PropensityView,
    TrialView,
    VerdictView,
    raw_json,
    to_caps,
)
from bandit.service.requests import parse_context
from bandit.versions import checked
from streams.events import MAX_ID_LENGTH, Creative, CreativeStatus, Generation

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


def _editor(request: Request) -> Editor:
    found: Editor = request.app.state.editor
    return found


Desk = Annotated[Editor, Depends(_editor)]
Placed = Annotated[
    str,
    Path(alias="placement", max_length=MAX_ID_LENGTH, description="The placement's name."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items, at most.")]
After = Annotated[str | None, Query(description="The last item of the page before.")]


@router.get("")
async def list_placements(
    desk: Desk, limit: Limit = 100, after: After = None
) -> Page[PlacementView]:
    """The placements, by name."""
    found = desk.catalogue.placements()
    page, following = _page(found, limit, after, lambda placement: placement.name)
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
    page, following = _page(found, limit, after, lambda creative: creative.id)
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


@router.get("/{placement}/generations")
async def list_generations(
    desk: Desk, name: Placed, limit: Limit = 100, after: After = None
) -> Page[GenerationView]:
    """The placement's generations, in the order in which they were asked for."""
    desk.placement(name)
    found = desk.catalogue.generations(name)
    page, following = _page(found, limit, after, lambda generation: generation.id)
    return Page(items=[GenerationView.of(generation) for generation in page], next=following)


@router.post("/{placement}/generations", status_code=202)
async def request_generation(desk: Desk, name: Placed, body: GenerationBody) -> GenerationView:
    """Asks the generator for new creatives; they arrive in the catalogue when they are ready."""
    desk.placement(name)
    now_ms = desk.clock_ms()
    generation = Generation(
        id=new_id(now_ms),
        placement=name,
        brief=raw_json(body.brief),
        n=body.n,
        seed=secrets.randbelow(2**31) if body.seed is None else body.seed,
        status="requested",
        timestamp_ms=now_ms,
        winners=tuple(body.winners),
    )
    await desk.write([generation])
    return GenerationView.of(generation)


@router.get("/{placement}/generations/{generation_id}")
async def read_generation(desk: Desk, name: Placed, generation_id: str) -> GenerationView:
    """One generation: `requested`, then `done` or `failed`."""
    return GenerationView.of(desk.generation(name, generation_id))


@router.get("/{placement}/policy")
async def read_policy(
    desk: Desk,
    name: Placed,
    context: Annotated[str, Query(description="A context, as JSON.")] = "{}",
) -> PolicyView:
    """The policy that is served, and its pmf over the live creatives in a context."""
    serving = desk.serving(name)
    policy = serving.policy
    seen, actions = parse_context(context), serving.actions
    if serving.constraints is not None:
        actions = serving.constraints.left(seen, actions, desk.clock_ms())
    allowed = {action.id for action in actions}
    # In the event loop's thread, as rank is: a policy is not asked from two threads at once.
    pmf = action_pmf(serving, seen, actions).tolist() if actions else []
    return PolicyView(
        placement=name,
        spec=policy.spec,
        version=serving.version,
        offset=int(serving.version.rpartition("@")[2]),
        age_ms=desk.clock_ms() - serving.snapshot_ms if serving.snapshot_ms else None,
        pmf=[
            PropensityView(id=action.id, propensity=propensity)
            for action, propensity in zip(actions, pmf, strict=True)
        ],
        capped=[action.id for action in serving.actions if action.id not in allowed],
        verdict=VerdictView(**policy.verdict(actions)._asdict())
        if actions and isinstance(policy, Deciding)
        else None,
        trials=[
            TrialView(name=each, **msgspec.structs.asdict(result))
            for each, result in serving.trials.items()
        ],
    )


_Item = TypeVar("_Item")


def _page(
    found: Sequence[_Item], limit: int, after: str | None, key: Callable[[_Item], str]
) -> tuple[Sequence[_Item], str | None]:
    """Returns the items that follow `after`, and what the next page comes after."""
    start = 0
    if after is not None:
        positions = [position for position, item in enumerate(found) if key(item) == after]
        if not positions:
            message = f"there is no item {after!r} to list after; start without `after`"
            raise RequestError(422, "after_invalid", message, target="after")
        start = positions[0] + 1
    page = found[start : start + limit]
    return page, key(page[-1]) if start + limit < len(found) else None


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
