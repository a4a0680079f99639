"""The admin routes of generations: to ask the generator for creatives, and see how it went."""

from __future__ import annotations

import secrets

from fastapi import APIRouter

from bandit.service.hot import new_id
from bandit.service.resources.desk import After, Desk, Limit, Placed, page_of
from bandit.service.resources.generation_models import GenerationBody, GenerationView
from bandit.service.resources.models import Page, raw_json
from streams.events import Generation

router = APIRouter(prefix="/v1/placements", tags=["admin"])


@router.get("/{placement}/generations")
async def list_generations(
    desk: Desk, name: Placed, limit: Limit = 100, after: After = None
) -> Page[GenerationView]:
    """The placement's generations, in the order in which they were asked for."""
    desk.placement(name)
    found = desk.catalogue.generations(name)
    page, following = page_of(found, limit, after, lambda generation: generation.id)
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
