"""Evaluates flags: the creative that a user has, or one that the policy chooses now.

A provider asks for values long before anything is shown, again and again, and keeps what it was
told. So a decision is deferred, and kept for the user until its window ends; only what the user
is tracked to have seen or done makes it count. OFREP has no tracking yet, so that is an extension.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from bandit.errors import RequestError
from bandit.service.choosing.candidates import Decided
from bandit.service.compat.openfeature.wire import (
    ErrorCode,
    FlagError,
    FlagValue,
    TrackBody,
    User,
    value_of,
)
from bandit.service.decide import Decider, DecisionRequest, serving_of
from bandit.service.record import KIND_UNKNOWN, Accepted, Recorder
from bandit.service.requests import OutcomeRequest
from bandit.service.state import ServingPlacement, Snapshots
from streams.errors import EventError, LogUnavailable
from streams.events import ACTIVATION, ASSIGNMENTS, decode, encode
from streams.events.access import Assignment, Flag
from streams.fold import Follower, scan
from streams.logs.base import Log, Message, TopicPartition

logger = logging.getLogger(__name__)

PARTITION: Final = TopicPartition(ASSIGNMENTS, 0)
LOOK_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 60.0
"""How often what is over is dropped from memory."""


class Assignments:
    """The assignments of one log that are not over; safe to use from several threads."""

    def __init__(self, log: Log, clock_ms: Callable[[], int]) -> None:
        self._log = log
        self._clock_ms = clock_ms
        self._offset = 0
        self._by_user: dict[str, dict[str, Assignment]] = {}
        self._looking = threading.Lock()
        self._swept_at = time.monotonic()
        self._follower = Follower("assignments", self._look, every_seconds=LOOK_SECONDS)
        self.stop = self._follower.stop

    def of(self, user: str) -> dict[str, Assignment]:
        """Returns what a user has now, by placement."""
        now_ms = self._clock_ms()
        found = dict(self._by_user.get(user, {}))
        return {name: kept for name, kept in found.items() if kept.until_ms > now_ms}

    def start(self) -> None:
        """Reads the assignments, then follows them until `stop`.

        Raises:
            LogError: the log cannot be read.
        """
        self._offset = self._log.start_offset(PARTITION)
        self.catch_up()
        self._follower.start()

    def catch_up(self) -> None:
        """Takes in what the log says by now.

        Raises:
            LogUnavailable: the log cannot be reached.
        """
        with self._looking:
            for record in scan(self._log, PARTITION, self._offset):
                self._take(record.value)
                self._offset = record.offset + 1

    def _take(self, value: bytes) -> None:
        try:
            event = decode(value)
        except EventError as error:
            logger.error("a record of %s is no assignment, and is left out: %s", ASSIGNMENTS, error)
            return
        if isinstance(event, Assignment):
            self._by_user.setdefault(event.user, {})[event.placement] = event

    def add(self, assignment: Assignment) -> None:
        """Takes in what this replica has just written, before it is read back."""
        with self._looking:
            self._by_user.setdefault(assignment.user, {})[assignment.placement] = assignment

    def _look(self) -> None:
        self.catch_up()
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at, now_ms = time.monotonic(), self._clock_ms()
            with self._looking:
                self._by_user = {
                    user: left
                    for user, kept in self._by_user.items()
                    if (left := {name: a for name, a in kept.items() if a.until_ms > now_ms})
                }


EXPOSURE: Final = "exposure"
"""The event that says that the user saw the creative, and nothing else."""
OF_CONTEXT: Final = frozenset(["features_invalid", "too_many_features", "question_too_costly"])
"""Codes of refusals that are about the user's context."""
TURN_SECONDS: Final = 0.005
"""After how long other requests get a turn."""
_DEFAULT: Final = Flag()


class Flags:
    """Evaluates the placements of one application as flags; used from one event loop."""

    def __init__(
        self, snapshots: Snapshots, decider: Decider, recorder: Recorder, assignments: Assignments
    ) -> None:
        self.snapshots = snapshots
        self._decider = decider
        self._recorder = recorder
        self._assignments = assignments
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def evaluate(
        self, placements: Sequence[ServingPlacement], user: User, traceparent: str | None
    ) -> list[FlagValue | FlagError]:
        """Returns the value of each placement for the user, or why it has none.

        What is decided now is in the log when this returns, unless the spool is full and the
        settings let decisions go on: nobody keeps such a one.

        Raises:
            RequestError: the log takes nothing now.
        """
        user_id = self._user_id(user)
        turn = self._turns.setdefault(user_id, asyncio.Lock())
        async with turn:  # so that one user's requests at once do not decide twice
            kept = self._still_good(placements, user_id)
            if len(kept) < len(placements):
                # Another replica may have decided. One that cannot be asked does not hold us up.
                with suppress(LogUnavailable):
                    await asyncio.to_thread(self._assignments.catch_up)
                kept = self._still_good(placements, user_id)
            errors = await self._decide(placements, user, user_id, kept, traceparent)
        found: list[FlagValue | FlagError] = []
        for serving in placements:
            name = serving.placement.name
            found.append(errors[name] if name in errors else _value(serving, kept[name]))
        return found

    def _still_good(
        self, placements: Sequence[ServingPlacement], user_id: str
    ) -> dict[str, Assignment]:
        """Returns what the user keeps: not a creative that is switched off."""
        kept = self._assignments.of(user_id)
        return {
            name: kept[name]
            for serving in placements
            if (name := serving.placement.name) in kept
            and kept[name].creative_id in serving.creatives
        }

    async def track(
        self,
        body: TrackBody,
        user: User,
        traceparent: str | None,
        may_ask: Callable[[str], bool] = lambda _: True,
    ) -> dict[str, str]:
        """Takes what an event says of the user's decisions; returns their event ids, by flag.

        With a flag, or the event id of an evaluation, the decision counts from then on: nobody
        does anything with a creative that they were not shown. Without, the event goes to all
        that the user has, and activates none. A creative that is seen again after its decision
        is over, since a provider kept it, has a decision of its own. Flags that the caller may not
        ask about (`may_ask`) are as if they were not there.

        Raises:
            FlagError: `FLAG_NOT_FOUND`: the flag, or a decision of it for the user, is not there;
                `GENERAL`: the value is none that the placement takes, or the evaluation is over.
            RequestError: the log takes nothing now.
        """
        details, outcomes = body.details, []
        if details.flag is not None and not may_ask(details.flag):
            raise FlagError(404, "FLAG_NOT_FOUND", f"there is no placement {details.flag!r}")
        if body.event == EXPOSURE and details.event_id is not None:
            again = await self._seen_again(body, user, traceparent)
            if again is not None:
                return again
        if details.flag is not None:
            outcomes.append(OutcomeRequest(kind=ACTIVATION))
        if body.event != EXPOSURE:
            outcome_id = details.outcome_id
            said = OutcomeRequest(kind=body.event, value=details.value, outcome_id=outcome_id)
            outcomes.append(said)
        accepted: list[Accepted] = []
        tracked = {name: id_ for name, id_ in self._tracked(body, user).items() if may_ask(name)}
        taken, unknown = {}, None
        for name, event_id in tracked.items():
            try:
                placement = serving_of(self.snapshots, name).placement
                accepted += self._recorder.accepted(placement, event_id, outcomes, traceparent)
                taken[name] = event_id
            except RequestError as error:
                failed = FlagError(error.status, "GENERAL", f"{error.code}: {error}")
                # What goes to all that a user has is for those that reward it.
                if details.flag is not None or error.code != KIND_UNKNOWN:
                    raise failed from error
                unknown = failed
        if unknown is not None and not taken:
            raise unknown
        await self._recorder.write(accepted)
        return taken

    async def _seen_again(
        self, body: TrackBody, user: User, traceparent: str | None
    ) -> dict[str, str] | None:
        """Logs a showing of an evaluation that is over; returns its id, None if it is not over."""
        variant, tracked = body.details.variant, self._tracked(body, user)
        ((name, earlier),) = tracked.items()
        request = DecisionRequest(user.context, traceparent=traceparent)
        try:
            serving = serving_of(self.snapshots, name)
            event_id = self._decider.again_id(serving.placement, earlier)
            if event_id is None:
                return None
            shown = [action for action in serving.actions if action.id == variant]
            if not shown:
                raise FlagError(
                    400,
                    "GENERAL",
                    f"evaluation {earlier!r} is over; details.variant is {variant!r}, and has to "
                    f"be the live creative of {name!r} that was shown, so that it counts anew",
                )
            decided = self._decider.certain(serving, shown[0], event_id, request)
        except RequestError as error:
            raise FlagError(error.status, "GENERAL", f"{error.code}: {error}") from error
        await self._decider.log([decided])
        return {name: event_id}

    def _tracked(self, body: TrackBody, user: User) -> dict[str, str]:
        """Returns the event ids that are meant, by placement."""
        details = body.details
        if details.event_id is not None:
            if details.flag is None:
                raise FlagError(400, "GENERAL", "details.eventId needs details.flag beside it")
            return {details.flag: details.event_id}
        kept = self._assignments.of(self._user_id(user))
        if details.flag is None:
            return {name: assignment.event_id for name, assignment in kept.items()}
        if details.flag not in kept:
            message = f"the user has no evaluation of {details.flag!r}, or it is over"
            raise FlagError(404, "FLAG_NOT_FOUND", message)
        return {details.flag: kept[details.flag].event_id}

    def _user_id(self, user: User) -> str:
        """Returns what a user is known by in the log: a hash, by the salt of private fields."""
        return self._recorder.privacy.hash_of(user.targeting_key)

    async def _decide(
        self,
        placements: Sequence[ServingPlacement],
        user: User,
        user_id: str,
        kept: dict[str, Assignment],
        traceparent: str | None,
    ) -> dict[str, FlagError]:
        """Adds to what is kept a new decision for each placement that has none.

        Raises:
            RequestError: `decisions_too_large`, or the log takes nothing now.
        """
        errors: dict[str, FlagError] = {}
        decided: list[Decided] = []
        made: list[Assignment] = []
        asked = DecisionRequest(user.context, deferred=True, traceparent=traceparent)
        missing = [serving for serving in placements if serving.placement.name not in kept]
        self._decider.check_logged(len(missing), user.context)
        turned = time.perf_counter()
        for serving in missing:
            name = serving.placement.name
            if time.perf_counter() - turned > TURN_SECONDS:
                await asyncio.sleep(0)
                turned = time.perf_counter()
            try:
                decided.append(await self._decider.choose(serving, asked))
            except RequestError as error:
                code: ErrorCode = "INVALID_CONTEXT" if error.code in OF_CONTEXT else "GENERAL"
                errors[name] = FlagError(400, code, f"{error.code}: {error}")
            else:
                made.append(_assignment(serving, user_id, decided[-1]))
        kept.update((each.placement, each) for each in made)
        # A decision is before what says who has it, and nobody keeps one that is not logged.
        kept_by = [Message(ASSIGNMENTS, each.key, encode(each), partition=0) for each in made]
        if made and await self._decider.log(decided, kept_by):
            for each in made:
                self._assignments.add(each)
        return errors


def _assignment(serving: ServingPlacement, user_id: str, decided: Decided) -> Assignment:
    placement, metadata, (selection,) = serving.placement, decided.metadata, decided.selections
    seconds = (placement.flag or _DEFAULT).sticky_seconds or placement.reward.window_seconds
    return Assignment(
        placement=placement.name,
        user=user_id,
        event_id=metadata.event_id,
        creative_id=selection.action.id,
        propensity=selection.propensity,
        policy_version=serving.version,
        timestamp_ms=metadata.timestamp_ms,
        until_ms=metadata.timestamp_ms + int(seconds * 1e3),
    )


def _value(serving: ServingPlacement, kept: Assignment) -> FlagValue | FlagError:
    name = serving.placement.name
    creative = serving.creatives.get(kept.creative_id)
    if creative is None:  # switched off in this very moment
        return FlagError(400, "GENERAL", f"creative {kept.creative_id!r} is not live any more")
    try:
        value = value_of(serving.placement.flag or _DEFAULT, creative.id, creative.parts)
    except FlagError as error:
        return error
    return FlagValue(
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
