"""What a source of interactions wrote since its checkpoint, read back from the log.

A join that was killed folds the records since its checkpoint again; what it had written of
them is already there, and is not written a second time.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streams.catalogue import PARTITION as CATALOGUE_PARTITION
from streams.dead_letter import PARTITION as DEAD_LETTERS
from streams.dead_letter import Place, WrittenLetters
from streams.events import CATALOGUE, DECISIONS, INTERACTIONS, OUTCOMES, UNREADABLE
from streams.fold import ends, partitions, scan
from streams.log import Log, Record, TopicPartition


class _Sequenced(msgspec.Struct):
    source: int
    sequence: int


_decoder = msgspec.json.Decoder(_Sequenced)


class Written:
    """What the join of partition `source` had written, and does not write again.

    Args:
        log: where it was written.
        source: the partition whose join it is.
        offsets: where to look from, as `offsets` gave them; an output that is left out is
            looked through from its start.

    Attributes:
        letters: its dead letters.
        catalogue_offset: what cannot be used of the catalogue before here has its letters.
    """

    def __init__(self, log: Log, source: int, offsets: Mapping[TopicPartition, int]) -> None:
        self._log = log
        outputs = partitions(log, INTERACTIONS)
        self._offsets = {place: offsets[place] for place in outputs if place in offsets}
        self.catalogue_offset = offsets.get(CATALOGUE_PARTITION, 0)
        self.letters = WrittenLetters(
            log, offsets.get(DEAD_LETTERS), lambda place: _is_of(place, source)
        )
        records = (record for place in outputs for record in scan(log, place, offsets.get(place)))
        found = (_sequenced(record) for record in records)
        self._sequences = {each.sequence for each in found if each and each.source == source}

    def interaction(self, sequence: int) -> bool:
        """Returns whether the interaction is there; each can be asked for once."""
        if sequence not in self._sequences:
            return False
        self._sequences.remove(sequence)
        return True

    def offsets(self) -> dict[TopicPartition, int]:
        """Returns where the next start must look from, if the join's state is as of now.

        That moves on only once all that was found has been asked for: until then the state is
        older than what is written.
        """
        if not self._sequences:
            self._offsets = ends(self._log, INTERACTIONS)
        others = {DEAD_LETTERS: self.letters.offset(), CATALOGUE_PARTITION: self.catalogue_offset}
        return self._offsets | others


def _sequenced(record: Record) -> _Sequenced | None:
    try:
        return _decoder.decode(record.value)
    except UNREADABLE:
        # No join wrote that; the learner lays it aside.
        return None


def _is_of(place: Place, source: int) -> bool:
    topic, partition, _ = place
    # The catalogue has one partition, and so has the join of the same number lay it aside.
    return topic in (DECISIONS, OUTCOMES, CATALOGUE) and partition == source
