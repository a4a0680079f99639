"""The catalogue: placements, creatives, generations and versions, as a fold over their topic.

It remembers since when each placement has been as it is, so that a join that runs again over
old decisions applies the rules that held then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

from streams.catalogue.changes import Change, Changes
from streams.errors import EventError
from streams.events import (
    CATALOGUE,
    Catalogued,
    Creative,
    Event,
    Generation,
    Placement,
    decode,
    encode,
)
from streams.events.creatives import GeneratorVersion
from streams.fold import scan
from streams.logs.base import Log, Message, Record, TopicPartition

PARTITION: Final = TopicPartition(CATALOGUE, 0)


class Catalogue:
    """What the catalogue topic says so far; `apply` is the only way that it changes."""

    def __init__(self) -> None:
        self._history: dict[str, tuple[list[int], list[Placement]]] = {}
        self._creatives: dict[str, dict[str, Creative]] = {}
        self._generations: dict[str, Generation] = {}
        self._generator: dict[str, GeneratorVersion] = {}
        self._steps: dict[str, list[GeneratorVersion]] = {}
        self._champion: str | None = None
        self._versions: dict[str, int] = {}
        self.version = 0
        """Grows with every change: what is prepared from the catalogue is kept by it."""

    def apply(self, event: Event, at_ms: int) -> None:
        """Takes in one event of the catalogue topic, appended at `at_ms`; others are ignored."""
        match event:
            case Placement():
                since, placements = self._history.setdefault(event.name, ([], []))
                since.append(at_ms)
                placements.append(event)
                self._versions[event.name] = self.version + 1
            case Creative():
                self._creatives.setdefault(event.placement, {})[event.id] = event
                self._versions[event.placement] = self.version + 1
            case Generation():
                self._generations[event.id] = event
            case GeneratorVersion():
                self._generator[event.id] = event
                steps = self._steps.setdefault(event.id, [])
                # How a trial goes on is told again and again, and is one step.
                if steps and (steps[-1].status, steps[-1].reason) == (event.status, event.reason):
                    steps.pop()
                steps.append(event)
                # The share that its creatives may have hangs on its status.
                for placement, creatives in self._creatives.items():
                    if any(creative.written_by(event.id) for creative in creatives.values()):
                        self._versions[placement] = self.version + 1
                if event.status == "live":
                    self._champion = event.id
                elif event.id == self._champion:
                    self._champion = None
            case _:
                return
        self.version += 1

    def version_of(self, placement: str) -> int:
        """Returns the version since when the placement and its creatives are as they are."""
        return self._versions.get(placement, 0)

    def placement(self, name: str) -> Placement | None:
        """Returns the placement as it is now, None if it is unknown or was deleted."""
        history = self._history.get(name)
        if history is None or history[1][-1].deleted:
            return None
        return history[1][-1]

    def placement_at(self, name: str, at_ms: int) -> Placement | None:
        """Returns the placement as it was just before `at_ms`; before its first, as it first was.

        A change counts from the millisecond after it: what was appended at `at_ms` itself might
        not be there yet for whoever asks, and everyone must be told the same.
        """
        history = self._history.get(name)
        if history is None:
            return None
        since, placements = history
        return placements[max(bisect_left(since, at_ms) - 1, 0)]

    def placements_at(self, at_ms: int) -> list[Placement]:
        """Returns the placements that were there just before `at_ms`, as they were, deleted too."""
        return [
            placements[bisect_left(since, at_ms) - 1]
            for since, placements in self._history.values()
            if since[0] < at_ms
        ]

    def placement_history(self, name: str) -> list[Placement]:
        """Returns every state that the placement has been in, oldest first."""
        return [placement for _, placement in self.dated_history(name)]

    def dated_history(self, name: str) -> list[tuple[int, Placement]]:
        """Returns every state that the placement has been in, with since when, oldest first."""
        since, placements = self._history.get(name, ([], []))
        # A list is read faster than it grows: another thread may be adding to both.
        return list(zip(since, list(placements), strict=False))

    def placements(self) -> list[Placement]:
        """Returns the placements as they are now, by name."""
        found = (self.placement(name) for name in sorted(self._history))
        return [placement for placement in found if placement is not None]

    def creatives(self, placement: str) -> list[Creative]:
        """Returns the placement's creatives in the order in which they first came."""
        return list(self._creatives.get(placement, {}).values())

    def creative(self, placement: str, creative_id: str) -> Creative | None:
        """Returns one creative of the placement, None if it has none by that id."""
        return self._creatives.get(placement, {}).get(creative_id)

    def creatives_by_id(self, placement: str) -> Mapping[str, Creative]:
        """Returns the placement's creatives by id."""
        return self._creatives.get(placement, {})

    def live(self, placement: str) -> list[Creative]:
        """Returns the creatives that may be shown now."""
        return [c for c in self.creatives(placement) if c.status == "live"]

    def capped(self, placement: str) -> bool:
        """Returns whether the placement, or a creative of it, has caps."""
        found = self.placement(placement)
        return bool(found is not None and found.caps) or any(
            creative.caps for creative in self.creatives(placement)
        )

    def generations(self, placement: str | None = None) -> list[Generation]:
        """Returns the generations (of one placement) in the order in which they were asked for."""
        # A copy, since a server reads this while another thread keeps the catalogue up to date.
        found = list(self._generations.values())
        return [g for g in found if placement is None or g.placement == placement]

    def generation(self, generation_id: str) -> Generation | None:
        """Returns one generation, None if there is none by that id."""
        return self._generations.get(generation_id)

    def generator_versions(self) -> list[GeneratorVersion]:
        """Returns the versions of the generator in the order in which they first came."""
        return list(self._generator.values())

    def generator_version(self, version_id: str) -> GeneratorVersion | None:
        """Returns one version of the generator, None if there is none by that id."""
        return self._generator.get(version_id)

    def generator_steps(self, version_id: str) -> list[GeneratorVersion]:
        """Returns the states that a version has been in, oldest first, each as it last was."""
        return list(self._steps.get(version_id, ()))

    def as_it_is(self, event: Catalogued) -> Catalogued | None:
        """Returns what the event takes the place of, None if it is new."""
        match event:
            case Placement():
                return self.placement(event.name)
            case Creative():
                return self.creative(event.placement, event.id)
            case Generation():
                return self.generation(event.id)
            case GeneratorVersion():
                return self.generator_version(event.id)

    @property
    def champion(self) -> GeneratorVersion | None:
        """The version that became live last and still is, None where the bare model writes."""
        return None if self._champion is None else self._generator[self._champion]

    @property
    def canary(self) -> GeneratorVersion | None:
        """The version whose creatives are on trial, the latest if there are several."""
        canaries = [v for v in self.generator_versions() if v.status == "canary"]
        return max(canaries, key=lambda version: version.timestamp_ms, default=None)


class CatalogueReader:
    """Keeps a `Catalogue` up to date with a log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.catalogue = Catalogue()
        self.changes = Changes()
        """Which changes counted, and the stamps of what is there."""
        self.offset = log.start_offset(PARTITION)
        self.unreadable: list[Record] = []
        """Records that are no catalogue events; who owns the dead letters takes them."""

    def catch_up(self) -> bool:
        """Reads to the end of the topic; returns whether anything was new."""
        started_at = self.offset
        for record in scan(self._log, PARTITION, self.offset):
            self.take(record)
        return self.offset != started_at

    def take(self, record: Record) -> None:
        """Applies one record of the topic, unless its change came too late or came again."""
        try:
            event = decode(record.value)
        except EventError:
            self.unreadable.append(record)
        else:
            if self.changes.admits(record, catalogue_key(event)):
                self.catalogue.apply(event, record.timestamp_ms)
        self.offset = record.offset + 1


def catalogue_key(event: Event) -> str:
    """Returns what an event of the catalogue is about, empty for an event that is not of it."""
    match event:
        case Placement():
            return f"placement/{event.name}"
        case Creative():
            return f"creative/{event.placement}/{event.id}"
        case Generation():
            return f"generation/{event.id}"
        case GeneratorVersion():
            return f"generator_version/{event.id}"
    return ""


def catalogue_message(event: Catalogued) -> Message:
    """Returns the message that puts the event into the catalogue, keyed for compaction."""
    return Message(CATALOGUE, catalogue_key(event).encode(), encode(event), partition=0)


def change_messages(events: Sequence[Catalogued], change: Change) -> list[Message]:
    """Returns the messages that make one change of the catalogue: all of them count, or none."""
    return [
        catalogue_message(event)._replace(headers=change.headers(first=number == 0))
        for number, event in enumerate(events)
    ]
