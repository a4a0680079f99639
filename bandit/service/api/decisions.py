"""The routes that look a decision up in the log, and that take outcomes in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import Raw, Struct

from bandit.errors import RequestError
from bandit.service.api.dependencies import Editing, Since, raw_body, state_of
from bandit.service.api.editor import Editor
from bandit.service.asgi import trace_of
from bandit.service.auth.caller import caller_of, check_placement
from bandit.service.decide import made_ms, serving_of
from bandit.service.record import Accepted, Recorder
from bandit.service.requests import Id, OutcomeRequest
from bandit.service.resource import Resource, view_of
from bandit.service.state import Snapshots
from streams.dead_letters import place_name
from streams.errors import EventError
from streams.events import (
    DECISIONS,
    MAX_ID_LENGTH,
    OUTCOMES,
    Action,
    Decision,
    Event,
    Outcome,
    Slate,
    Status,
    decode,
    each_decision,
)
from streams.events.fields import doc
from streams.inspect import by_key
from streams.join.explain import explain
from streams.join.state import Emitted
from streams.logs.base import Record

MAX_OUTCOMES: Final = 1000
MAX_SCAN: Final = 50_000
"""How many records of a partition are read for one answer: a second or so at the most."""
EARLY_MS: Final = 10_000
"""By how much the log's clock may be behind the clock of the process that made the id."""
LATE_MS: Final = 3_600_000
"""How long after its id a decision is looked for: a spool may have held it up."""

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
    verdict: Annotated[
        str,
        doc(
            "`counted`; `waiting` for its decision; `unknown_kind`: worth nothing; or why "
            "the join refused it, such as `late`, `orphan` or `duplicate_outcome`."
        ),
    ]
    why: Annotated[str, doc("The verdict in a sentence.")]


class InteractionView(Struct, frozen=True, kw_only=True):
    """What the join said of a decision by now."""

    slot: int
    status: Status
    reward: float
    timestamp_ms: int
    outcome_ids: list[str]


class EventView(Struct, Resource, frozen=True, kw_only=True):
    """All decisions of one event, one a slot, the outcomes that came, and what they amount to.

    Without a decision, outcomes wait for one, and are orphans once their window is over.
    """

    event_id: str
    decisions: list[DecisionView]
    outcomes: list[OutcomeView]
    interactions: Annotated[
        list[InteractionView], doc("What the join makes of them by the time of the log.")
    ]
    waits: Annotated[bool, doc("Whether an outcome that comes now may still count.")]
    outcomes_complete: Annotated[
        bool, doc("Whether all outcomes since the decision were looked through.")
    ]


@router.get("/decisions/{event_id:path}")
async def read_decision(
    editor: Editing,
    event_id: Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)],
    since_ms: Since = None,
) -> EventView:
    """One event's decisions and outcomes from the log, and why each outcome counts or does not.

    No index is kept. An id that the API made begins with its time, so its records are found by
    halving: some 20 reads and the records of a moment. For an id of yours say with `since_ms` from
    when on to look, or the last hour is looked through. At most 50,000 records a partition are
    read; the refusal says up to where.
    """
    return await run_in_threadpool(_find, editor, event_id, since_ms)


def _find(editor: Editor, event_id: str, since_ms: int | None) -> EventView:
    log, now_ms = editor.log, editor.clock_ms()
    from_ms, until_ms = _between(event_id, since_ms, now_ms)
    key = event_id.encode()
    # By the clock, and where the log's time is ahead of that, by as much later.
    for ahead_ms in sorted({0, log.time().ahead_ms}):
        between = {"from_ms": from_ms + ahead_ms, "until_ms": until_ms + ahead_ms}
        search = by_key(log, DECISIONS, key, **between, limit=MAX_SCAN)
        events = _events(search.records)
        decisions = [(at, event) for at, event in events if isinstance(event, Decision | Slate)]
        if decisions:
            break
    # Outcomes may come before their decision, by as much as clocks and queues differ.
    came_ms = decisions[0][0].timestamp_ms - EARLY_MS if decisions else from_ms
    at_ms = now_ms + ahead_ms
    later = by_key(log, OUTCOMES, key, from_ms=came_ms, until_ms=at_ms + LATE_MS, limit=MAX_SCAN)
    events = _events(later.records)
    outcomes = [(record, event) for record, event in events if isinstance(event, Outcome)]
    if not decisions and not outcomes:
        stopped = "" if search.complete else f", and the first {MAX_SCAN} records a partition only"
        raise RequestError(
            404,
            "decision_not_found",
            f"no decision {event_id!r} came into the log from {from_ms} to {until_ms} (ms)"
            f"{stopped}; say with since_ms from when on to look",
            target="event_id",
        )
    explained = explain(decisions, outcomes, editor.catalogue, at_ms)
    return EventView(
        event_id=event_id,
        decisions=[
            view_of(DecisionView, decision, place=place_name(*at[:3]))
            for at, event in decisions
            for decision in each_decision(event)
        ],
        outcomes=[
            view_of(OutcomeView, event, place=place_name(*record[:3]), verdict=code, why=why)
            for (record, event), (code, why) in zip(outcomes, explained.outcomes, strict=True)
        ],
        interactions=[_interaction(each) for each in explained.interactions],
        waits=explained.waits,
        outcomes_complete=later.complete,
    )


def _interaction(emitted: Emitted) -> InteractionView:
    joined = emitted.interaction
    return InteractionView(
        slot=emitted.slot,
        status=joined.status,
        reward=joined.reward,
        timestamp_ms=joined.timestamp_ms,
        outcome_ids=[outcome.outcome_id for outcome in joined.outcomes],
    )


def _between(event_id: str, since_ms: int | None, now_ms: int) -> tuple[int, int]:
    """Returns from when to when, by the log's time, the decision is looked for."""
    if since_ms is not None:
        return since_ms, now_ms + LATE_MS
    start_ms = made_ms(event_id)
    if start_ms is not None and start_ms <= now_ms + EARLY_MS:
        return max(start_ms - EARLY_MS, 0), start_ms + LATE_MS
    return now_ms - LATE_MS, now_ms + LATE_MS


def _events(records: Sequence[Record]) -> list[tuple[Record, Event]]:
    found = []
    for record in records:
        # The process that folds the topic puts a record that is no event among the dead letters.
        with suppress(EventError):
            found.append((record, decode(record.value)))
    return found


class OutcomeItem(OutcomeRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened after a decision of a placement, both named.

    A `kind` of `reward` brings the reward itself, in the placement's range; `activation`
    activates a deferred decision.
    """

    placement: str
    event_id: Id


class RefusedView(Struct, frozen=True, kw_only=True):
    """An outcome that was not taken: its number in the request, and why, as in any refusal."""

    index: int
    code: Annotated[str, doc("Stable; branch on it.")]
    message: str
    target: str | None


class TakenView(Struct, Resource, frozen=True, kw_only=True):
    """How many outcomes were taken in, duplicates included, and which were not."""

    accepted: int
    refused: list[RefusedView]


_items: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])
_item: msgspec.json.Decoder[OutcomeItem] = msgspec.json.Decoder(OutcomeItem)
_EXAMPLE: Final = [
    {"placement": "home", "event_id": "01935d3ac1f0a9b4e0c2d7f85b61e3aa", "kind": "click"},
    {
        "placement": "home",
        "event_id": "01935d3ac1f0a9b4e0c2d7f85b61e3aa",
        "kind": "reward",
        "value": 0.5,
        "outcome_id": "order-1",
    },
]
_SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_OUTCOMES,
    "items": {"$ref": "#/components/schemas/OutcomeItem"},
}


@router.post(
    "/outcomes",
    status_code=202,
    response_model=TakenView,
    responses={207: {"description": "Some were refused.", "model": TakenView}},
    openapi_extra=raw_body(_SCHEMA, "two", _EXAMPLE),
)
async def take_outcomes(
    request: Request,
    response: Response,
    recorder: Annotated[Recorder, state_of("recorder")],
    snapshots: Annotated[Snapshots, state_of("snapshots")],
) -> TakenView:
    """Takes in what happened after decisions, of any events and placements: 202 if all was taken.

    Each outcome is judged by itself; 207 says which were refused. After a 5xx none was taken for
    sure: send all of them again, since one that came twice counts once.
    """
    trace, caller = trace_of(request.scope), caller_of(request.scope)
    accepted: list[Accepted] = []
    refused: list[RefusedView] = []
    for index, raw in enumerate(_list_of(await request.body())):
        try:
            item = _decoded(raw)
            check_placement(caller, item.placement)
            placement = serving_of(snapshots, item.placement).placement
            accepted += recorder.accepted(placement, item.event_id, [item], trace)
        except RequestError as error:
            refused.append(
                RefusedView(index=index, code=error.code, message=str(error), target=error.target)
            )
    await recorder.write(accepted)
    response.status_code = 207 if refused else 202
    return TakenView(accepted=len(accepted), refused=refused)


def _list_of(body: bytes) -> list[Raw]:
    try:
        items = _items.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(422, "body_invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, "body_not_json", str(error)) from error
    if not 0 < len(items) <= MAX_OUTCOMES:
        message = f"{len(items)} outcomes; expected 1 to {MAX_OUTCOMES} at a time"
        raise RequestError(422, "outcomes_count_invalid", message)
    return items


def _decoded(raw: Raw) -> OutcomeItem:
    try:
        bytes(raw).decode()
        return _item.decode(raw)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        target = where.rstrip("`").lstrip(".") or None
        raise RequestError(422, "body_invalid", what, target=target) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(422, "body_invalid", str(error)) from error
