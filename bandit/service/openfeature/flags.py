"""Evaluates flags: the creative that a user has, or one that the policy chooses now.

A provider asks for values long before anything is shown, again and again, and keeps what it was
told. So a decision is deferred, and kept for the user until its window ends; only what the user
is tracked to have seen or done makes it count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from msgspec import UNSET

from bandit.errors import RequestError
from bandit.lid import lid_over
from bandit.policy import sample_seed
from bandit.service.hot import action_pmf, let_in, new_id
from bandit.service.intake import Intake
from bandit.service.openfeature.assignments import Assignments, assignment_message
from bandit.service.openfeature.wire import ErrorCode, Evaluation, FlagError, User, value_of
from bandit.service.slots import choose
from bandit.service.snapshots import ServingPlacement
from streams.assignments import Assignment, Flag
from streams.errors import LogUnavailable
from streams.events import DECISIONS, FIRST_VERSION, SHORTLIST_VERSION, Decision, encode
from streams.log import Message
from streams.traceparent import trace_headers

TURN_EVERY: Final = 20
"""After how many decisions other requests get a turn."""
_DEFAULT: Final = Flag()


class _Made(NamedTuple):
    decision: Decision
    assignment: Assignment


class Flags:
    """Evaluates the placements of one application as flags; used from one event loop."""

    def __init__(self, intake: Intake, assignments: Assignments, clock_ms: Callable[[], int]):
        self.assignments = assignments
        self.intake = intake
        self._clock_ms = clock_ms
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def user_id(self, user: User) -> str:
        """Returns what a user is known by in the log: a hash, by the salt of private fields."""
        return self.intake.protection.hash_of(user.targeting_key)

    async def evaluate(
        self, placements: Sequence[ServingPlacement], user: User, traceparent: str | None
    ) -> list[Evaluation | FlagError]:
        """Returns the value of each placement for the user, or why it has none.

        What is decided now is in the log when this returns.

        Raises:
            RequestError: the log takes nothing now.
        """
        user_id = self.user_id(user)
        turn = self._turns.setdefault(user_id, asyncio.Lock())
        async with turn:  # so that one user's requests at once do not decide twice
            kept = self._still_good(placements, user_id)
            if len(kept) < len(placements):
                # Another replica may have decided. One that cannot be asked does not hold us up.
                with suppress(LogUnavailable):
                    await asyncio.to_thread(self.assignments.catch_up)
                kept = self._still_good(placements, user_id)
            errors = await self._decide(placements, user, user_id, kept, traceparent)
        found: list[Evaluation | FlagError] = []
        for serving in placements:
            name = serving.placement.name
            found.append(errors[name] if name in errors else _value(serving, kept[name]))
        return found

    def _still_good(
        self, placements: Sequence[ServingPlacement], user_id: str
    ) -> dict[str, Assignment]:
        """Returns what the user keeps: not a creative that is switched off."""
        kept = self.assignments.of(user_id)
        return {
            name: kept[name]
            for serving in placements
            if (name := serving.placement.name) in kept
            and kept[name].creative_id in serving.creatives
        }

    async def _decide(
        self,
        placements: Sequence[ServingPlacement],
        user: User,
        user_id: str,
        kept: dict[str, Assignment],
        traceparent: str | None,
    ) -> dict[str, FlagError]:
        """Adds to what is kept a new decision for each placement that has none."""
        errors: dict[str, FlagError] = {}
        made: list[_Made] = []
        for number, serving in enumerate(placements):
            name = serving.placement.name
            if name in kept:
                continue
            if number % TURN_EVERY == TURN_EVERY - 1:
                await asyncio.sleep(0)
            try:
                made.append(self._decision(serving, user, user_id, traceparent))
            except RequestError as error:
                unreadable = error.code == "features_invalid"
                code: ErrorCode = "INVALID_CONTEXT" if unreadable else "GENERAL"
                errors[name] = FlagError(400, code, f"{error.code}: {error}")
        await self._write(made)
        for each in made:
            self.assignments.add(each.assignment)
            kept[each.assignment.placement] = each.assignment
        return errors

    def _decision(
        self, serving: ServingPlacement, user: User, user_id: str, traceparent: str | None
    ) -> _Made:
        placement, actions, now_ms = serving.placement, serving.actions, self._clock_ms()
        if not actions:
            message = f"placement {placement.name!r} has no live creative"
            raise RequestError(409, "no_live_creatives", message)
        context = self.intake.protection.hidden(placement, user.context)
        if serving.constraints is not None:
            actions = serving.constraints.allowed(context, actions, now_ms)
        event_id = self.intake.protection.event_id(placement, None, new_id(now_ms))
        let = let_in(serving, actions, None, event_id)
        actions = actions if let is None else let.actions
        chosen = choose(context, actions, sample_seed(event_id), partial(action_pmf, serving))
        creative_id = chosen.actions[chosen.chosen].id
        decision = Decision(
            event_id=event_id,
            placement=placement.name,
            timestamp_ms=now_ms,
            context=chosen.context,
            actions=chosen.actions,
            pmf=chosen.pmf,
            index=chosen.chosen,
            policy_version=serving.version,
            deferred=True,
            shortlist=UNSET if let is None else let.note(creative_id),
            lid=lid_over(chosen.actions, serving.offer.lid) or UNSET,
            traceparent=traceparent,
            v=FIRST_VERSION if let is None else SHORTLIST_VERSION,
        )
        seconds = (placement.flag or _DEFAULT).sticky_seconds or placement.reward.window_seconds
        return _Made(
            decision,
            Assignment(
                placement=placement.name,
                user=user_id,
                event_id=event_id,
                creative_id=creative_id,
                propensity=decision.propensity,
                policy_version=serving.version,
                timestamp_ms=now_ms,
                until_ms=now_ms + int(seconds * 1e3),
            ),
        )

    async def _write(self, made: Sequence[_Made]) -> None:
        """Appends each decision before what says who has it: none is given that is not logged."""
        messages: list[Message] = []
        for decision, assignment in made:
            trace = trace_headers(decision.traceparent)
            key = decision.event_id.encode()
            messages.append(Message(DECISIONS, key, encode(decision), trace))
            messages.append(assignment_message(assignment))
        if messages:
            await self.intake.write(messages)
        for decision, _ in made:
            self.intake.metrics.decisions(decision.placement, 1)


def _value(serving: ServingPlacement, kept: Assignment) -> Evaluation | FlagError:
    name = serving.placement.name
    creative = serving.creatives.get(kept.creative_id)
    if creative is None:  # switched off in this very moment
        return FlagError(400, "GENERAL", f"creative {kept.creative_id!r} is not live any more")
    try:
        value = value_of(serving.placement.flag or _DEFAULT, creative.id, creative.parts)
    except FlagError as error:
        return error
    return Evaluation(
        key=name,
        value=value,
        variant=creative.id,
        metadata={
            "eventId": kept.event_id,
            "propensity": kept.propensity,
            "policyVersion": kept.policy_version,
            "placement": name,
        },
    )
