"""What a source of interactions wrote since its checkpoint, read back from the log.

A join that was killed folds the records since its checkpoint again; what it had written of
them is already there, and is not written a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from streams.catalogue import PARTITION as CATALOGUE_PARTITION
from streams.dead_letter import origin
from streams.events import CATALOGUE, DEAD_LETTER, DECISIONS, INTERACTIONS, OUTCOMES, UNREADABLE
from streams.log import Log, Record, TopicPartition

Place = tuple[str, int, int]
"""A record's topic, partition and offset."""


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
    """

    def __init__(self, log: Log, source: int, offsets: Mapping[TopicPartition, int]) -> None:
        self._offsets = {place: offsets[place] for place in _outputs(log) if place in offsets}
        self.catalogue_offset = offsets.get(CATALOGUE_PARTITION, 0)
        """What cannot be used of the catalogue is told from here on."""
        self._sequences: set[int] = set()
        self._letters: set[Place] = set()
        for record in _records(log, self._offsets):
            if record.topic == INTERACTIONS:
                found = _sequenced(record)
                if found is not None and found.source == source:
                    self._sequences.add(found.sequence)
            elif (place := origin(record)) and _is_of(place, source):
                self._letters.add(place)

    def interaction(self, sequence: int) -> bool:
        """Returns whether the interaction is there; each can be asked for once."""
        if sequence not in self._sequences:
            return False
        self._sequences.remove(sequence)
        return True

    def letter(self, place: Place) -> bool:
        """Returns whether a record's dead letter is there; each can be asked for once."""
        if place not in self._letters:
            return False
        self._letters.remove(place)
        return True

    def offsets(self, log: Log, catalogue_offset: int) -> dict[TopicPartition, int]:
        """Returns where the next start must look from, if the join's state is as of now.

        That moves on only once all that was found has been asked for: until then the state is
        older than what is written.
        """
        if not self._sequences and not self._letters:
            self._offsets = {place: log.end_offset(place) for place in _outputs(log)}
            self.catalogue_offset = catalogue_offset
        return self._offsets | {CATALOGUE_PARTITION: self.catalogue_offset}


def _outputs(log: Log) -> list[TopicPartition]:
    numbers = range(log.partitions(INTERACTIONS))
    interactions = [TopicPartition(INTERACTIONS, number) for number in numbers]
    return [*interactions, TopicPartition(DEAD_LETTER, 0)]


def _records(log: Log, offsets: Mapping[TopicPartition, int]) -> Iterator[Record]:
    for place in _outputs(log):
        offset = offsets.get(place, log.start_offset(place))
        while records := log.read(place, offset):
            yield from records
            offset = records[-1].offset + 1


def _sequenced(record: Record) -> _Sequenced | None:
    try:
        return _decoder.decode(record.value)
    except UNREADABLE:
        # No join wrote that; whoever reads the interactions will lay it aside.
        return None


def _is_of(place: Place, source: int) -> bool:
    topic, partition, _ = place
    # The catalogue has one partition, and so has the join of the same number lay it aside.
    return topic in (DECISIONS, OUTCOMES, CATALOGUE) and partition == source
