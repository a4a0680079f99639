"""What a creative's status may become, and a person's yes or no to those that wait for one.

The API's routes and the commands keep to the same rules; the commands work on the log itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from bandit.errors import ReviewError
from bandit.service.security.acts import catalogue_act, superseded
from streams.catalogue import CatalogueReader, catalogue_key, change_messages
from streams.changes import Change
from streams.events import Creative, CreativeStatus
from streams.log import Log

TRANSITIONS: Final[dict[CreativeStatus, tuple[CreativeStatus, ...]]] = {
    "proposed": ("screened", "rejected"),
    "screened": ("live", "rejected"),
    "live": ("paused", "retired", "rejected"),
    "paused": ("live", "retired", "rejected"),
    "retired": ("rejected",),
    "rejected": (),
}
"""From which status a creative may go to which, without a person's review."""
WAITING: Final[tuple[CreativeStatus, ...]] = ("proposed", "screened")
"""The statuses of creatives that wait for a review."""
REVIEWED_TO: Final[dict[CreativeStatus, tuple[CreativeStatus, ...]]] = {
    "proposed": ("live", "rejected"),
    "screened": ("live", "rejected"),
    "live": ("rejected",),
    "paused": ("rejected",),
    "retired": ("rejected",),
    "rejected": (),
}
"""What a review may make of a creative: anything that is not rejected yet may be."""


class ReviewDesk:
    """The creatives of a log, for who reviews them; `who` is recorded with every verdict."""

    def __init__(self, log: Log, who: str) -> None:
        self._log = log
        self._who = who
        self._reader = CatalogueReader(log)
        self._reader.catch_up()

    def creatives(
        self, placement: str | None = None, statuses: Sequence[CreativeStatus] = WAITING
    ) -> list[Creative]:
        """Returns the creatives with one of these statuses, by placement, the oldest first.

        Raises:
            ReviewError: there is no placement by that name.
        """
        catalogue = self._reader.catalogue
        names = [found.name for found in catalogue.placements()]
        if placement is not None and placement not in names:
            known = ", ".join(names) or "none"
            raise ReviewError(f"there is no placement {placement!r}; the log has: {known}")
        wanted = names if placement is None else [placement]
        found = [creative for name in wanted for creative in catalogue.creatives(name)]
        return [creative for creative in found if creative.status in statuses]

    def approve(self, placement: str, creative_id: str, now_ms: int) -> Creative:
        """Makes a creative that waits for a review live; returns it.

        Raises:
            ReviewError: there is no such creative, it does not wait, or someone else changed it
                at the same moment; nothing was changed.
        """
        return self._judge(placement, creative_id, "live", None, now_ms)

    def reject(self, placement: str, creative_id: str, reason: str, now_ms: int) -> Creative:
        """Rejects a creative, whatever it is but rejected already; returns it with the reason.

        Raises:
            ReviewError: as `approve`, or the reason is blank.
        """
        if not reason.strip():
            raise ReviewError("a rejection needs a reason: the generator keeps clear of it, too")
        return self._judge(placement, creative_id, "rejected", reason.strip(), now_ms)

    def _judge(
        self,
        placement: str,
        creative_id: str,
        status: CreativeStatus,
        reason: str | None,
        now_ms: int,
    ) -> Creative:
        self._reader.catch_up()
        before = self._reader.catalogue.creative(placement, creative_id)
        if before is None:
            raise ReviewError(f"placement {placement!r} has no creative {creative_id!r}")
        if status not in REVIEWED_TO[before.status]:
            raise ReviewError(
                f"creative {creative_id!r} is {before.status}; a review cannot make it {status}, "
                f"but those that are {' or '.join(WAITING)} wait for one"
            )
        after = msgspec.structs.replace(before, status=status, reason=reason)
        name = catalogue_key(after)
        # Whoever changed it since it was read keeps what they made of it.
        change = Change(id=secrets.token_hex(12), expects={name: self._reader.changes.stamp(name)})
        act = catalogue_act(self._who, before, after, now_ms)
        self._log.append([act, *change_messages([after], change)])
        self._reader.catch_up()
        if not self._reader.changes.counted(change.id):
            self._log.append([superseded(act)])
            raise ReviewError(f"creative {creative_id!r} was changed meanwhile; look at it again")
        return after
