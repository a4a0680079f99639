"""The route that looks a decision up in the log, with what came after it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from msgspec import Raw, Struct

from bandit.errors import RequestError
from bandit.service.resource import Resource, view_of
from bandit.service.resources.desk import Desk, Since
from streams.errors import EventError
from streams.events import DECISIONS, MAX_ID_LENGTH, OUTCOMES, Action, Decision, Outcome, decode
from streams.fields import doc
from streams.log import Log, Record
from streams.seek import Search, by_key

MAX_SCAN: Final = 50_000
"""How many records of a partition are read for one answer: a second or so at the most."""
EARLY_MS: Final = 10_000
"""By how much the log's clock may be behind that of whoever made the id."""
LATE_MS: Final = 3_600_000
"""How long after its id a decision is looked for: a spool may have held it up."""
_OURS: Final = re.compile(r"[0-9a-f]{32}(?:~.*)?")
"""An id that the API made, signed or not."""
_TIME_DIGITS: Final = 12

router = APIRouter(prefix="/v1", tags=["decisions"])


class DecisionView(Struct, frozen=True, kw_only=True):
    """A decision as the log has it; `place` is topic/partition@offset."""

    event_id: str
    slot: int
    placement: str
    timestamp_ms: int
    context: Raw
    actions: tuple[Action, ...]
    pmf: tuple[float, ...]
    index: int
    propensity: float
    policy_version: str
    deferred: bool
    place: str


class OutcomeView(Struct, frozen=True, kw_only=True):
    """Something that came after the decision, as the log has it; duplicates are told by the id."""

    outcome_id: str
    kind: str
    value: float
    slot: int
    timestamp_ms: int
    place: str


class EventView(Struct, Resource, frozen=True, kw_only=True):
    """All decisions of one event, one a slot, and the outcomes that came for it."""

    event_id: str
    decisions: list[DecisionView]
    outcomes: list[OutcomeView]
    outcomes_complete: Annotated[
        bool, doc("Whether all outcomes since the decision were looked through.")
    ]


@router.get("/decisions/{event_id:path}")
async def read_decision(
    desk: Desk,
    event_id: Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)],
    since_ms: Since = None,
) -> EventView:
    """One event's decisions and outcomes, from the log.

    No index is kept. An id that the API made begins with its time, so its records are found by
    halving: some 20 reads and the records of a moment. For an id of yours say with `since_ms` from
    when on to look, or the last hour is looked through. At most 50,000 records a partition are
    read; the refusal says up to where.
    """
    return await run_in_threadpool(_find, desk.log, event_id, since_ms, desk.clock_ms())


def _find(log: Log, event_id: str, since_ms: int | None, now_ms: int) -> EventView:
    from_ms, until_ms = _between(event_id, since_ms, now_ms)
    key = event_id.encode()
    search = by_key(log, DECISIONS, key, from_ms=from_ms, until_ms=until_ms, limit=MAX_SCAN)
    decisions = [
        (record, event) for record, event in _events(search.records) if isinstance(event, Decision)
    ]
    if not decisions:
        raise _not_found(event_id, from_ms, until_ms, search)
    # Outcomes may come before their decision, by as much as clocks and queues differ.
    came_ms = decisions[0][0].timestamp_ms - EARLY_MS
    later = by_key(log, OUTCOMES, key, from_ms=came_ms, until_ms=now_ms + LATE_MS, limit=MAX_SCAN)
    return EventView(
        event_id=event_id,
        decisions=[view_of(DecisionView, event, place=_place(at)) for at, event in decisions],
        outcomes=[
            view_of(OutcomeView, event, place=_place(record))
            for record, event in _events(later.records)
            if isinstance(event, Outcome)
        ],
        outcomes_complete=later.complete,
    )


def _between(event_id: str, since_ms: int | None, now_ms: int) -> tuple[int, int]:
    """Returns from when to when, by the log's time, the decision is looked for."""
    if since_ms is not None:
        return since_ms, now_ms + LATE_MS
    if _OURS.fullmatch(event_id):
        made_ms = int(event_id[:_TIME_DIGITS], 16)
        if made_ms <= now_ms + EARLY_MS:
            return max(made_ms - EARLY_MS, 0), made_ms + LATE_MS
    return now_ms - LATE_MS, now_ms + LATE_MS


def _not_found(event_id: str, from_ms: int, until_ms: int, search: Search) -> RequestError:
    stopped = "" if search.complete else f", and the first {MAX_SCAN} records a partition only"
    return RequestError(
        404,
        "decision_not_found",
        f"no decision {event_id!r} came into the log from {from_ms} to {until_ms} (ms){stopped}; "
        "say with since_ms from when on to look",
        target="event_id",
    )


def _events(records: Sequence[Record]) -> list[tuple[Record, Any]]:
    found = []
    for record in records:
        try:
            found.append((record, decode(record.value)))
        except EventError:  # whoever folds the topic lays it aside
            continue
    return found


def _place(record: Record) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
