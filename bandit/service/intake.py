"""Takes in outcomes that come by other ways than the hot routes, under the same rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.operations.metrics import Metrics
from bandit.service.refusals import placement_not_found
from bandit.service.security.protection import Shield
from bandit.service.snapshots import Snapshots
from streams.events import OUTCOMES, REWARD, Outcome, Placement, encode
from streams.log import Message
from streams.traceparent import trace_headers


class Intake(NamedTuple):
    """What takes outcomes in; `buffered` as the settings' durability says."""

    appender: Appender
    snapshots: Snapshots
    metrics: Metrics
    buffered: bool
    clock_ms: Callable[[], int]
    protection: Shield

    async def take(self, outcomes: Sequence[tuple[str, Outcome]]) -> None:
        """Takes in outcomes, each with its placement; returns once they are durable.

        Raises:
            RequestError: nothing was taken, as far as can be told.
        """
        messages = [
            Message(OUTCOMES, o.event_id.encode(), encode(o), trace_headers(o.traceparent))
            for _, o in outcomes
        ]
        if messages:
            await self.write(messages)
        for placement, count in Counter(placement for placement, _ in outcomes).items():
            self.metrics.outcomes(placement, count)

    async def write(self, messages: Sequence[Message]) -> None:
        """Appends messages; returns once they are as durable as the settings want it.

        Raises:
            RequestError: nothing was taken, as far as can be told.
        """
        if self.buffered:
            self.appender.put(messages)
        else:
            await self.appender.append(messages)

    def placement(self, name: str) -> Placement:
        """Returns the placement.

        Raises:
            RequestError: `placement_not_found`.
        """
        serving = self.snapshots.placement(name)
        if serving is None:
            raise placement_not_found(name)
        return serving.placement


def check_reward(placement: Placement, kind: str, value: float) -> None:
    """Refuses a reward that is outside the placement's range.

    Raises:
        RequestError: `reward_out_of_range`.
    """
    rule = placement.reward
    if kind == REWARD and not rule.minimum <= value <= rule.maximum:
        raise RequestError(
            422,
            "reward_out_of_range",
            f"reward {value} is outside [{rule.minimum}, {rule.maximum}], the range of placement "
            f"{placement.name!r}",
            target="value",
        )
