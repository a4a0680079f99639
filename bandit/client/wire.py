"""What goes over the wire, as values: requests to send and answers that came, without a socket.

Both clients send what is made here and read with what is here, so they cannot differ.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from bandit.client.answers import Decision, SlotDecision, SlotDecisions, Source
from bandit.client.errors import ApiError, Unreachable

UNSIGNED: Final = "event_id_unsigned"
"""The code of who refuses an event id that is not of its making."""
JSON: Final = {"content-type": "application/json"}

_encode = msgspec.json.Encoder().encode


class Call(NamedTuple):
    """A request to be sent; one that is `repeatable` may be sent again if no answer came."""

    method: str
    path: str
    body: bytes = b""
    repeatable: bool = True
    headers: Mapping[str, str] = JSON


class Event(NamedTuple):
    """Which decision an outcome is of."""

    placement: str
    event_id: str


class _Chosen(Struct):
    id: str
    parts: dict[str, str] = {}


class _Likely(Struct):
    id: str
    propensity: float


class _Slot(Struct):
    slot: int
    id: str
    action: _Chosen
    index: int
    propensity: float
    pmf: list[_Likely]


class _Ranked(Struct):
    event_id: str
    placement: str
    action: _Chosen
    index: int
    propensity: float
    pmf: list[_Likely]
    policy_version: str
    logged: bool = True
    fallback: bool = False


class _RankedSlots(Struct):
    event_id: str
    placement: str
    slots: list[_Slot]
    policy_version: str
    logged: bool = True
    fallback: bool = False


class _Details(Struct):
    code: str
    message: str
    target: str | None = None


class _Refusal(Struct):
    error: _Details


class RefusedItem(Struct):
    """One outcome of a bulk request that was not taken."""

    index: int
    code: str
    message: str
    target: str | None = None


class Taken(Struct):
    """The answer to outcomes in bulk."""

    accepted: int
    refused: list[RefusedItem] = []


_Answer = TypeVar("_Answer")

_ranked: msgspec.json.Decoder[_Ranked] = msgspec.json.Decoder(_Ranked)
_ranked_slots: msgspec.json.Decoder[_RankedSlots] = msgspec.json.Decoder(_RankedSlots)
_taken: msgspec.json.Decoder[Taken] = msgspec.json.Decoder(Taken)
_refusal: msgspec.json.Decoder[_Refusal] = msgspec.json.Decoder(_Refusal)


def new_event_id() -> str:
    """Returns an event id as the API makes them: by it a request that is sent again is known."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def rank_call(
    placement: str,
    context: Mapping[str, Any],
    actions: Sequence[Mapping[str, Any]] | None,
    deferred: bool,
    event_id: str | None,
    *,
    slots: Sequence[Mapping[str, Any]] | None = None,
) -> Call:
    """Returns the request for a decision, which may be sent again if it has an event id."""
    body: dict[str, object] = {"context": context}
    if event_id is not None:
        body["event_id"] = event_id
    if actions is not None:
        body["actions"] = actions
    if slots is not None:
        body["slots"] = slots
    if deferred:
        body["deferred"] = True
    path = f"{placement_path(placement)}/rank"
    return Call("POST", path, _encode(body), repeatable=event_id is not None)


def outcome_body(
    kind: str, value: float, *, outcome_id: str | None, slot: int
) -> dict[str, object]:
    """Returns what happened, as the API takes it."""
    body: dict[str, object] = {"kind": kind, "value": value, "slot": slot}
    return body if outcome_id is None else body | {"outcome_id": outcome_id}


def outcome_call(event: Event, body: Mapping[str, object]) -> Call:
    """Returns the request that hands in one outcome now."""
    where = f"{placement_path(event.placement)}/events/{quote(event.event_id, safe='')}"
    return Call("POST", f"{where}/outcomes", _encode(body))


def outcome_item(event: Event, body: Mapping[str, object], now_ms: int) -> dict[str, object]:
    """Returns one outcome for `outcomes_call`: it may be sent later, so it says when it was."""
    return {
        "placement": event.placement,
        "event_id": event.event_id,
        "timestamp_ms": now_ms,
        **body,
    }


def outcomes_call(items: Sequence[object]) -> Call:
    """Returns the request that hands in outcomes, of whichever events and placements."""
    return Call("POST", "/v1/outcomes", _encode(items))


def any_call(method: str, path: str, body: object, headers: Mapping[str, str] | None) -> Call:
    """Returns a request of any route; a POST is repeatable with an `Idempotency-Key` only."""
    named = {name.lower(): value for name, value in (headers or {}).items()}
    repeatable = method != "POST" or "idempotency-key" in named
    data = b"" if body is None else _encode(body)
    return Call(method, path, data, repeatable, {**JSON, **named})


def decision_of(payload: bytes) -> Decision:
    """Returns the decision that an answer to rank holds."""
    found = _read(_ranked, payload)
    return Decision(
        event_id=found.event_id,
        placement=found.placement,
        creative_id=found.action.id,
        parts=found.action.parts,
        index=found.index,
        propensity=found.propensity,
        pmf=_pmf(found.pmf),
        policy_version=found.policy_version,
        source=_source(found.fallback),
        logged=found.logged,
    )


def slot_decisions_of(payload: bytes) -> SlotDecisions:
    """Returns the decisions that an answer to rank with slots holds."""
    found = _read(_ranked_slots, payload)
    return SlotDecisions(
        event_id=found.event_id,
        placement=found.placement,
        slots=tuple(
            SlotDecision(
                slot=slot.slot,
                id=slot.id,
                creative_id=slot.action.id,
                parts=slot.action.parts,
                index=slot.index,
                propensity=slot.propensity,
                pmf=_pmf(slot.pmf),
            )
            for slot in found.slots
        ),
        policy_version=found.policy_version,
        source=_source(found.fallback),
        logged=found.logged,
    )


def taken_of(payload: bytes) -> Taken:
    """Returns what an answer to outcomes in bulk says."""
    return _read(_taken, payload)


def unreachable(call: Call, error: httpx.TransportError) -> Unreachable:
    """Returns the error for a request that no answer came to."""
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    why = str(error) or type(error).__name__
    return Unreachable(f"{call.method} {call.path}: no answer ({why})", sent=not unsent)


def json_of(payload: bytes) -> Any:
    """Returns an answer's JSON, None where there is no body."""
    return msgspec.json.decode(payload) if payload else None


def refusal_of(status: int, headers: Mapping[str, str], payload: bytes) -> ApiError:
    """Returns the error that an answer of 400 or more is."""
    try:
        details = _refusal.decode(payload).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        details = _Details("not_ours", payload[:200].decode(errors="replace"))
    return ApiError(
        status,
        details.code,
        details.message,
        target=details.target,
        retry_after_seconds=_seconds(headers.get("retry-after")),
    )


def placement_path(name: str) -> str:
    """Returns the path of a placement.

    >>> placement_path("a/b")
    '/v1/placements/a%2Fb'
    """
    return f"/v1/placements/{quote(name, safe='')}"


def _pmf(entries: Sequence[_Likely]) -> dict[str, float]:
    return {entry.id: entry.propensity for entry in entries}


def _source(fallback: bool) -> Source:
    return "baseline" if fallback else "policy"


def _read(decoder: msgspec.json.Decoder[_Answer], payload: bytes) -> _Answer:
    """Returns the answer; raises `ApiError` for what is none of ours, such as a proxy's page."""
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = payload[:200].decode(errors="replace")
        raise ApiError(200, "not_ours", f"{error}: {said}") from error


def _seconds(header: str | None) -> float | None:
    # A date is allowed there too; nobody who answers here sends one.
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
