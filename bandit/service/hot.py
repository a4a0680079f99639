"""The hot routes: rank, reward, outcomes, activate.

Each takes a request apart, builds the events that the log keeps, and answers once they are
durable (or at once, where the settings say so). No state but the log's: replicas are equal.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from bandit.errors import FeatureError, PolicyError, RequestError
from bandit.lid import under_lid
from bandit.policy import Pmf, sample_seed
from bandit.service.appender import Appender
from bandit.service.budget import Budget, first_actions
from bandit.service.offer import (
    Drawn,
    Odds,
    Offer,
    Stamp,
    decision_message,
    rank_answer,
    slots_answer,
)
from bandit.service.operations.metrics import Metrics
from bandit.service.requests import (
    OutcomeRequest,
    OutcomesAnswer,
    RankRequest,
    RankSlot,
    brought_actions,
    decode_activate,
    decode_outcomes,
    decode_rank,
    decode_reward,
    derived_outcome_id,
)
from bandit.service.security.protection import Shield
from bandit.service.settings import Settings
from bandit.service.shortlists import Let
from bandit.service.slots import check_slots, fill
from bandit.service.snapshots import ServingPlacement
from streams.errors import SpoolFull
from streams.events import ACTIVATION, OUTCOMES, REWARD, SLOT_ACTIVATION, Action, Outcome, encode
from streams.log import Message
from streams.traceparent import trace_headers

logger = logging.getLogger(__name__)

CHANCE_BYTES: Final = 10

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
        protection: Shield,
    ) -> None:
        self._appender = appender
        self._metrics = metrics
        self._max_actions = settings.max_actions
        self._buffered = settings.durability == "buffered"
        self._unlogged = settings.spool_full == "unlogged"
        self._clock_ms = clock_ms
        self._protection = protection
        self._ids = Ids()
        budget_ms = settings.rank_budget_ms
        self._budget = Budget(budget_ms / 1e3) if budget_ms else None

    async def rank(self, call: Call) -> Answer:
        """Chooses one action, or one for each of `slots`: 200 with what was decided."""
        request = decode_rank(call.body, max_actions=self._max_actions)
        now_ms = self._clock_ms()
        event_id = request.event_id or self._ids.new(now_ms)
        placement = call.serving.placement
        if placement.protection:
            event_id = self._protection.event_id(placement, request.event_id, event_id)
            hidden = self._protection.hidden(placement, request.context)
            request = msgspec.structs.replace(request, context=hidden)
        stamp = Stamp(event_id, now_ms, request.deferred, call.traceparent)
        offer = self._offer(call.serving, request, now_ms)
        drawn = await self._drawn(call.serving, offer, request, event_id)
        if drawn is None:
            stamp = stamp._replace(fallback=True)
            drawn = _first(call.serving, offer, request)
            self._metrics.fallbacks(offer.name, len(drawn))
        messages = [decision_message(one, stamp, slot) for slot, one in enumerate(drawn)]
        logged = await self._record(messages, offer.name)
        self._metrics.decisions(offer.name, len(drawn))
        for one in drawn:
            odds, index = one.odds, one.chosen
            chosen = odds.offer.actions[index].id
            self._metrics.choices.add(offer.name, chosen, explored=odds.pmf[index] < odds.highest)
        if request.slots is None:
            return Answer(200, rank_answer(drawn[0], stamp, logged=logged))
        ids = [slot.id for slot in request.slots]
        return Answer(200, slots_answer(drawn, ids, stamp, logged=logged))

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

    def _offer(self, serving: ServingPlacement, request: RankRequest, now_ms: int) -> Offer:
        """Returns what may be chosen from: at least one action, and enough for the slots."""
        offer = serving.offer
        if request.actions is not None:
            offer = offer.of(brought_actions(request.actions))
        if not offer.actions:
            raise RequestError(
                409,
                "no_live_creatives",
                f"placement {serving.placement.name!r} has no live creative; add one, set one "
                "live, or send `actions`",
            )
        if serving.constraints is not None:
            offer = offer.of(serving.constraints.allowed(request.context, offer.actions, now_ms))
        if request.slots is not None:
            check_slots(request.slots, offer.actions)
        return offer

    async def _drawn(
        self, serving: ServingPlacement, offer: Offer, request: RankRequest, event_id: str
    ) -> list[Drawn] | None:
        """Returns what the policy chooses, None if that takes longer than it may."""
        asked = request.slots is not None or offer.known_odds(serving.policy) is None
        if self._budget is None or not asked:
            return _draw(serving, offer, request, event_id)
        return await self._budget.within(partial(_draw, serving, offer, request, event_id))

    async def _record(self, messages: Sequence[Message], placement: str) -> bool:
        """Returns whether they are recorded: not where the settings let a full spool be."""
        try:
            await self._write(messages)
        except RequestError as error:
            if not (self._unlogged and error.code == SpoolFull.code):
                raise
            for _ in messages:
                self._metrics.unlogged(placement)
            return False
        return True

    async def _take(self, call: Call, requests: Sequence[OutcomeRequest]) -> None:
        self._protection.check_signed(call.serving.placement, call.event_id)
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


class Ids:
    """Makes event ids."""

    def __init__(self) -> None:
        self._chance = b""
        self._used = 0

    def new(self, now_ms: int) -> str:
        """Returns what `new_id` does; the system is asked for many ids' chance at once."""
        if self._used == len(self._chance):
            self._chance = os.urandom(CHANCE_BYTES * 256)
            self._used = 0
        start, self._used = self._used, self._used + CHANCE_BYTES
        return f"{now_ms:012x}{self._chance[start : self._used].hex()}"


def new_id(now_ms: int) -> str:
    """Returns 32 hexadecimal digits: the time first, so that ids sort by it, then chance."""
    return f"{now_ms:012x}{os.urandom(CHANCE_BYTES).hex()}"


def action_pmf(serving: ServingPlacement, context: msgspec.Raw, actions: tuple[Action, ...]) -> Pmf:
    """Returns the pmf that is drawn from: the policy's, under the placement's lid if it has one.

    Raises:
        RequestError: as `policy_pmf`.
    """
    return under_lid(policy_pmf(serving, context, actions), actions, serving.offer.lid)


def policy_pmf(serving: ServingPlacement, context: msgspec.Raw, actions: tuple[Action, ...]) -> Pmf:
    """Returns the pmf that the placement's policy gives these actions.

    By one at a time, whichever the thread: some policies cannot be asked by two.

    Raises:
        RequestError: `features_invalid`: the policy cannot read the context or an action;
            `policy_error`: it has no answer, whatever the request, until another is published.
    """
    try:
        with serving.offer.asking:
            return serving.policy.pmf(context, actions)
    except FeatureError as error:
        raise RequestError(422, error.code, str(error)) from error
    except PolicyError as error:
        logger.error("policy %s of %r: %s", serving.version, serving.placement.name, error)
        raise RequestError(500, error.code, str(error)) from error


def _draw(
    serving: ServingPlacement, offer: Offer, request: RankRequest, event_id: str
) -> list[Drawn]:
    """Returns one draw a slot, or one alone."""
    let = None
    if request.actions is None:
        let = let_in(serving, offer.actions, request.slots, event_id)
    if let is not None:
        # Not by `of`, which remembers what the next request is to find again.
        offer = offer.beside(let.actions)
    drawn = _drawn_from(serving, offer, request, event_id)
    if let is None:
        return drawn
    return [
        one._replace(shortlist=let.note(one.odds.offer.actions[one.chosen].id)) for one in drawn
    ]


def _drawn_from(
    serving: ServingPlacement, offer: Offer, request: RankRequest, event_id: str
) -> list[Drawn]:
    context, version = request.context, serving.version
    if request.slots is None:
        odds = _odds(serving, offer, context)
        return [Drawn(context, odds, odds.draw(sample_seed(event_id)))]
    choices = fill(request.slots, context, offer.actions, event_id, partial(action_pmf, serving))
    return [
        Drawn(choice.context, Odds(offer.of(choice.actions), choice.pmf, version), choice.chosen)
        for choice in choices
    ]


def _first(serving: ServingPlacement, offer: Offer, request: RankRequest) -> list[Drawn]:
    """Returns the first action, in each slot the first that is left: no more than a shortlist."""
    draws = serving.draws
    if draws is not None and request.actions is None:
        offer = offer.beside(offer.actions[: draws.size(request.slots)])
    return first_actions(offer, request.context, request.slots, serving.version)


def _odds(serving: ServingPlacement, offer: Offer, context: msgspec.Raw) -> Odds:
    policy = serving.policy
    odds = offer.known_odds(policy)
    if odds is None:
        pmf = action_pmf(serving, context, offer.actions)
        odds = Odds(offer, pmf.tolist(), serving.version)
        offer.keep_odds(policy, odds)
    return odds


def let_in(
    serving: ServingPlacement,
    actions: tuple[Action, ...],
    slots: list[RankSlot] | None,
    event_id: str,
) -> Let | None:
    """Returns the shortlist of a decision among these creatives, None if it is among all of them.

    Raises:
        RequestError: from `policy_pmf`.
    """
    draws = serving.draws
    if draws is None:
        return None
    pmf_of, size = partial(policy_pmf, serving), draws.size(slots)
    return draws.let_in(serving.version, pmf_of, actions, event_id, size)


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
