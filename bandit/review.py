"""What a creative's status may become, and a person's yes or no to those that wait for one.

The API's routes and the commands keep to the same rules; the commands work on the log itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from bandit.errors import ReviewError
from streams.catalogue.state import Catalogue
from streams.catalogue.writer import CatalogueWriter, Condition
from streams.events import Creative, CreativeStatus

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


def creatives_with(
    catalogue: Catalogue,
    placement: str | None = None,
    statuses: Sequence[CreativeStatus] = WAITING,
) -> list[Creative]:
    """Returns the creatives with one of these statuses, by placement, the oldest first.

    Raises:
        ReviewError: there is no placement by that name.
    """
    names = [found.name for found in catalogue.placements()]
    if placement is not None and placement not in names:
        known = ", ".join(names) or "none"
        raise ReviewError(f"there is no placement {placement!r}; the log has: {known}")
    wanted = names if placement is None else [placement]
    found = [creative for name in wanted for creative in catalogue.creatives(name)]
    return [creative for creative in found if creative.status in statuses]


def review(
    writer: CatalogueWriter,
    placement: str,
    creative_id: str,
    reason: str | None,
    by: str,
    condition: Condition | None = None,
) -> Creative:
    """Makes a creative live that waits for a review, or rejects it with a reason; returns it.

    Args:
        writer: of the log that has the creative.
        placement: whose it is.
        creative_id: which it is.
        reason: of a rejection, which is possible whatever the creative is but rejected already;
            None to approve it.
        by: who reviews it.
        condition: what it was when it was read, None for what it is now.

    Raises:
        ReviewError: there is no such creative, the review cannot make it so, or a blank reason.
        ChangeRefused: somebody else changed it since; nothing was changed.
    """
    if reason is not None and not reason.strip():
        raise ReviewError("a rejection needs a reason: the generator keeps clear of it, too")
    status: CreativeStatus = "live" if reason is None else "rejected"

    def reviewed() -> list[Creative]:
        before = writer.catalogue.creative(placement, creative_id)
        if before is None:
            raise ReviewError(f"placement {placement!r} has no creative {creative_id!r}")
        if status not in REVIEWED_TO[before.status]:
            raise ReviewError(
                f"creative {creative_id!r} is {before.status}; a review cannot make it {status}, "
                f"but those that are {' or '.join(WAITING)} wait for one"
            )
        return [replace(before, status=status, reason=reason and reason.strip())]

    name = f"creative/{placement}/{creative_id}"
    writer.commit([name], reviewed, by, condition or writer.as_seen(name))
    return writer.catalogue.creatives_by_id(placement)[creative_id]
