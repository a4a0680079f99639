"""The generator's versions as the commands and the generator itself read and change them.

They work on the log, by the one writer of its catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from bandit.errors import GeneratorVersionError
from bandit.lifecycle import (
    StatusChange,
    on_trial,
    rolled_back,
    touched,
)
from generator.versions.gate import passed, verdict
from generator.versions.store import Adopted, summary
from streams.catalogue.state import Catalogue, CatalogueReader
from streams.catalogue.writer import CatalogueWriter
from streams.events import Catalogued
from streams.events.creatives import CANARY_SHARE, Canary, GateRow, GeneratorVersion
from streams.logs.base import Log
from streams.logs.embedded import wall_clock_ms

GENERATOR: Final = "generator"
"""Who is recorded where the generator acts by itself."""
CREATIVES: Final = 8
"""How many creatives a canary is asked for in each placement."""


class VersionRegistry:
    """The versions in a log, for who changes them: `by` is recorded with every change.

    Every change raises `ChangeRefused` if somebody else changed the version meanwhile.

    Attributes:
        catalogue: as of the last change or look.
    """

    def __init__(
        self,
        log: Log,
        by: str,
        *,
        reader: CatalogueReader | None = None,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._by = by
        self._clock_ms = clock_ms
        self._writer = CatalogueWriter(log, reader=reader, clock_ms=clock_ms)
        self.catalogue: Catalogue = self._writer.catalogue

    def add(self, adopted: Adopted, gate: Sequence[GateRow]) -> GeneratorVersion:
        """Writes a version with its gate's verdict, `candidate` or `rejected`; returns it.

        One that the log has already stays as it is.
        """

        def added() -> list[Catalogued]:
            if self.catalogue.generator_version(adopted.id) is not None:
                return []
            champion = self.catalogue.champion
            return [
                GeneratorVersion(
                    id=adopted.id,
                    status="candidate" if passed(gate) else "rejected",
                    timestamp_ms=self._clock_ms(),
                    parent=None if champion is None else champion.id,
                    manifest=summary(adopted.manifest),
                    gate=tuple(gate),
                    reason=verdict(gate),
                    by=self._by,
                )
            ]

        self._writer.commit([f"generator_version/{adopted.id}"], added, self._by)
        return self.version(adopted.id)

    def try_out(self, version_id: str, *, share: float = CANARY_SHARE) -> None:
        """Makes a candidate the canary, and asks it for creatives.

        Raises:
            GeneratorVersionError: its status forbids it.
        """
        earlier = self.catalogue.canary

        def tried() -> list[Catalogued]:
            return on_trial(
                self.catalogue,
                version_id,
                share=share,
                creatives=CREATIVES,
                now_ms=self._clock_ms(),
                by=self._by,
                why="passed the gate",
            )

        self._commit([version_id, *([] if earlier is None else [earlier.id])], tried)

    def progress(self, version_id: str, canary: Canary) -> None:
        """Writes how a canary does, which is no act: the log says so already.

        Raises:
            GeneratorVersionError: there is none by that id.
        """
        name = f"generator_version/{version_id}"
        self._writer.commit(
            [name],
            lambda: [replace(self.version(version_id), canary=canary)],
            None,
            self._writer.as_seen(name),
        )

    def move(self, change: StatusChange, version_id: str, why: str) -> GeneratorVersion:
        """Makes of a version what `promoted` or `rejected` makes of it; returns it.

        Raises:
            GeneratorVersionError: its status forbids it.
        """
        catalogue = self.catalogue
        self._commit(
            [version_id],
            lambda: change(catalogue, version_id, now_ms=self._clock_ms(), by=self._by, why=why),
        )
        return self.version(version_id)

    def roll_back(self, why: str) -> GeneratorVersion | None:
        """Takes the champion back; returns who writes now, None for the bare model.

        Raises:
            GeneratorVersionError: no version is live.
        """
        champion = self.catalogue.champion
        self._commit(
            [] if champion is None else [champion.id],
            lambda: rolled_back(self.catalogue, now_ms=self._clock_ms(), by=self._by, why=why),
        )
        return self.catalogue.champion

    def version(self, version_id: str) -> GeneratorVersion:
        """Returns a version.

        Raises:
            GeneratorVersionError: there is none by that id.
        """
        found = self.catalogue.generator_version(version_id)
        if found is None:
            raise GeneratorVersionError(f"the log has no version {version_id!r}")
        return found

    def _commit(self, version_ids: Sequence[str], make: Callable[[], Sequence[Catalogued]]) -> None:
        """Writes a change of what the first of the versions was at the last look."""
        names = touched(self.catalogue, *version_ids)
        seen = self._writer.as_seen(names[0]) if version_ids else None
        self._writer.commit(names, make, self._by, seen)
