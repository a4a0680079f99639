"""The hot routes: rank, reward, outcomes, activate.

Each takes a request apart, builds the events that the log keeps, and answers once they are
durable (or at once, where the settings say so). No state but the log's: replicas are equal.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from bandit.errors import FeatureError, PolicyError, RequestError
from bandit.policy import Pmf, sample_seed
from bandit.service.appender import Appender
from bandit.service.operations.metrics import Metrics
from bandit.service.requests import (
    ActionPropensity,
    OutcomeRequest,
    OutcomesAnswer,
    RankAnswer,
    RankedAction,
    RankedSlot,
    RankRequest,
    RankSlot,
    RankSlotsAnswer,
    brought_actions,
    decode_activate,
    decode_outcomes,
    decode_rank,
    decode_reward,
    derived_outcome_id,
)
from bandit.service.settings import Settings
from bandit.service.slots import check_slots, choose, fill
from bandit.service.snapshots import ServingPlacement
from streams.errors import SpoolFull
from streams.events import (
    ACTIVATION,
    DECISIONS,
    OUTCOMES,
    REWARD,
    SLOT_ACTIVATION,
    Action,
    Decision,
    Outcome,
    encode,
)
from streams.log import Message
from streams.traceparent import trace_headers

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Call(NamedTuple):
    """One request of a hot route: what its path and headers say, and its body.

    `event_id` is empty for rank, whose event does not exist yet.
    """

    serving: ServingPlacement
    event_id: str
    body: bytes
    traceparent: str | None


class Answer(NamedTuple):
    """What is sent back: an HTTP status and a JSON body, empty where there is none."""

    status: int
    body: bytes = b""


class HotRoutes:
    """Answers the hot routes of one application."""

    def __init__(
        self,
        appender: Appender,
        metrics: Metrics,
        settings: Settings,
        clock_ms: Callable[[], int],
    ) -> None:
        self._appender = appender
        self._metrics = metrics
        self._max_actions = settings.max_actions
        self._buffered = settings.durability == "buffered"
        self._unlogged = settings.spool_full == "unlogged"
        self._clock_ms = clock_ms

    async def rank(self, call: Call) -> Answer:
        """Chooses one action, or one for each of `slots`: 200 with what was decided."""
        request = decode_rank(call.body, max_actions=self._max_actions)
        serving = call.serving
        actions = serving.actions if request.actions is None else brought_actions(request.actions)
        if not actions:
            raise RequestError(
                409,
                "no_live_creatives",
                f"placement {serving.placement.name!r} has no live creative; add one, set one "
                "live, or send `actions`",
            )
        if serving.constraints is not None:
            actions = serving.constraints.allowed(request.context, actions, self._clock_ms())
        if request.slots is not None:
            check_slots(request.slots, actions)
        decisions = self._decide(serving, request, actions, call.traceparent)
        logged = await self._record(decisions)
        for decision in decisions:
            self._metrics.decision(decision.placement)
        if request.slots is None:
            return Answer(200, _encode(_rank_answer(decisions[0], serving, logged)))
        return Answer(200, _encode(_slots_answer(decisions, request.slots, serving, logged)))

    async def reward(self, call: Call) -> Answer:
        """Takes in what a decision earned: 204."""
        request = decode_reward(call.body)
        outcome = OutcomeRequest(
            kind=REWARD, value=request.value, slot=request.slot, outcome_id=request.outcome_id
        )
        await self._take(call, [outcome])
        return Answer(204)

    async def outcomes(self, call: Call) -> Answer:
        """Takes in what happened after a decision: 202 with how many."""
        outcomes = decode_outcomes(call.body)
        await self._take(call, outcomes)
        return Answer(202, _encode(OutcomesAnswer(len(outcomes))))

    async def activate(self, call: Call) -> Answer:
        """Makes a deferred decision count, in all its slots or in the `slots` shown: 204."""
        slots = decode_activate(call.body).slots
        if slots is None:
            activations = [OutcomeRequest(kind=ACTIVATION)]
        else:
            activations = [OutcomeRequest(kind=SLOT_ACTIVATION, slot=slot) for slot in slots]
        await self._take(call, activations)
        return Answer(204)

    def _decide(
        self,
        serving: ServingPlacement,
        request: RankRequest,
        actions: tuple[Action, ...],
        traceparent: str | None,
    ) -> list[Decision]:
        now_ms = self._clock_ms()
        event_id = request.event_id or new_id(now_ms)
        pmf_of = partial(action_pmf, serving)
        if request.slots is None:
            choices = [choose(request.context, actions, sample_seed(event_id), pmf_of)]
        else:
            choices = fill(request.slots, request.context, actions, event_id, pmf_of)
        return [
            Decision(
                event_id=event_id,
                placement=serving.placement.name,
                timestamp_ms=now_ms,
                context=choice.context,
                actions=choice.actions,
                pmf=choice.pmf,
                index=choice.chosen,
                policy_version=serving.version,
                slot=slot,
                deferred=request.deferred,
                traceparent=traceparent,
            )
            for slot, choice in enumerate(choices)
        ]

    async def _record(self, decisions: Sequence[Decision]) -> bool:
        """Returns whether they are recorded: not where the settings let a full spool be."""
        try:
            await self._write([_decision_message(decision) for decision in decisions])
        except RequestError as error:
            if not (self._unlogged and error.code == SpoolFull.code):
                raise
            for decision in decisions:
                self._metrics.unlogged(decision.placement)
            return False
        return True

    async def _take(self, call: Call, requests: Sequence[OutcomeRequest]) -> None:
        for request in requests:
            _check_reward(call.serving, request)
        now_ms = self._clock_ms()
        await self._write([_outcome_message(call, request, now_ms) for request in requests])
        self._metrics.outcomes(call.serving.placement.name, len(requests))

    async def _write(self, messages: Sequence[Message]) -> None:
        if self._buffered:
            self._appender.put(messages)
        else:
            await self._appender.append(messages)


def new_id(now_ms: int) -> str:
    """Returns 32 hexadecimal digits: the time first, so that ids sort by it, then chance."""
    return f"{now_ms:012x}{os.urandom(10).hex()}"


def action_pmf(serving: ServingPlacement, context: msgspec.Raw, actions: tuple[Action, ...]) -> Pmf:
    """Returns the pmf that the placement's policy gives these actions.

    Called from the event loop's thread only: some policies cannot be asked by two at a time.

    Raises:
        RequestError: `features_invalid`: the policy cannot read the context or an action;
            `policy_error`: it has no answer, whatever the request, until another is published.
    """
    try:
        return serving.policy.pmf(context, actions)
    except FeatureError as error:
        raise RequestError(422, error.code, str(error)) from error
    except PolicyError as error:
        logger.error("policy %s of %r: %s", serving.version, serving.placement.name, error)
        raise RequestError(500, error.code, str(error)) from error


def _rank_answer(decision: Decision, serving: ServingPlacement, logged: bool) -> RankAnswer:
    return RankAnswer(
        event_id=decision.event_id,
        placement=decision.placement,
        action=_ranked_action(decision, serving),
        index=decision.index,
        propensity=decision.propensity,
        pmf=_propensities(decision),
        policy_version=decision.policy_version,
        logged=logged,
    )


def _slots_answer(
    decisions: Sequence[Decision],
    slots: Sequence[RankSlot],
    serving: ServingPlacement,
    logged: bool,
) -> RankSlotsAnswer:
    first = decisions[0]
    return RankSlotsAnswer(
        event_id=first.event_id,
        placement=first.placement,
        slots=[
            RankedSlot(
                slot=decision.slot,
                id=slot.id,
                action=_ranked_action(decision, serving),
                index=decision.index,
                propensity=decision.propensity,
                pmf=_propensities(decision),
            )
            for decision, slot in zip(decisions, slots, strict=True)
        ],
        policy_version=first.policy_version,
        logged=logged,
    )


def _ranked_action(decision: Decision, serving: ServingPlacement) -> RankedAction:
    creative = serving.creatives.get(decision.action.id)
    return RankedAction(decision.action.id, creative.parts if creative is not None else None)


def _propensities(decision: Decision) -> list[ActionPropensity]:
    return [
        ActionPropensity(action.id, propensity)
        for action, propensity in zip(decision.actions, decision.pmf, strict=True)
    ]


def _check_reward(serving: ServingPlacement, request: OutcomeRequest) -> None:
    rule = serving.placement.reward
    if request.kind == REWARD and not rule.minimum <= request.value <= rule.maximum:
        raise RequestError(
            422,
            "reward_out_of_range",
            f"reward {request.value} is outside [{rule.minimum}, {rule.maximum}], the range of "
            f"placement {serving.placement.name!r}; nothing of the request was taken",
            target="value",
        )


def _decision_message(decision: Decision) -> Message:
    trace = trace_headers(decision.traceparent)
    return Message(DECISIONS, decision.event_id.encode(), encode(decision), trace)


def _outcome_message(call: Call, request: OutcomeRequest, now_ms: int) -> Message:
    outcome = Outcome(
        event_id=call.event_id,
        outcome_id=request.outcome_id or derived_outcome_id(call.event_id, request),
        kind=request.kind,
        timestamp_ms=now_ms if request.timestamp_ms is None else request.timestamp_ms,
        value=request.value,
        slot=request.slot,
        traceparent=call.traceparent,
    )
    trace = trace_headers(call.traceparent)
    return Message(OUTCOMES, call.event_id.encode(), encode(outcome), trace)
