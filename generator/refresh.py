"""Renews creatives: follows a log's interactions, and writes what the rules ask for.

The state is a fold with a checkpoint, so a restart reads what is new and nothing else. A creative
that somebody changed meanwhile stays as they left it: the change says on what it rests.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from generator.rotation import RotationState, Turn, turn
from streams.catalogue import CatalogueReader, catalogue_key, change_messages
from streams.changes import Change
from streams.checkpoint import Checkpoints
from streams.errors import EventError
from streams.events import INTERACTIONS, Creative, Generation, Interaction, decode
from streams.log import Log, TopicPartition

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
        for placement in rotating:
            state = self._states.get(placement.name, RotationState())
            found = turn(reader.catalogue, placement, state)
            for events in _changes(found):
                self._write(events, reader)
                written += len(events)
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
        for number in range(self._log.partitions(INTERACTIONS)):
            partition = TopicPartition(INTERACTIONS, number)
            offset = self._offsets.get(partition, self._log.start_offset(partition))
            while records := self._log.read(partition, offset):
                for record in records:
                    self._take(record.value)
                offset = records[-1].offset + 1
                self._offsets[partition] = offset
                self._unsaved += len(records)
                if self._unsaved >= SAVE_EVERY:
                    self.save()

    def _take(self, value: bytes) -> None:
        try:
            event = decode(value)
        except EventError:  # the learner, whose topic it is, lays it aside
            return
        if isinstance(event, Interaction):
            self._states.setdefault(event.decision.placement, RotationState()).add(event)

    def _write(self, events: Sequence[Creative | Generation], reader: CatalogueReader) -> None:
        keys = [catalogue_key(event) for event in events]
        expects = {key: reader.changes.stamp(key) for key in keys}
        said = "\n".join(f"{key} {stamp}" for key, stamp in expects.items())
        digest = hashlib.blake2b(said.encode(), digest_size=12).hexdigest()
        change = Change(id=f"rotation-{digest}", size=len(events), expects=expects)
        self._log.append(change_messages(events, change))
        reader.catch_up()
        for event in events:
            logger.info("%s: %s", catalogue_key(event), event.reason)


def _changes(found: Turn) -> Iterator[list[Creative | Generation]]:
    """Yields what is written, each on its own: one that comes too late stops no other."""
    for creative in found.retired:
        yield [creative]
    if found.request is not None:
        yield [found.request]
