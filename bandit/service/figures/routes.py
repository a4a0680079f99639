"""The routes of figures: at once as JSON, or as they change, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from bandit.errors import RequestError
from bandit.service.api.dependencies import Editing, Placed, Since, state_of
from bandit.service.auth.caller import check_placement
from bandit.service.figures.counts import HOUR_MS, MINUTE_MS
from bandit.service.figures.fold import FiguresFold
from bandit.service.figures.views import (
    FiguresView,
    GlanceView,
    OverviewView,
    Span,
    beliefs_of,
    figures_view,
    glance_view,
    live_view,
)
from streams.events.fields import whole_number

PATIENCE_SECONDS: Final = 5.0
"""How long a first question waits for the log to be read."""
BEAT_SECONDS: Final = 15.0
RETRY_MS: Final = 2000
MAX_STREAMS: Final = 100

router = APIRouter(prefix="/v1", tags=["figures"])


Figures = Annotated[FiguresFold, state_of("figures")]


@router.get("/placements/{placement}/figures", response_model=FiguresView)
async def read_figures(
    editor: Editing,
    figures: Figures,
    name: Placed,
    since_ms: Since = None,
    until_ms: Since = None,
    resolution: Annotated[
        Literal["minute", "hour"], Query(description="A day of minutes, or 30 days of hours.")
    ] = "minute",
    top: Annotated[
        int | None,
        Query(ge=1, le=1000, description="Points tell of so many creatives: the likeliest."),
    ] = None,
    creative: Annotated[
        list[str] | None, Query(description="Or of these only; may come several times.")
    ] = None,
) -> Response:
    """The placement's figures over time, by creative, segment and generator version.

    They are folded from the log in the process that is asked, from the first question on until
    nobody asks for ten minutes; the first waits for up to five seconds, and says in `complete`
    whether that was enough.
    """
    serving = editor.serving(name)
    complete = await run_in_threadpool(figures.wait, PATIENCE_SECONDS)
    span = Span(
        MINUTE_MS if resolution == "minute" else HOUR_MS,
        since_ms or 0,
        2**53 if until_ms is None else until_ms,
        creative,
        top,
    )

    def told() -> bytes:
        posteriors = beliefs_of(serving.policy, serving.actions)
        with figures.lock:
            tally = figures.tally(name)
            view = figures_view(
                name, tally, figures.since_ms, complete, span, editor.catalogue, posteriors
            )
        return msgspec.json.encode(view)

    # In a thread, JSON and all: of many creatives it takes a moment, and the loop has ranks to
    # answer.
    return Response(await run_in_threadpool(told), media_type="application/json")


@router.get("/overview")
async def read_overview(editor: Editing, figures: Figures) -> OverviewView:
    """Every placement at a glance: what it earned, and by how much that is more than chance."""
    complete = await run_in_threadpool(figures.wait, PATIENCE_SECONDS)
    every = (each.name for each in editor.catalogue.placements())
    names = sorted(name for name in every if editor.caller.may_ask(name))

    def glance(name: str) -> GlanceView:
        with figures.lock:
            return glance_view(name, figures.tally(name), editor.catalogue)

    # In a thread, and each by itself: intervals take a moment, and ranks are not to wait for all.
    items = [await run_in_threadpool(glance, name) for name in names]
    return OverviewView(since_ms=figures.since_ms, complete=complete, items=items)


@router.get(
    "/live",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_figures(
    request: Request,
    editor: Editing,
    figures: Figures,
    placement: Annotated[
        list[str] | None, Query(description="Only these; may come several times.")
    ] = None,
    creative: Annotated[
        list[str] | None, Query(description="Tell of these only; may come several times.")
    ] = None,
    interval_seconds: Annotated[
        float, Query(ge=0.25, le=60, description="At most one event a placement in that time.")
    ] = 1.0,
    once: Annotated[bool, Query(description="End after the first round.")] = False,
    last_event_id: Annotated[
        str | None, Header(description="Where a stream broke off: what changed since is sent.")
    ] = None,
) -> Response:
    """Figures as they change: events `figures`, each a placement's totals and changed minutes.

    An event's id is the log's time, by which any replica goes on where another's stream broke
    off. A comment comes every 15 seconds where nothing changes.
    """
    for name in placement or ():
        check_placement(editor.caller, name)
        editor.placement(name)
    since_ms = whole_number(last_event_id or "") or 0
    if figures.streams >= MAX_STREAMS:
        message = f"{MAX_STREAMS} streams are open, the most that may be; poll figures instead"
        raise RequestError(503, "too_many_streams", message)
    await run_in_threadpool(figures.wait, PATIENCE_SECONDS)
    seen: dict[str, tuple[int, int]] = {}

    def changed(names: list[str]) -> Iterator[str]:
        """Yields an event for each placement that changed since its last event."""
        for name in names:
            with figures.lock:
                tally = figures.tally(name)
                changes, changed_ms = seen.get(name, (None, since_ms))
                # Not by the time: several interactions may come in the same millisecond.
                if tally.changes == changes:
                    continue
                seen[name] = tally.changes, tally.changed_ms
                live = live_view(name, tally, creative, changed_ms)
            data = msgspec.json.encode(live).decode()
            yield f"event: figures\nid: {live.changed_ms}\ndata: {data}\n\n"

    async def told() -> AsyncIterator[str]:
        figures.streams += 1
        try:
            yield f"retry: {RETRY_MS}\n\n"
            beaten = time.monotonic()
            while not await request.is_disconnected():
                every = (each.name for each in editor.catalogue.placements())
                names = placement or [name for name in every if editor.caller.may_ask(name)]
                for event in changed(names):
                    beaten = time.monotonic()
                    yield event
                if once:
                    return
                if time.monotonic() - beaten > BEAT_SECONDS:
                    beaten = time.monotonic()
                    yield ": still here\n\n"
                await asyncio.sleep(interval_seconds)
        finally:
            figures.streams -= 1

    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)
