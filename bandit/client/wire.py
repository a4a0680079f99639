"""Requests to send and answers that came, as values: what goes over the wire, without a socket."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec
from msgspec import Struct

from bandit.client.errors import ApiError, Unreachable

UNSIGNED: Final = "event_id_unsigned"
"""The code of who refuses an event id that is not of its making."""
JSON: Final = {"content-type": "application/json"}

_Http = TypeVar("_Http")


def _plain(value: object) -> object:
    """Returns what a number or an array of numpy, or of its like, is in plain Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {value!r:.100}")


encode: Final = msgspec.json.Encoder(enc_hook=_plain).encode

Source: TypeAlias = Literal["policy", "baseline"]
"""`policy` if the placement's policy chose, `baseline` if no policy did."""


class Decision(Struct, frozen=True, kw_only=True):
    """One choice among a placement's creatives, or among the actions that were brought.

    Attributes:
        event_id: what outcomes are reported by.
        placement: where it was made.
        creative_id: the chosen one.
        parts: its text by part, empty for an action that was brought.
        ad: what goes with the text, by field: `final_url`, `call_to_action` and so on.
        index: of the chosen one in `pmf`.
        propensity: how likely it was.
        pmf: how likely each was, by id.
        policy_version: whose choice it was, empty for a baseline that this client chose.
        source: `baseline` if no policy was asked, or none answered in time; the decision is
            then not learned from.
        logged: whether it is in the log; its outcomes count only if it is.
    """

    event_id: str
    placement: str
    creative_id: str
    parts: dict[str, str]
    index: int
    propensity: float
    pmf: dict[str, float]
    policy_version: str
    source: Source = "policy"
    logged: bool = True
    ad: dict[str, Any] = {}


class SlotDecision(Struct, frozen=True, kw_only=True):
    """The choice of one of several slots: `slot` counts them from 0, `id` is its name."""

    slot: int
    id: str
    creative_id: str
    parts: dict[str, str]
    index: int
    propensity: float
    pmf: dict[str, float]
    ad: dict[str, Any] = {}


class SlotDecisions(Struct, frozen=True, kw_only=True):
    """The choices of all slots of one event; no creative twice."""

    event_id: str
    placement: str
    slots: tuple[SlotDecision, ...]
    policy_version: str
    source: Source = "policy"
    logged: bool = True


class Refused(Struct, frozen=True, kw_only=True):
    """An outcome that the API did not take, and why."""

    placement: str
    event_id: str
    kind: str
    code: str
    message: str


class Call(NamedTuple):
    """A request to be sent; one that is `repeatable` may be sent again if no answer came."""

    method: str
    path: str
    body: bytes = b""
    repeatable: bool = True
    headers: Mapping[str, str] = JSON


class Server(NamedTuple):
    """Where the API is, and how it is asked.

    Attributes:
        url: such as `http://127.0.0.1:8080`.
        headers: sent with every request: who asks.
        timeout_seconds: for each attempt.
        options: further arguments of httpx's clients.
    """

    url: str
    headers: Mapping[str, str]
    timeout_seconds: float
    options: Mapping[str, Any]

    def connect(self, kind: Callable[..., _Http]) -> _Http:
        """Returns a client of httpx, of that kind."""
        return kind(base_url=self.url, timeout=self.timeout_seconds, **self.options)

    def request(self, call: Call) -> dict[str, Any]:
        """Returns the arguments of httpx for a call."""
        headers = {**call.headers, **self.headers}
        return {
            "method": call.method,
            "url": call.path,
            "content": call.body,
            "headers": headers,
        }


class _Chosen(Struct):
    id: str
    parts: dict[str, str] = {}
    ad: dict[str, Any] = {}


class _Likely(Struct):
    id: str
    propensity: float


class _Slot(Struct, kw_only=True):
    slot: int
    id: str
    action: _Chosen
    index: int
    propensity: float
    pmf: list[_Likely]


class _Event(Struct, kw_only=True):
    event_id: str
    placement: str
    policy_version: str
    logged: bool = True
    fallback: bool = False


class _Ranked(_Event, kw_only=True):
    action: _Chosen
    index: int
    propensity: float
    pmf: list[_Likely]


class _RankedSlots(_Event, kw_only=True):
    slots: list[_Slot]


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
    given = {"event_id": event_id, "actions": actions, "slots": slots, "deferred": deferred or None}
    body = {"context": context, **{name: each for name, each in given.items() if each is not None}}
    path = path_of("placements", placement, "rank")
    return Call("POST", path, encode(body), repeatable=event_id is not None)


def outcome_call(placement: str, event_id: str, outcome: Mapping[str, object]) -> Call:
    """Returns the request that hands in one outcome now."""
    path = path_of("placements", placement, "events", event_id, "outcomes")
    return Call("POST", path, encode(outcome))


def any_call(
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, object] | None = None,
    etag: str | None = None,
) -> Call:
    """Returns a request of any route; a POST is repeatable with an `Idempotency-Key` only.

    >>> any_call("GET", "/v1/creatives", query={"status": ["live", "paused"], "after": None}).path
    '/v1/creatives?status=live&status=paused'
    """
    named = {name.lower(): value for name, value in (headers or {}).items()}
    if etag is not None:
        named["if-match"] = etag
    given = {name: value for name, value in (query or {}).items() if value is not None}
    if given:
        path = f"{path}?{urlencode(given, doseq=True)}"
    repeatable = method != "POST" or "idempotency-key" in named
    data = b"" if body is None else encode(body)
    return Call(method, path, data, repeatable, {**JSON, **named})


def decision_of(payload: bytes) -> Decision:
    """Returns the decision that an answer to rank holds."""
    found = answer_of(_Ranked, payload)
    return Decision(**_event_of(found), **_choice_of(found))


def slot_decisions_of(payload: bytes) -> SlotDecisions:
    """Returns the decisions that an answer to rank with slots holds."""
    found = answer_of(_RankedSlots, payload)
    slots = [SlotDecision(slot=slot.slot, id=slot.id, **_choice_of(slot)) for slot in found.slots]
    return SlotDecisions(**_event_of(found), slots=tuple(slots))


def answer_of(kind: type[_Answer], payload: bytes) -> _Answer:
    """Returns an answer's JSON as this type.

    Raises:
        ApiError: `not_ours`: something other than the API answered, such as a proxy.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = payload[:200].decode(errors="replace")
        raise ApiError(200, "not_ours", f"{error}: {said}") from error


def unreachable(call: Call, error: httpx.RequestError) -> Unreachable:
    """Returns the error for a request that no answer came to."""
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    why = str(error) or type(error).__name__
    return Unreachable(f"{call.method} {call.path}: no answer ({why})", sent=not unsent)


def payload_of(answer: httpx.Response) -> bytes:
    """Returns the body of an answer.

    Raises:
        ApiError: it is a refusal.
    """
    if answer.status_code >= 400:
        raise refusal_of(answer.status_code, answer.headers, answer.content)
    return answer.content


def refusal_of(status: int, headers: Mapping[str, str], payload: bytes) -> ApiError:
    """Returns the error that an answer of 400 or more is."""
    try:
        details = msgspec.json.decode(payload, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        details = _Details("not_ours", payload[:200].decode(errors="replace"))
    return ApiError(
        status,
        details.code,
        details.message,
        target=details.target,
        retry_after_seconds=_seconds(headers.get("retry-after")),
    )


def path_of(*names: str) -> str:
    """Returns the path of a resource.

    >>> path_of("placements", "a/b", "creatives")
    '/v1/placements/a%2Fb/creatives'
    """
    return "/v1/" + "/".join(quote(name, safe="") for name in names)


def _event_of(found: _Event) -> dict[str, Any]:
    return {
        "event_id": found.event_id,
        "placement": found.placement,
        "policy_version": found.policy_version,
        "source": "baseline" if found.fallback else "policy",
        "logged": found.logged,
    }


def _choice_of(found: _Ranked | _Slot) -> dict[str, Any]:
    return {
        "creative_id": found.action.id,
        "parts": found.action.parts,
        "ad": found.action.ad,
        "index": found.index,
        "propensity": found.propensity,
        "pmf": {entry.id: entry.propensity for entry in found.pmf},
    }


def _seconds(header: str | None) -> float | None:
    # A date is allowed there too; no server of ours sends one.
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
