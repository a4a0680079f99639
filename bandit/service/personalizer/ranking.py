"""From a rank request to decisions and the answer that Personalizer's clients read.

Contexts and actions are written as in the logs that Personalizer exported (`FromUrl`, `j`), so
that what was learned from those logs holds for what is asked now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw

from bandit.lid import lid_over
from bandit.policy import sample_seed
from bandit.service.hot import action_pmf
from bandit.service.personalizer.refusals import PersonalizerError
from bandit.service.personalizer.wire import (
    RANK,
    ActionBody,
    Features,
    MultiSlotRankAnswer,
    MultiSlotRankBody,
    RankAnswer,
    RankBody,
    RankedAction,
    SlotAnswer,
    SlotBody,
    clean,
)
from bandit.service.requests import RankSlot
from bandit.service.security.protection import Shield
from bandit.service.slots import Choice, check_slots, choose
from bandit.service.snapshots import ServingPlacement
from streams.events import Action, Decision

CONTEXT: Final = "FromUrl"
ACTION: Final = "j"
SLOT: Final = "slot"
MAX_SLOT_NUMBER: Final = 2**16 - 1

_encode = msgspec.json.Encoder().encode


class Event(NamedTuple):
    """What all decisions of one request have in common."""

    event_id: str
    timestamp_ms: int
    deferred: bool
    traceparent: str | None


def rank(
    serving: ServingPlacement, shield: Shield, request: RankBody, event: Event
) -> tuple[Decision, RankAnswer]:
    """Returns the decision and the answer.

    What is excluded keeps its place in the ranking, at probability 0. In the other places stands
    first what is to be shown, then the rest, the more probable the earlier.

    Raises:
        RequestError: `all_actions_excluded`, or features that cannot be read.
    """
    barred = frozenset(request.excluded_actions or ())
    context = _context(serving, shield, request.context_features)
    actions = tuple(a for a in _actions(request.actions) if a.id not in barred)
    if not actions:
        raise PersonalizerError(
            RANK,
            "all_actions_excluded",
            f"excludedActions leaves none of {len(request.actions)} actions; leave at least one",
            target="excludedActions",
        )
    if serving.constraints is not None:
        actions = serving.constraints.allowed(context, actions, event.timestamp_ms)
    seed = sample_seed(event.event_id)
    choice = choose(context, actions, seed, partial(action_pmf, serving))
    ranking = _ranking([action.id for action in request.actions], choice)
    chosen = choice.actions[choice.chosen].id
    return _decision(serving, event, choice, 0), RankAnswer(ranking, event.event_id, chosen)


def rank_slots(
    serving: ServingPlacement, shield: Shield, request: MultiSlotRankBody, event: Event
) -> tuple[list[Decision], MultiSlotRankAnswer]:
    """Returns one decision a slot, and the answer.

    Slots are filled in their order, no action twice. Each sees its own baseline as the first
    action, so that an apprentice shows it.

    Raises:
        RequestError: a slot might be left with no action, two slots' ids cannot be told apart,
            or features that cannot be read.
    """
    context = _context(serving, shield, request.context_features)
    shared = msgspec.json.decode(context, type=dict[str, Raw])
    actions = _actions(request.actions)
    if serving.constraints is not None:
        actions = serving.constraints.allowed(context, actions, event.timestamp_ms)
    check_slots(
        [RankSlot(slot.id, excluded=tuple(slot.excluded_actions or ())) for slot in request.slots],
        actions,
    )
    numbers = slot_numbers([slot.id for slot in request.slots])
    taken: set[str] = set()
    decisions: list[Decision] = []
    for position, slot in enumerate(request.slots):
        barred = taken.union(slot.excluded_actions or ())
        left = _baseline_first(slot.baseline_action, [a for a in actions if a.id not in barred])
        seen = Raw(_encode({**shared, SLOT: slot_features(slot, f"slots[{position}].features")}))
        number = numbers[slot.id]
        seed = sample_seed(event.event_id, number)
        choice = choose(seen, left, seed, partial(action_pmf, serving))
        taken.add(left[choice.chosen].id)
        decisions.append(_decision(serving, event, choice, number))
    answers = [
        SlotAnswer(slot.id, decision.action.id)
        for slot, decision in zip(request.slots, decisions, strict=True)
    ]
    return decisions, MultiSlotRankAnswer(answers, event.event_id)


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


def _context(serving: ServingPlacement, shield: Shield, features: Features | None) -> Raw:
    """Returns the context with the placement's private fields hashed."""
    context = {CONTEXT: clean(features, "contextFeatures")} if features else {}
    return shield.hidden(serving.placement, Raw(_encode(context)))


def _actions(bodies: Sequence[ActionBody]) -> tuple[Action, ...]:
    return tuple(
        Action(
            body.id,
            Raw(_encode({ACTION: clean(body.features or [], f"actions[{position}].features")})),
        )
        for position, body in enumerate(bodies)
    )


def _baseline_first(baseline: str, actions: Sequence[Action]) -> tuple[Action, ...]:
    return tuple(sorted(actions, key=lambda action: action.id != baseline))


def _ranking(ids: Sequence[str], choice: Choice) -> list[RankedAction]:
    order = sorted(range(len(choice.actions)), key=lambda index: -choice.pmf[index])
    first = order.index(choice.chosen)
    order[0], order[first] = order[first], order[0]
    could_be = {action.id for action in choice.actions}
    ranked = iter(order)
    ranking: list[RankedAction] = []
    for action_id in ids:
        if action_id in could_be:
            index = next(ranked)
            ranking.append(RankedAction(choice.actions[index].id, choice.pmf[index]))
        else:
            ranking.append(RankedAction(action_id, 0.0))
    return ranking


def _decision(serving: ServingPlacement, event: Event, choice: Choice, slot: int) -> Decision:
    return Decision(
        event_id=event.event_id,
        placement=serving.placement.name,
        timestamp_ms=event.timestamp_ms,
        context=choice.context,
        actions=choice.actions,
        pmf=choice.pmf,
        index=choice.chosen,
        policy_version=serving.version,
        slot=slot,
        deferred=event.deferred,
        lid=lid_over(choice.actions, serving.offer.lid) or UNSET,
        traceparent=event.traceparent,
    )
