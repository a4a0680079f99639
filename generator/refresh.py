"""Renews creatives: follows a log's interactions, and writes what the rules ask for.

The state is a fold with a checkpoint, so a restart reads what is new and nothing else. A creative
that somebody changed meanwhile stays as they left it: the change says on what it rests.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from generator.rotation import RotationState, turn
from streams.catalogue import CatalogueReader, catalogue_key
from streams.catalogue_writer import CatalogueWriter, Condition
from streams.checkpoint import Checkpoints
from streams.errors import ChangeRefused, EventError
from streams.events import INTERACTIONS, Creative, Generation, Interaction, decode
from streams.fold import scan_topic
from streams.log import Log

CHECKPOINT: Final = "rotation"
SAVE_EVERY: Final = 20_000
"""Interactions between checkpoints."""

logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(dict[str, RotationState])


class Rotator:
    """Keeps the rotations of all placements of a log.

    Without checkpoints it reads the log from its start, and leaves nothing behind.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """

    def __init__(self, log: Log, checkpoints: Checkpoints | None = None) -> None:
        self._log = log
        self._checkpoints = checkpoints
        saved = checkpoints.load(CHECKPOINT) if checkpoints else None
        self._states = _decoder.decode(saved.state) if saved else {}
        self._offsets = dict(saved.offsets) if saved else {}
        self._unsaved = 0

    def rotate(self, reader: CatalogueReader) -> int:
        """Reads what is new and writes what the rules ask for; returns how many events.

        Args:
            reader: of the same log's catalogue, caught up; it is again afterwards.

        Raises:
            LogUnavailable: the log is out of reach; nothing is lost, call again.
        """
        rotating = [p for p in reader.catalogue.placements() if p.rotation]
        if not rotating:
            return 0
        self._catch_up()
        written = 0
        writer = CatalogueWriter(self._log, reader=reader)
        for placement in rotating:
            state = self._states.get(placement.name, RotationState())
            found = turn(reader.catalogue, placement, state)
            events: list[Creative | Generation] = [*found.retired]
            if found.request is not None:
                events.append(found.request)
            # As of this turn, and each on its own: one that comes too late stops no other.
            seen = [(event, writer.as_seen(catalogue_key(event))) for event in events]
            written += sum(_written(writer, event, condition) for event, condition in seen)
        return written

    def states(self) -> dict[str, RotationState]:
        """Reads what is new; returns what is known of every placement's creatives.

        Raises:
            LogUnavailable: the log is out of reach; nothing is lost, call again.
        """
        self._catch_up()
        return self._states

    def save(self) -> None:
        """Writes the checkpoint, if there is anything new in it."""
        if self._unsaved and self._checkpoints is not None:
            self._checkpoints.save(CHECKPOINT, _encode(self._states), self._offsets)
            self._unsaved = 0

    def _catch_up(self) -> None:
        for record in scan_topic(self._log, INTERACTIONS, self._offsets):
            self._take(record.value)
            self._unsaved += 1
            if self._unsaved >= SAVE_EVERY:
                self.save()

    def _take(self, value: bytes) -> None:
        try:
            event = decode(value)
        except EventError:  # the learner, whose topic it is, lays it aside
            return
        if isinstance(event, Interaction):
            self._states.setdefault(event.decision.placement, RotationState()).add(event)


def _written(writer: CatalogueWriter, event: Creative | Generation, condition: Condition) -> bool:
    """Writes what a rule asks for; returns whether it counts."""
    name = catalogue_key(event)
    try:
        # Not an act of anybody's: the rules, and what they look at, are in the log already.
        writer.commit([name], lambda: [event], None, condition)
    except ChangeRefused as error:  # a person came first
        logger.info("%s: %s", name, error)
        return False
    logger.info("%s: %s", name, event.reason)
    return True
