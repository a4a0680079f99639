"""Takes outcomes: the one way from what came of a decision to the log, for every protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from bandit.errors import RequestError
from bandit.service.auth.privacy import PrivacyFilter
from bandit.service.log_writer import Appender
from bandit.service.ops.metrics import Metrics
from bandit.service.requests import OutcomeRequest, derived_outcome_id
from streams.events import OUTCOMES, REWARD, UNREWARDED, Outcome, Placement, encode
from streams.logs.base import Message
from streams.logs.cloudevents import trace_headers

KIND_UNKNOWN: Final = "kind_unknown"


class Accepted(NamedTuple):
    """An outcome that passed the checks of its placement, not written yet."""

    placement: str
    outcome: Outcome


class Recorder(NamedTuple):
    """Takes the outcomes of one application; used from one event loop."""

    appender: Appender
    metrics: Metrics
    clock_ms: Callable[[], int]
    privacy: PrivacyFilter

    async def take(
        self,
        placement: Placement,
        event_id: str,
        requests: Sequence[OutcomeRequest],
        traceparent: str | None,
    ) -> None:
        """Writes all the outcomes, as `accepted` and `write` do, or none."""
        await self.write(self.accepted(placement, event_id, requests, traceparent))

    def accepted(
        self,
        placement: Placement,
        event_id: str,
        requests: Iterable[OutcomeRequest],
        traceparent: str | None,
    ) -> list[Accepted]:
        """Returns the outcomes as they are to be written.

        Raises:
            RequestError: `reward_unsigned`, `kind_unknown` or `reward_out_of_range`.
        """
        self.privacy.check_signed(placement, event_id)
        now_ms, found = self.clock_ms(), []
        for request in requests:
            _check_kind(placement, request.kind)
            _check_reward(placement, request)
            outcome = Outcome(
                event_id=event_id,
                outcome_id=request.outcome_id or derived_outcome_id(event_id, request),
                kind=request.kind,
                timestamp_ms=now_ms if request.timestamp_ms is None else request.timestamp_ms,
                value=request.value,
                slot=request.slot,
                traceparent=traceparent,
            )
            found.append(Accepted(placement.name, outcome))
        return found

    async def write(self, accepted: Sequence[Accepted]) -> None:
        """Writes outcomes, and counts them; returns once they are as durable as is wanted.

        Raises:
            RequestError: the log takes nothing now: none was taken, as far as can be told.
        """
        messages = [
            Message(OUTCOMES, o.event_id.encode(), encode(o), trace_headers(o.traceparent))
            for _, o in accepted
        ]
        if messages:
            await self.appender.write(messages)
        for placement, count in Counter(placement for placement, _ in accepted).items():
            self.metrics.outcomes(placement, count)


def _check_kind(placement: Placement, kind: str) -> None:
    kinds = placement.reward.kinds
    if kind not in kinds and kind not in UNREWARDED:
        raise RequestError(
            422,
            KIND_UNKNOWN,
            f"placement {placement.name!r} rewards no {kind!r}, so it would count for nothing; its "
            f"kinds are {', '.join(kinds) or 'none'}; send one of them, or add it to the reward",
            target="kind",
        )


def _check_reward(placement: Placement, request: OutcomeRequest) -> None:
    rule = placement.reward
    if request.kind == REWARD and not rule.minimum <= request.value <= rule.maximum:
        raise RequestError(
            422,
            "reward_out_of_range",
            f"reward {request.value} is outside [{rule.minimum}, {rule.maximum}], the range of "
            f"placement {placement.name!r}",
            target="value",
        )
