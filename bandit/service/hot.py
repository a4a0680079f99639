"""The routes that are asked all the time, and the router before everything else.

A raw ASGI function answers rank, reward, outcomes and activate, and hands the rest on. It reads
the body within its limit, gives every error the same form, and counts. A framework would spend
several times what these routes themselves cost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct

from bandit.errors import RequestError
from bandit.service.asgi import (
    ADMIN_BYTES_PER_VALUE,
    BYTES_PER_VALUE,
    TRACEPARENT,
    AsgiApp,
    Message,
    Receive,
    Scope,
    Send,
    before_start,
    read_body,
    replayed,
    send_error,
    send_response,
)
from bandit.service.choosing.candidates import rank_answer, slots_answer
from bandit.service.decide import Decider, DecisionRequest, serving_of
from bandit.service.errors import internal_error
from bandit.service.ops.metrics import Metrics
from bandit.service.record import Recorder
from bandit.service.requests import (
    ActivateRequest,
    OutcomeRequest,
    OutcomesAnswer,
    OutcomesRequest,
    RewardRequest,
    brought_actions,
    check_depth,
    check_event_id,
    decode_body,
    decode_rank,
    slot_requests,
)
from bandit.service.settings import Settings
from bandit.service.state import ServingPlacement, Snapshots
from streams.events import ACTIVATION, REWARD, SLOT_ACTIVATION
from streams.logs.cloudevents import traceparent_of

logger = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
RANK_SEGMENTS: Final = 5  # an empty one first, then v1, placements, {placement}, rank
EVENT_SEGMENTS: Final = 7

_encode = msgspec.json.Encoder().encode
_reward: msgspec.json.Decoder[RewardRequest] = msgspec.json.Decoder(RewardRequest)
_outcomes: msgspec.json.Decoder[OutcomeRequest | list[OutcomeRequest]] = msgspec.json.Decoder(
    OutcomesRequest
)
_activate: msgspec.json.Decoder[ActivateRequest] = msgspec.json.Decoder(ActivateRequest)


class HotRequest(Struct, frozen=True):
    """One request of a hot route: what its path and headers say, and its body.

    `event_id` is empty for rank, whose event does not exist yet.
    """

    serving: ServingPlacement
    event_id: str
    body: bytes
    traceparent: str | None


class HotAnswer(Struct, frozen=True):
    """What is sent back: an HTTP status and a JSON body, empty where there is none."""

    status: int
    body: bytes = b""


class HotRouter:
    """The application: it answers the hot routes, and `rest` all others and the lifespan."""

    def __init__(
        self,
        rest: AsgiApp,
        snapshots: Snapshots,
        decider: Decider,
        recorder: Recorder,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self._rest = rest
        self._snapshots = snapshots
        self._decider = decider
        self._recorder = recorder
        self._metrics = metrics
        self._max_actions = settings.max_actions
        self._max_body_bytes = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or lives the application's life (ASGI 3)."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        started = time.perf_counter()
        segments = scope["raw_path"].split(b"/")
        route = _hot_route(segments)
        if route is not None:
            template = route.template
            status = await self._answer_hot(route, segments, scope, receive, send)
        else:
            status = await self._answer_rest(scope, receive, send)
            template = getattr(scope.get("route"), "path_format", UNMATCHED)
        self._metrics.request(template, status, time.perf_counter() - started)

    async def rank(self, call: HotRequest) -> HotAnswer:
        """Chooses one action, or one for each of `slots`: 200 with what was decided."""
        request = decode_rank(call.body, max_actions=self._max_actions)
        actions, slots = request.actions, request.slots
        asked = DecisionRequest(
            request.context,
            None if actions is None else brought_actions(actions),
            None if slots is None else slot_requests(slots),
            request.event_id,
            request.deferred,
            call.traceparent,
        )
        decided = await self._decider.decide(call.serving, asked)
        if slots is None:
            return HotAnswer(200, rank_answer(decided))
        return HotAnswer(200, slots_answer(decided, [slot.id for slot in slots]))

    async def reward(self, call: HotRequest) -> HotAnswer:
        """Takes in what a decision earned: 204."""
        request = decode_body(_reward, call.body)
        outcome = OutcomeRequest(
            kind=REWARD, value=request.value, slot=request.slot, outcome_id=request.outcome_id
        )
        await self._take(call, [outcome])
        return HotAnswer(204)

    async def outcomes(self, call: HotRequest) -> HotAnswer:
        """Takes in what happened after a decision: 202 with how many."""
        found = decode_body(_outcomes, call.body)
        outcomes = found if isinstance(found, list) else [found]
        await self._take(call, outcomes)
        return HotAnswer(202, _encode(OutcomesAnswer(len(outcomes))))

    async def activate(self, call: HotRequest) -> HotAnswer:
        """Makes a deferred decision count, in all its slots or in the `slots` shown: 204."""
        slots = decode_body(_activate, call.body).slots if call.body else None
        if slots is None:
            activations = [OutcomeRequest(kind=ACTIVATION)]
        else:
            activations = [OutcomeRequest(kind=SLOT_ACTIVATION, slot=slot) for slot in slots]
        await self._take(call, activations)
        return HotAnswer(204)

    async def _take(self, call: HotRequest, outcomes: list[OutcomeRequest]) -> None:
        placement = call.serving.placement
        await self._recorder.take(placement, call.event_id, outcomes, call.traceparent)

    async def _answer_hot(
        self, route: HotRoute, segments: list[bytes], scope: Scope, receive: Receive, send: Send
    ) -> int:
        try:
            if scope["method"] != "POST":
                raise RequestError(405, "method_not_allowed", f"{scope['method']}: expected POST")
            headers = dict(scope["headers"])
            body = await read_body(headers, receive, self._max_body_bytes)
            answer = await route.handler(self, self._call(segments, headers, body))
        except RequestError as error:
            return await send_error(send, error)
        except Exception:  # one request's failure, whatever it is, must not end the others
            logger.exception("%s failed", route.template)
            return await send_error(send, internal_error())
        await send_response(send, answer.status, answer.body)
        return answer.status

    async def _answer_rest(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Hands the request on with its body read, and returns the status that was sent."""
        status = 500

        def watch(start: Message) -> None:
            nonlocal status
            status = start["status"]

        try:
            body = await read_body(
                dict(scope["headers"]), receive, self._max_body_bytes, _bytes_per_value(scope)
            )
            check_depth(body)
        except RequestError as error:
            return await send_error(send, error)
        try:
            await self._rest(scope, replayed(body, receive), before_start(send, watch))
        except Exception:  # answered already, and raised for the log: see refusals.py
            logger.exception("%s %s failed", scope["method"], scope["path"])
        return status

    def _call(self, segments: list[bytes], headers: dict[bytes, bytes], body: bytes) -> HotRequest:
        serving = serving_of(self._snapshots, _name(segments))
        event_id = _event_id(segments[5]) if len(segments) == EVENT_SEGMENTS else ""
        return HotRequest(serving, event_id, body, traceparent_of(headers.get(TRACEPARENT)))


class HotRoute(NamedTuple):
    """A hot route: its template, which metrics and the documentation show, and its handler."""

    template: str
    handler: Callable[[HotRouter, HotRequest], Awaitable[HotAnswer]]


_EVENT: Final = "/v1/placements/{placement}/events/{event_id}"
RANK: Final = HotRoute("/v1/placements/{placement}/rank", HotRouter.rank)
OF_EVENTS: Final = {
    b"reward": HotRoute(f"{_EVENT}/reward", HotRouter.reward),
    b"outcomes": HotRoute(f"{_EVENT}/outcomes", HotRouter.outcomes),
    b"activate": HotRoute(f"{_EVENT}/activate", HotRouter.activate),
}


def _bytes_per_value(scope: Scope) -> int:
    """Returns how many bytes of the largest body there must be for each value of a body."""
    asks = scope["path"].startswith("/ofrep/")
    return BYTES_PER_VALUE if asks else ADMIN_BYTES_PER_VALUE


def _hot_route(segments: list[bytes]) -> HotRoute | None:
    if segments[1:3] != [b"v1", b"placements"]:
        return None
    if len(segments) == RANK_SEGMENTS and segments[4] == b"rank":
        return RANK
    if len(segments) == EVENT_SEGMENTS and segments[4] == b"events":
        return OF_EVENTS.get(segments[6])
    return None


def hot_placement(raw_path: bytes) -> str | None:
    """Returns the placement that the path of a hot route names; None if it is of another route."""
    segments = raw_path.split(b"/")
    return None if _hot_route(segments) is None else _name(segments)


def _name(segments: list[bytes]) -> str:
    # No placement has a name that is not UTF-8, so what stands in for it is not found either.
    return _unquoted(segments[3]).decode(errors="replace")


def _event_id(segment: bytes) -> str:
    try:
        event_id = _unquoted(segment).decode()
    except UnicodeDecodeError as error:
        message = f"the event id is not UTF-8: {error}"
        raise RequestError(422, "event_id_invalid", message, target="event_id") from error
    check_event_id(event_id)
    return event_id


def _unquoted(segment: bytes) -> bytes:
    return unquote_to_bytes(segment) if b"%" in segment else segment
