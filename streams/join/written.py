"""What a join had written before a crash, and what it must not write again; how large it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streams.catalogue.state import PARTITION as CATALOGUE_PARTITION
from streams.dead_letters import JOINED, Place, WrittenDeadLetters, ahead_key, origin
from streams.errors import EventTooLarge
from streams.events import DEAD_LETTER, DECISIONS, INTERACTIONS, OUTCOMES, UNREADABLE
from streams.logs.base import Message, Record, TopicPartition
from streams.read_back import Key, Written


class _Sequenced(msgspec.Struct):
    source: int
    sequence: int
    slots: list[msgspec.Raw] = []

    @property
    def sequences(self) -> range:
        """Of one interaction, or of those of a slate."""
        return range(self.sequence, self.sequence + max(len(self.slots), 1))


_decoder = msgspec.json.Decoder(_Sequenced)


def _identify(record: Record) -> tuple[Key, Sequence[int]] | None:
    try:
        found = _decoder.decode(record.value)
    except UNREADABLE:
        # No join wrote that; the learner lays it aside.
        return None
    return (INTERACTIONS, found.source), found.sequences


class JoinWritten:
    """What the join of partition `source` had written, and does not write again.

    Args:
        source: the partition whose join it is.
        offsets: the checkpoint's; they say where to look from.

    Attributes:
        interactions, letters: what it wrote of either.
        catalogue_offset: what cannot be used of the catalogue before here has its letters.
    """

    def __init__(self, source: int, offsets: Mapping[TopicPartition, int]) -> None:
        self._key = INTERACTIONS, source
        self.interactions = Written(INTERACTIONS, _identify, [self._key], offsets)
        self.catalogue_offset = offsets.get(CATALOGUE_PARTITION, 0)
        keys = [(DECISIONS, source), (OUTCOMES, source), (JOINED, source)]
        keys += [ahead_key(DECISIONS, source), ahead_key(OUTCOMES, source)]
        # The catalogue has one partition, and so has the join of the same number lay it aside.
        if source == CATALOGUE_PARTITION.partition:
            keys.append(CATALOGUE_PARTITION)
        self.letters = WrittenDeadLetters(keys, offsets)

    def ahead(self, record: Record) -> bool:
        """Returns whether the record was laid aside for its time; it can be asked for once."""
        key = ahead_key(record.topic, record.partition)
        return self.letters.written.take(key, record.offset)

    def interaction(self, sequence: int) -> bool:
        """Returns whether it is there, or its dead letter; each can be asked for once."""
        laid_aside = self.letters.written.take((JOINED, self._key[1]), sequence)
        return self.interactions.take(self._key, sequence) or laid_aside


def place_of(message: Message) -> Place:
    """Returns where the record stood that a message of a join follows from."""
    record = Record(message.topic, 0, 0, 0, message.key, message.value, message.headers)
    if message.topic == DEAD_LETTER and (place := origin(record)):
        return place
    found = _identify(record)
    return (JOINED, found[0][1], found[1][0]) if found else (message.topic, 0, 0)


LARGEST_BYTES: Final = {DECISIONS: 8 << 20, OUTCOMES: 1 << 20}
"""What a record may have, so that an interaction can be written of what is joined."""


def check_size(record: Record) -> None:
    """Refuses a record that is larger than any that can be joined.

    Raises:
        EventTooLarge: with the reason of its dead letter.
    """
    headers = sum(len(name) + len(value) for name, value in record.headers)
    size, largest = len(record.key) + len(record.value) + headers, LARGEST_BYTES[record.topic]
    if size > largest:
        raise EventTooLarge(f"it has {size} bytes; expected at most {largest} in {record.topic}")
