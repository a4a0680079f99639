"""How the admin routes read and change the catalogue.

A change is an append to the log. The answer waits until this replica has read the change back, so
that a client which makes a placement can ask for a rank next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final, TypeVar

from msgspec import Struct

from bandit.errors import RequestError
from bandit.service.auth.caller import OPEN, Caller
from bandit.service.decide import serving_of
from bandit.service.errors import placement_not_found
from bandit.service.log_writer import Appender
from bandit.service.resource import view_of
from bandit.service.state import ServingPlacement, Snapshots
from streams.catalogue.audit_log import act_message
from streams.catalogue.state import Catalogue, catalogue_key
from streams.catalogue.writer import Committing, Condition, Repeatable, tag_of
from streams.errors import ChangeRefused
from streams.events import CATALOGUE, Catalogued, Creative, Placement
from streams.events.creatives import GeneratorVersion
from streams.logs.base import Log, Message

READ_BACK_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.005
_STATUS: Final = {"precondition_failed": 412, "idempotency_key_reused": 422}
_TARGET: Final = {"idempotency_key_reused": "Idempotency-Key"}
_View = TypeVar("_View", bound=Struct)


class Editor:
    """Reads and changes one log's catalogue, from one event loop.

    Attributes:
        catalogue: to be read only.
        log: to be read beyond what is served, in a thread of its own.
        clock_ms: the time that changes carry.
        caller: who asks.
        who: who is recorded as having made the changes.
    """

    def __init__(
        self, log: Log, snapshots: Snapshots, appender: Appender, clock_ms: Callable[[], int]
    ) -> None:
        self.log = log
        self._snapshots = snapshots
        self._appender = appender
        self.catalogue: Catalogue = snapshots.catalogue
        self.clock_ms = clock_ms
        # Held from looking until having written, so that no two changes cross in this process.
        self._turn = asyncio.Lock()
        self.caller, self.who = OPEN, OPEN.id

    def on_behalf_of(self, caller: Caller) -> Editor:
        """Returns the same editor, whose changes are recorded as acts of the caller."""
        theirs = copy(self)
        theirs.caller, theirs.who = caller, caller.id
        return theirs

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
        return serving_of(self._snapshots, name)

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

    def generator_version(self, version_id: str) -> GeneratorVersion:
        """Returns the version of the generator.

        Raises:
            RequestError: `generator_version_not_found`.
        """
        found = self.catalogue.generator_version(version_id)
        if found is None:
            message = f"there is no version {version_id!r} of the generator"
            raise RequestError(404, "generator_version_not_found", message, target="version")
        return found

    def view(self, kind: type[_View], event: Catalogued, **more: Any) -> _View:
        """Returns the event as a view of this kind, with its present entity tag, and more."""
        tag = tag_of(self._snapshots.changes, catalogue_key(event))
        return view_of(kind, event, etag=tag, **more)

    async def change(
        self,
        names: Sequence[str],
        make: Callable[[], Sequence[Catalogued]],
        *,
        condition: Condition | None = None,
        repeatable: Repeatable | None = None,
    ) -> list[Catalogued]:
        """Writes what `make` returns, all or none, and returns it; see `Committing`.

        Raises:
            RequestError: what `make` refuses; `precondition_failed`; `idempotency_key_reused`;
                `log_unavailable` or `overloaded`: nothing was written, as far as can be told;
                `catalogue_behind`: it was, but does not show here yet; `contended`.
        """
        async with self._turn:
            committing = Committing(
                self._snapshots, names, make, self.who, self.clock_ms(), condition, repeatable
            )
            try:
                for messages in committing:
                    await self._append(messages)
            except ChangeRefused as error:
                status = _STATUS.get(error.code, 503)
                target = _TARGET.get(error.code)
                raise RequestError(status, error.code, str(error), target=target) from error
        return committing.written

    async def record(self, what: str, target: str) -> None:
        """Records an act of the caller that changes nothing in the catalogue.

        Raises:
            RequestError: `log_unavailable` or `overloaded`.
        """
        act = act_message(self.who, what, target, self.clock_ms())
        await self._appender.append_through([act])

    async def _append(self, messages: Sequence[Message]) -> None:
        """Appends the messages; returns once what this replica serves has read them back."""
        written = await self._appender.append_through(messages)
        last = max((at.offset for at in written if at.topic == CATALOGUE), default=-1)
        deadline = time.monotonic() + READ_BACK_SECONDS
        while self._snapshots.catalogue_offset <= last:
            if time.monotonic() > deadline:
                raise ChangeRefused(
                    "catalogue_behind",
                    f"the change is in the log at offset {last}, but could not be read back in "
                    f"{READ_BACK_SECONDS} seconds; it shows once the log can be read",
                )
            await asyncio.sleep(POLL_SECONDS)
