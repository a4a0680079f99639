"""Keeps the figures of all placements up to date, for as long as somebody looks at them.

Nobody pays for figures that nobody asks for: the fold starts with the first question, reads the
last thirty days or million records, and ends when nobody has asked for ten minutes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from bandit.service.figures.lift import LiftPlan, lift_plan
from bandit.service.figures.tally import HOUR_MS, KEPT, Tally, read_interaction
from streams.caps import Seen
from streams.catalogue import Catalogue
from streams.events import INTERACTIONS
from streams.fold import Follower, batches, partitions
from streams.log import Log, Record, TopicPartition
from streams.seek import offset_at

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
IDLE_SECONDS: Final = 600.0
BACK_RECORDS: Final = 1_000_000
BATCH: Final = 200
"""How many interactions are folded before others get a turn."""


class Aim(NamedTuple):
    """What of a placement's settings its figures depend on: see `Tally.plan`."""

    lift: LiftPlan | None
    seen_path: str | None


def aim_of(catalogue: Catalogue, name: str) -> Aim | None:
    """Returns what a placement's figures are to tell; None if it is not in the catalogue."""
    placement = catalogue.placement(name)
    if placement is None:
        return None
    return Aim(lift_plan(catalogue.dated_history(name)), (placement.seen or Seen()).path)


class FiguresFold:
    """The figures of one log by placement; asked from an event loop, folded in a thread.

    Args:
        log: what is followed.
        clock_ms: the time.
        aim: returns what the figures of a placement of this name are to tell, as it is now.
    """

    def __init__(
        self, log: Log, clock_ms: Callable[[], int], aim: Callable[[str], Aim | None]
    ) -> None:
        self._log = log
        self._aim = aim
        self._clock_ms = clock_ms
        self._asked = 0.0
        self._tallies: dict[str, Tally] = {}
        self._offsets: dict[TopicPartition, int] = {}
        self._follower = self._new_follower()
        self._stopped = False
        self._caught_up = threading.Event()
        self.lock = threading.Lock()
        """Held while figures are read: the fold waits meanwhile."""
        self.since_ms = 0
        """From when on the log was read."""

    @property
    def caught_up(self) -> bool:
        """Whether all that there was at the start has been read."""
        return self._caught_up.is_set()

    def tally(self, placement: str) -> Tally:
        """Returns a placement's figures so far, to be read with the lock held."""
        self.wake()
        found = self._tallies.get(placement)
        if found is None:
            found = Tally()
            if (aim := self._aim(placement)) is not None:
                found.plan(*aim)
        return found

    def wake(self) -> None:
        """Has the log folded for another ten minutes."""
        self._asked = time.monotonic()
        if not self._follower.following and not self._stopped:
            self._caught_up.clear()
            self._tallies, self._offsets = {}, {}
            self._follower = self._new_follower()
            self._follower.start()

    def wait(self, seconds: float) -> bool:
        """Returns whether the log is read to its end, which it waits for at most so long."""
        self.wake()
        return self._caught_up.wait(seconds)

    def stop(self) -> None:
        """Stops folding."""
        self._stopped = True
        self._follower.stop()

    def _new_follower(self) -> Follower:
        return Follower("figures", self._look, every_seconds=LOOK_SECONDS)

    def _look(self) -> None:
        if time.monotonic() - self._asked >= IDLE_SECONDS:
            self._follower.ending.set()
        self._offsets = self._offsets or self._starts()
        for partition, offset in self._offsets.items():
            for records in batches(self._log, partition, offset, limit=BATCH):
                self._fold(records)
                self._offsets[partition] = records[-1].offset + 1
                time.sleep(0)  # a rank that waits for the interpreter goes first
                if self._follower.ending.is_set():
                    return
        self._caught_up.set()

    def _starts(self) -> dict[TopicPartition, int]:
        self.since_ms = self._clock_ms() - KEPT[HOUR_MS] * HOUR_MS
        offsets = {}
        for partition in partitions(self._log, INTERACTIONS):
            wanted = offset_at(self._log, partition, self.since_ms)
            bound = self._log.end_offset(partition) - BACK_RECORDS
            if wanted < bound and (found := self._log.read(partition, bound, limit=1)):
                self.since_ms = max(self.since_ms, found[0].timestamp_ms)
            offsets[partition] = max(wanted, bound)
        return offsets

    def _fold(self, records: Iterable[Record]) -> None:
        aims: dict[str, Aim | None] = {}
        with self.lock:
            for record in records:
                self._take(record, aims)

    def _take(self, record: Record, aims: dict[str, Aim | None]) -> None:
        try:
            seen = read_interaction.decode(record.value)
            name = seen.decision.placement
            tally = self._tallies.setdefault(name, Tally())
            if name not in aims:  # once a batch
                aims[name] = self._aim(name)
            if (aim := aims[name]) is not None:
                tally.plan(*aim)
            tally.add(seen, record.timestamp_ms)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError) as error:
            # Who owns the topic lays it aside.
            logger.debug("%s@%d is left out of the figures: %s", record.topic, record.offset, error)
