"""The routes that are asked all the time: rank, reward and activate, of one slot or several."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bandit.errors import RequestError
from bandit.service.hot import new_id
from bandit.service.personalizer.loops import Call, Loops, Reply
from bandit.service.personalizer.ranking import Event, rank, rank_slots, slot_number
from bandit.service.personalizer.wire import (
    RANK,
    REWARD,
    MultiSlotRankBody,
    MultiSlotRewardBody,
    RankBody,
    RewardBody,
    check_id,
    check_multi_slot,
    check_rank,
    check_reward,
    check_unique,
    decode,
)
from bandit.service.snapshots import ServingPlacement
from streams.errors import SpoolFull
from streams.events import ACTIVATION, DECISIONS, OUTCOMES, Decision, Outcome, encode
from streams.events import REWARD as REWARD_KIND
from streams.log import Message
from streams.traceparent import trace_headers


async def rank_one(loops: Loops, call: Call) -> Reply:
    """Chooses one action: 201 with the ranking."""
    request = decode(call.body, RankBody, RANK)
    check_rank(request)
    serving = await loops.serving(call)
    event = _event(loops, call, serving, request)
    decision, answer = rank(serving, loops.protection, request, event)
    await _record(loops, [decision])
    return Reply(201, msgspec.json.encode(answer))


async def rank_several(loops: Loops, call: Call) -> Reply:
    """Chooses an action for each slot: 201 with what to show in each."""
    request = decode(call.body, MultiSlotRankBody, RANK)
    check_rank(request)
    check_multi_slot(request)
    serving = await loops.serving(call)
    event = _event(loops, call, serving, request)
    decisions, answer = rank_slots(serving, loops.protection, request, event)
    await _record(loops, decisions)
    return Reply(201, msgspec.json.encode(answer))


async def reward_one(loops: Loops, call: Call) -> Reply:
    """Takes in what an event earned: 204."""
    value = decode(call.body, RewardBody, REWARD).value
    check_reward(value, "value")
    await _take(loops, call, [(REWARD_KIND, 0, value)])
    return Reply(204)


async def reward_several(loops: Loops, call: Call) -> Reply:
    """Takes in what slots of an event earned: 204."""
    rewards = decode(call.body, MultiSlotRewardBody, REWARD).reward
    for position, reward in enumerate(rewards):
        check_id(reward.slot_id, "slot_id_invalid", f"reward[{position}].slotId", REWARD)
        check_reward(reward.value, f"reward[{position}].value")
    check_unique([reward.slot_id for reward in rewards], "duplicate_slot_id", "reward", REWARD)
    numbered = [(REWARD_KIND, slot_number(one.slot_id), one.value) for one in rewards]
    await _take(loops, call, numbered)
    return Reply(204)


async def activate(loops: Loops, call: Call) -> Reply:
    """Makes a deferred event count, in all its slots: 204."""
    await _take(loops, call, [(ACTIVATION, 0, 1.0)])
    return Reply(204)


def _event(
    loops: Loops, call: Call, serving: ServingPlacement, request: RankBody | MultiSlotRankBody
) -> Event:
    now_ms = loops.clock_ms()
    event_id = loops.protection.event_id(serving.placement, request.event_id, new_id(now_ms))
    return Event(event_id, now_ms, bool(request.defer_activation), call.traceparent)


async def _record(loops: Loops, decisions: Sequence[Decision]) -> None:
    """Writes the decisions: all or none; or none, where the settings let a full spool be."""
    messages = [
        Message(DECISIONS, d.event_id.encode(), encode(d), trace_headers(d.traceparent))
        for d in decisions
    ]
    placement = decisions[0].placement
    try:
        await _write(loops, messages)
    except RequestError as error:
        if not (loops.settings.spool_full == "unlogged" and error.code == SpoolFull.code):
            raise
        for _ in decisions:
            loops.metrics.unlogged(placement)
    loops.metrics.decisions(placement, len(decisions))
    for one in decisions:
        explored = one.propensity < max(one.pmf)
        loops.metrics.choices.add(placement, one.action.id, explored=explored)


async def _take(loops: Loops, call: Call, told: Sequence[tuple[str, int, float]]) -> None:
    """Writes outcomes, each a kind, a slot's number and a value.

    Clients send a request again under the same request id, so that it counts once, while two
    rewards of one event count as two.
    """
    (event_id,) = call.ids
    check_id(event_id, "event_id_invalid", "eventId", "BadRequest")
    placement = (await loops.serving(call)).placement
    loops.protection.check_signed(placement, event_id)
    rule = placement.reward
    for kind, _, value in told:
        if kind == REWARD_KIND and not rule.minimum <= value <= rule.maximum:
            message = f"reward {value} is outside [{rule.minimum}, {rule.maximum}]"
            raise RequestError(422, "reward_out_of_range", message, target="value")
    now_ms = loops.clock_ms()
    outcome_id = call.request_id or new_id(now_ms)
    outcomes = [
        Outcome(
            event_id=event_id,
            outcome_id=outcome_id,
            kind=kind,
            timestamp_ms=now_ms,
            value=value,
            slot=slot,
            traceparent=call.traceparent,
        )
        for kind, slot, value in told
    ]
    headers, key = trace_headers(call.traceparent), event_id.encode()
    await _write(loops, [Message(OUTCOMES, key, encode(one), headers) for one in outcomes])
    loops.metrics.outcomes(call.placement, len(outcomes))


async def _write(loops: Loops, messages: Sequence[Message]) -> None:
    if loops.settings.durability == "buffered":
        loops.appender.put(messages)
    elif messages:
        await loops.appender.append(messages)
