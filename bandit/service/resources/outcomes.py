"""The route that takes outcomes of many decisions and placements at once.

Each stands for itself: what is wrong with one is said beside its number, and the others are
taken. What was taken is in the log when the answer comes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Meta, Raw, Struct
from pydantic import BaseModel, Field

from bandit.errors import RequestError
from bandit.service.asgi import trace_of
from bandit.service.decide import serving_of
from bandit.service.record import Accepted, Recorder
from bandit.service.requests import Id, OneSlot, OutcomeId, OutcomeRequest
from streams.events import TimestampMs

MAX_OUTCOMES: Final = 1000

router = APIRouter(prefix="/v1", tags=["decisions"])


class OutcomeItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened after a decision of a placement, both named.

    A `kind` of `reward` brings the reward itself, in the placement's range; `activation`
    activates a deferred decision.
    """

    placement: str
    event_id: Id
    kind: Id
    value: float = 1.0
    outcome_id: OutcomeId | None = None
    timestamp_ms: (
        Annotated[TimestampMs, Meta(description="When it happened; now if left out.")] | None
    ) = None
    slot: OneSlot = 0


class RefusedView(BaseModel):
    """An outcome that was not taken: its number in the request, and why, as in any refusal."""

    index: int
    code: str = Field(description="Stable; branch on it.")
    message: str
    target: str | None


class TakenView(BaseModel):
    """How many outcomes were taken in, duplicates included, and which were not."""

    accepted: int
    refused: list[RefusedView]


def _recorder(request: Request) -> Recorder:
    found: Recorder = request.app.state.recorder
    return found


Recording = Annotated[Recorder, Depends(_recorder)]

_items: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])
_item: msgspec.json.Decoder[OutcomeItem] = msgspec.json.Decoder(OutcomeItem)
_EXAMPLE: Final = [
    {"placement": "home", "event_id": "01935d3ac1f0a9b4e0c2d7f85b61e3aa", "kind": "click"},
    {
        "placement": "home",
        "event_id": "01935d3ac1f0a9b4e0c2d7f85b61e3aa",
        "kind": "conversion",
        "value": 19.9,
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
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _SCHEMA,
                    "examples": {"two": {"value": _EXAMPLE}},
                }
            },
        }
    },
)
async def take_outcomes(request: Request, response: Response, recorder: Recording) -> TakenView:
    """Takes in what happened after decisions, of any events and placements: 202 if all was taken.

    Each outcome is judged by itself; 207 says which were refused. After a 5xx none was taken for
    sure: send all of them again, since one that came twice counts once.
    """
    trace, snapshots = trace_of(request.scope), request.app.state.snapshots
    accepted: list[Accepted] = []
    refused: list[RefusedView] = []
    for index, raw in enumerate(_list_of(await request.body())):
        try:
            item = _decoded(raw)
            placement = serving_of(snapshots, item.placement).placement
            said = OutcomeRequest(
                kind=item.kind,
                value=item.value,
                outcome_id=item.outcome_id,
                timestamp_ms=item.timestamp_ms,
                slot=item.slot,
            )
            accepted += recorder.accepted(placement, item.event_id, [said], trace)
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
