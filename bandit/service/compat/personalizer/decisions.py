"""The routes that are asked all the time: rank, reward and activate, of one slot or several.

Contexts and actions are written as in the logs that Personalizer exported (`FromUrl`, `j`), so
that what was learned from those logs holds for what is asked now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from bandit.service.choosing.candidates import Selection
from bandit.service.choosing.slots import SlotRequest
from bandit.service.compat.personalizer.loops import LoopRequest, Loops, Reply
from bandit.service.compat.personalizer.wire import (
    RANK,
    REWARD,
    ActionBody,
    ActionProbability,
    Features,
    MultiSlotRankBody,
    MultiSlotRankReply,
    MultiSlotRewardBody,
    PersonalizerError,
    RankBody,
    RankReply,
    RewardBody,
    SlotBody,
    SlotReply,
    check_id,
    check_multi_slot,
    check_rank,
    check_reward,
    check_unique,
    clean,
    decode,
)
from bandit.service.decide import DecisionRequest, new_id
from bandit.service.requests import OutcomeRequest
from streams.events import ACTIVATION, Action
from streams.events import REWARD as REWARD_KIND

CONTEXT: Final = "FromUrl"
ACTION: Final = "j"
MAX_SLOT_NUMBER: Final = 2**16 - 1

_encode = msgspec.json.Encoder().encode


async def rank_one(loops: Loops, call: LoopRequest) -> Reply:
    """Chooses one action: 201 with the ranking.

    What is excluded keeps its place in the ranking, at probability 0. In the other places stands
    first what is to be shown, then the rest, the more probable the earlier.
    """
    request = decode(call.body, RankBody, RANK)
    check_rank(request)
    serving = await loops.serving(call)
    barred = frozenset(request.excluded_actions or ())
    actions = tuple(a for a in _actions(request.actions) if a.id not in barred)
    if not actions:
        raise PersonalizerError(
            RANK,
            "all_actions_excluded",
            f"excludedActions leaves none of {len(request.actions)} actions; leave at least one",
            target="excludedActions",
        )
    decided = await loops.decider.decide(serving, _asked(call, request, actions, None))
    (selection,) = decided.selections
    ranking = _ranking([action.id for action in request.actions], selection)
    answer = RankReply(ranking, decided.metadata.event_id, selection.action.id)
    return Reply(201, _encode(answer))


async def rank_several(loops: Loops, call: LoopRequest) -> Reply:
    """Chooses an action for each slot: 201 with what to show in each.

    Slots are filled in their order, no action twice. Each sees its own baseline as the first
    action, so that an apprentice shows it.
    """
    request = decode(call.body, MultiSlotRankBody, RANK)
    check_rank(request)
    check_multi_slot(request)
    serving = await loops.serving(call)
    numbers = slot_numbers([slot.id for slot in request.slots])
    slots = [
        SlotRequest(
            slot.id,
            numbers[slot.id],
            Raw(_encode(slot_features(slot, f"slots[{position}].features"))),
            tuple(slot.excluded_actions or ()),
            slot.baseline_action,
        )
        for position, slot in enumerate(request.slots)
    ]
    asked = _asked(call, request, _actions(request.actions), slots)
    decided = await loops.decider.decide(serving, asked)
    answers = [
        SlotReply(slot.id, selection.action.id)
        for slot, selection in zip(slots, decided.selections, strict=True)
    ]
    return Reply(201, _encode(MultiSlotRankReply(answers, decided.metadata.event_id)))


async def reward_one(loops: Loops, call: LoopRequest) -> Reply:
    """Takes in what an event earned: 204."""
    value = decode(call.body, RewardBody, REWARD).value
    check_reward(value, "value")
    return await _take(loops, call, [(REWARD_KIND, 0, value)])


async def reward_several(loops: Loops, call: LoopRequest) -> Reply:
    """Takes in what slots of an event earned: 204."""
    rewards = decode(call.body, MultiSlotRewardBody, REWARD).reward
    for position, reward in enumerate(rewards):
        check_id(reward.slot_id, "slot_id_invalid", f"reward[{position}].slotId", REWARD)
        check_reward(reward.value, f"reward[{position}].value")
    check_unique([reward.slot_id for reward in rewards], "duplicate_slot_id", "reward", REWARD)
    numbered = [(REWARD_KIND, slot_number(one.slot_id), one.value) for one in rewards]
    return await _take(loops, call, numbered)


async def activate(loops: Loops, call: LoopRequest) -> Reply:
    """Makes a deferred event count, in all its slots: 204."""
    return await _take(loops, call, [(ACTIVATION, 0, 1.0)])


def slot_numbers(ids: Sequence[str]) -> Mapping[str, int]:
    """Returns each slot's number, which hangs on its id alone.

    A reward names the slot by its id, and may come to another replica than the rank did: so the
    number must follow from the id.

    Raises:
        PersonalizerError: `slot_ids_collide`: two have the same number.
    """
    numbers = {slot_id: slot_number(slot_id) for slot_id in ids}
    by_number: dict[int, str] = {}
    for slot_id, number in numbers.items():
        other = by_number.setdefault(number, slot_id)
        if other != slot_id:
            raise PersonalizerError(
                RANK,
                "slot_ids_collide",
                f"slot ids {other!r} and {slot_id!r} have the same number, {number}, by their "
                "hash; give one of them another id",
                target="slots",
            )
    return numbers


def slot_number(slot_id: str) -> int:
    """Returns a number from 1 to 65,535, a hash of the id."""
    digest = hashlib.blake2b(slot_id.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % MAX_SLOT_NUMBER


def slot_features(slot: SlotBody, target: str) -> list[dict[str, Any]]:
    """Returns what the policy is told of a slot: its id, and its features."""
    return [{"id": slot.id}, *clean(slot.features or [], target)]


def _asked(
    call: LoopRequest,
    request: RankBody | MultiSlotRankBody,
    actions: tuple[Action, ...],
    slots: Sequence[SlotRequest] | None,
) -> DecisionRequest:
    features: Features | None = request.context_features
    context = {CONTEXT: clean(features, "contextFeatures")} if features else {}
    return DecisionRequest(
        Raw(_encode(context)),
        actions,
        slots,
        request.event_id,
        bool(request.defer_activation),
        call.traceparent,
    )


def _actions(bodies: Sequence[ActionBody]) -> tuple[Action, ...]:
    return tuple(
        Action(
            body.id,
            Raw(_encode({ACTION: clean(body.features or [], f"actions[{position}].features")})),
        )
        for position, body in enumerate(bodies)
    )


def _ranking(ids: Sequence[str], selection: Selection) -> list[ActionProbability]:
    actions, pmf = selection.distribution.candidates.actions, selection.distribution.pmf
    order = sorted(range(len(actions)), key=lambda index: -pmf[index])
    first = order.index(selection.chosen)
    order[0], order[first] = order[first], order[0]
    could_be = {action.id for action in actions}
    ranked = (ActionProbability(actions[index].id, pmf[index]) for index in order)
    return [next(ranked) if each in could_be else ActionProbability(each, 0.0) for each in ids]


async def _take(loops: Loops, call: LoopRequest, told: Sequence[tuple[str, int, float]]) -> Reply:
    """Takes outcomes, each a kind, a slot's number and a value: 204.

    Clients send a request again under the same request id, so that it counts once, while two
    rewards of one event count as two.
    """
    (event_id,) = call.ids
    check_id(event_id, "event_id_invalid", "eventId", "BadRequest")
    placement = (await loops.serving(call)).placement
    outcome_id = call.request_id or new_id(loops.clock_ms())
    outcomes = [
        OutcomeRequest(kind=kind, value=value, slot=slot, outcome_id=outcome_id)
        for kind, slot, value in told
    ]
    await loops.recorder.take(placement, event_id, outcomes, call.traceparent)
    return Reply(204)
