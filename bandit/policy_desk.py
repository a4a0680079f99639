"""One placement's policy as the commands read and change it, on the log itself.

The log is the only truth, so a change is an append to the catalogue; the learner and every API
replica follow it.
"""

from __future__ import annotations

from typing import Final

from bandit.errors import VersionError
from bandit.versions import Version, versions_of
from streams.catalogue import CatalogueReader, catalogue_message
from streams.events import POLICIES, Placement, PolicySnapshot, PolicySpec, decode
from streams.fold import partitions, scan
from streams.log import Log
from streams.trials import TrialResult

BATCH: Final = 64
"""Snapshots of megabytes are read this many at a time."""


class PolicyDesk:
    """A placement as the log tells it now.

    Attributes:
        placement: as it is.
        versions: every policy that it has had, not yet counted.

    Raises:
        VersionError: the log has no such placement.
    """

    def __init__(self, log: Log, placement: str) -> None:
        reader = CatalogueReader(log)
        reader.catch_up()
        found = reader.catalogue.placement(placement)
        if found is None:
            known = ", ".join(each.name for each in reader.catalogue.placements()) or "none"
            raise VersionError(f"there is no placement {placement!r}; the log has: {known}")
        self._log = log
        self.placement: Placement = found
        self.versions: list[Version] = versions_of(reader.catalogue.dated_history(placement))

    def put(self, changed: Placement) -> PolicySpec | None:
        """Writes the placement; returns its new policy, None if it has that one already."""
        if changed.policy == self.placement.policy:
            return None
        self._log.append([catalogue_message(changed)])
        return changed.policy

    def trials(self) -> dict[str, TrialResult]:
        """Returns how everyone on trial did by the latest snapshot; empty if nobody is.

        Raises:
            EventError: the snapshot cannot be read.
        """
        key, latest = self.placement.name.encode(), None
        for partition in partitions(self._log, POLICIES):
            for record in scan(self._log, partition, limit=BATCH):
                latest = record if record.key == key else latest
        snapshot = None if latest is None else decode(latest.value)
        if not isinstance(snapshot, PolicySnapshot):
            return {}
        return snapshot.trials or {}
