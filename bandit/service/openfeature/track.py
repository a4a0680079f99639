"""Takes in what users were seen to do: OFREP has no tracking yet, so this is an extension of it.

It finds the decisions that the user's flags go back to, and writes outcomes of them.
"""

from __future__ import annotations

from typing import Final

from bandit.errors import RequestError
from bandit.service.intake import check_reward
from bandit.service.openfeature.flags import Flags
from bandit.service.openfeature.wire import FlagError, TrackBody, User
from bandit.service.requests import OutcomeRequest, derived_outcome_id
from streams.events import ACTIVATION, Outcome

EXPOSURE: Final = "exposure"
"""The event that says that the user saw the creative, and nothing else."""


async def track(flags: Flags, body: TrackBody, user: User, traceparent: str | None) -> int:
    """Writes what an event says of the user's decisions; returns of how many.

    With a flag, or the event id of an evaluation, the decision counts from then on: nobody does
    anything with a creative that they were not shown. Without, the event goes to all that the
    user has, and activates none.

    Raises:
        FlagError: `FLAG_NOT_FOUND`: the flag, or a decision of it for the user, is not there;
            `GENERAL`: the value is none that the placement takes.
        RequestError: the log takes nothing now.
    """
    intake, details = flags.intake, body.details
    outcomes: list[tuple[str, Outcome]] = []
    for placement, event_id in _decisions(flags, body, user).items():
        try:
            found = intake.placement(placement)
            intake.protection.check_signed(found, event_id)
            check_reward(found, body.event, details.value)
        except RequestError as error:
            raise FlagError(error.status, "GENERAL", f"{error.code}: {error}") from error
        kinds: list[tuple[str, float, str | None]] = []
        if details.flag is not None:
            kinds.append((ACTIVATION, 1.0, None))
        if body.event != EXPOSURE:
            kinds.append((body.event, details.value, details.outcome_id))
        for kind, value, outcome_id in kinds:
            said = OutcomeRequest(kind=kind, value=value)
            outcomes.append(
                (
                    placement,
                    Outcome(
                        event_id=event_id,
                        outcome_id=outcome_id or derived_outcome_id(event_id, said),
                        kind=kind,
                        timestamp_ms=intake.clock_ms(),
                        value=value,
                        traceparent=traceparent,
                    ),
                )
            )
    await intake.take(outcomes)
    return len({outcome.event_id for _, outcome in outcomes})


def _decisions(flags: Flags, body: TrackBody, user: User) -> dict[str, str]:
    """Returns the event ids that are meant, by placement."""
    details = body.details
    if details.event_id is not None:
        if details.flag is None:
            raise FlagError(400, "GENERAL", "details.eventId needs details.flag beside it")
        return {details.flag: details.event_id}
    kept = flags.assignments.of(flags.user_id(user))
    if details.flag is None:
        return {name: assignment.event_id for name, assignment in kept.items()}
    if details.flag not in kept:
        message = f"the user has no evaluation of {details.flag!r}, or it is over"
        raise FlagError(404, "FLAG_NOT_FOUND", message)
    return {details.flag: kept[details.flag].event_id}
