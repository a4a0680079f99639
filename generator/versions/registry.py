"""The generator's versions as the commands read and change them, on the log itself.

A change says on what it rests, so of two that cross only the first counts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from bandit.errors import GeneratorVersionError
from bandit.generator_versions import on_trial, promoted, rejected, rolled_back, touched
from bandit.service.security.acts import catalogue_act, superseded
from generator.versions.gate import passed, verdict
from generator.versions.store import Adopted, summary
from streams.catalogue import (
    PARTITION,
    Catalogue,
    CatalogueReader,
    catalogue_key,
    change_messages,
)
from streams.changes import Change
from streams.errors import EventError
from streams.events import Catalogued, Creative, Generation, Placement, decode
from streams.generator_versions import CANARY_SHARE, Canary, GateRow, GeneratorVersion
from streams.log import Log

GENERATOR: Final = "generator"
"""Who is recorded where the generator acts by itself."""
CREATIVES: Final = 8
"""How many creatives a canary is asked for in each placement."""


class VersionDesk:
    """The versions in a log, for who changes them: `by` is recorded with every change."""

    def __init__(self, log: Log, by: str, *, reader: CatalogueReader | None = None) -> None:
        self._log = log
        self._by = by
        self._reader = reader or CatalogueReader(log)
        self._reader.catch_up()

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue, as of the last change or look."""
        return self._reader.catalogue

    def add(self, adopted: Adopted, gate: Sequence[GateRow], now_ms: int) -> GeneratorVersion:
        """Writes a version with its gate's verdict, `candidate` or `rejected`; returns it.

        One that the log has already stays as it is.
        """
        self._reader.catch_up()
        known = self.catalogue.generator_version(adopted.id)
        if known is not None:
            return known
        champion = self.catalogue.champion
        made = GeneratorVersion(
            id=adopted.id,
            status="candidate" if passed(gate) else "rejected",
            timestamp_ms=now_ms,
            parent=None if champion is None else champion.id,
            manifest=summary(adopted.manifest),
            gate=tuple(gate),
            reason=verdict(gate),
            by=self._by,
        )
        self._write([adopted.id], lambda: [made], now_ms)
        return made

    def try_out(self, version_id: str, now_ms: int, *, share: float = CANARY_SHARE) -> None:
        """Makes a candidate the canary, and asks it for creatives.

        Raises:
            GeneratorVersionError: its status forbids it, or somebody changed it meanwhile.
        """
        earlier = self.catalogue.canary
        ids = [version_id] if earlier is None else [version_id, earlier.id]
        self._write(
            ids,
            lambda: on_trial(
                self.catalogue,
                version_id,
                share=share,
                creatives=CREATIVES,
                now_ms=now_ms,
                by=self._by,
                why="passed the gate",
            ),
            now_ms,
        )

    def progress(self, version_id: str, canary: Canary, now_ms: int) -> None:
        """Writes how a canary does.

        Raises:
            GeneratorVersionError: as `try_out`.
        """
        found = self.version(version_id)
        # Not an act of anybody's: it is what the log says already.
        self._write([version_id], lambda: [replace(found, canary=canary)], now_ms, act=False)

    def promote(self, version_id: str, why: str, now_ms: int) -> GeneratorVersion:
        """Makes a version the champion; returns it.

        Raises:
            GeneratorVersionError: as `try_out`.
        """
        self._write(
            [version_id],
            lambda: promoted(self.catalogue, version_id, now_ms=now_ms, by=self._by, why=why),
            now_ms,
        )
        return self.version(version_id)

    def reject(self, version_id: str, why: str, now_ms: int) -> GeneratorVersion:
        """Rejects a version, and retires its creatives; returns it.

        Raises:
            GeneratorVersionError: as `try_out`.
        """
        self._write(
            [version_id],
            lambda: rejected(self.catalogue, version_id, now_ms=now_ms, by=self._by, why=why),
            now_ms,
        )
        return self.version(version_id)

    def roll_back(self, why: str, now_ms: int) -> GeneratorVersion | None:
        """Takes the champion back; returns who writes now, None for the bare model.

        Raises:
            GeneratorVersionError: no version is live, or somebody changed it meanwhile.
        """
        champion = self.catalogue.champion
        self._write(
            [] if champion is None else [champion.id],
            lambda: rolled_back(self.catalogue, now_ms=now_ms, by=self._by, why=why),
            now_ms,
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

    def history(self, version_id: str) -> list[GeneratorVersion]:
        """Returns every state that a version has been in, oldest first."""
        key, found = f"generator_version/{version_id}".encode(), []
        offset = self._log.start_offset(PARTITION)
        while records := self._log.read(PARTITION, offset):
            for record in records:
                if record.key != key:
                    continue
                try:
                    event = decode(record.value)
                except EventError:
                    continue
                if isinstance(event, GeneratorVersion):
                    found.append(event)
            offset = records[-1].offset + 1
        return found

    def _write(
        self,
        version_ids: Sequence[str],
        make: Callable[[], Sequence[Catalogued]],
        now_ms: int,
        *,
        act: bool = True,
    ) -> None:
        self._reader.catch_up()
        names = touched(self.catalogue, *version_ids)
        stamps = {name: self._reader.changes.stamp(name) for name in names}
        made = list(make())
        if not made:
            return
        written = {catalogue_key(event) for event in made}
        change = Change(
            id=secrets.token_hex(12),
            size=len(made),
            expects={name: stamp for name, stamp in stamps.items() if name in written},
        )
        acts = [
            catalogue_act(self._by, self._before(event), event, now_ms) for event in made if act
        ]
        self._log.append([*acts, *change_messages(made, change)])
        self._reader.catch_up()
        if not self._reader.changes.counted(change.id):
            self._log.append([superseded(act) for act in acts])
            raise GeneratorVersionError(
                "somebody changed the versions meanwhile; look again: copyloop generator list"
            )

    def _before(self, event: Catalogued) -> Catalogued | None:
        match event:
            case GeneratorVersion():
                return self.catalogue.generator_version(event.id)
            case Creative():
                return self.catalogue.creative(event.placement, event.id)
            case Generation():
                return self.catalogue.generation(event.id)
            case Placement():
                return self.catalogue.placement(event.name)
