"""How the admin routes read and change the catalogue.

The log is the only truth, so a change is an append; the answer waits until what this replica
serves has read it back, so that whoever makes a placement can ask it for a rank next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.refusals import placement_not_found
from bandit.service.snapshots import ServingPlacement, Snapshots
from streams.catalogue import Catalogue, catalogue_message
from streams.events import Creative, Generation, Placement
from streams.log import Log

READ_BACK_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.005


class Editor:
    """Reads and changes one log's catalogue, from one event loop.

    Attributes:
        catalogue: to be read only.
        log: to be read beyond what is served, in a thread of its own.
        clock_ms: the time that changes carry.
        turn: held from looking until having written, so that two changes do not cross here;
            of two replicas, the one that writes last wins.
    """

    def __init__(
        self, log: Log, snapshots: Snapshots, appender: Appender, clock_ms: Callable[[], int]
    ) -> None:
        self.log = log
        self._snapshots = snapshots
        self._appender = appender
        self.catalogue: Catalogue = snapshots.catalogue
        self.clock_ms = clock_ms
        self.turn = asyncio.Lock()

    def placement(self, name: str) -> Placement:
        """Returns the placement.

        Raises:
            RequestError: `placement_not_found`.
        """
        found = self.catalogue.placement(name)
        if found is None:
            raise placement_not_found(name)
        return found

    def serving(self, name: str) -> ServingPlacement:
        """Returns what the placement is served with.

        Raises:
            RequestError: `placement_not_found`.
        """
        found = self._snapshots.placement(name)
        if found is None:
            raise placement_not_found(name)
        return found

    def creative(self, placement: str, creative_id: str) -> Creative:
        """Returns the placement's creative.

        Raises:
            RequestError: `placement_not_found` or `creative_not_found`.
        """
        self.placement(placement)
        found = self.catalogue.creative(placement, creative_id)
        if found is None:
            message = f"placement {placement!r} has no creative {creative_id!r}"
            raise RequestError(404, "creative_not_found", message, target="creative")
        return found

    def generation(self, placement: str, generation_id: str) -> Generation:
        """Returns the placement's generation.

        Raises:
            RequestError: `placement_not_found` or `generation_not_found`.
        """
        self.placement(placement)
        found = self.catalogue.generation(generation_id)
        if found is None or found.placement != placement:
            message = f"placement {placement!r} has no generation {generation_id!r}"
            raise RequestError(404, "generation_not_found", message, target="generation")
        return found

    async def write(self, events: Sequence[Placement | Creative | Generation]) -> None:
        """Appends the events, all or none, and returns once they are read back.

        Raises:
            RequestError: `log_unavailable` or `overloaded`: nothing was written, as far as can
                be told; `catalogue_behind`: it was, but does not show here yet.
        """
        messages = [catalogue_message(event) for event in events]
        written = await self._appender.append_through(messages)
        last = written[-1].offset
        deadline = time.monotonic() + READ_BACK_SECONDS
        while self._snapshots.catalogue_offset <= last:
            if time.monotonic() > deadline:
                raise RequestError(
                    503,
                    "catalogue_behind",
                    f"the change is in the log at offset {last}, but could not be read back in "
                    f"{READ_BACK_SECONDS} seconds; it shows once the log can be read",
                )
            await asyncio.sleep(POLL_SECONDS)
