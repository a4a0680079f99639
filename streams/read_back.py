"""What a process had written since its checkpoints, read back once for all of its partitions.

What is written follows from what is read. So a process that reads records again leaves out what
is there already, told by the partition that it follows from and a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from streams.fold import batches
from streams.logs.base import Log, Record, TopicPartition

Key = tuple[str, int]
"""What a record follows from: a topic and a partition of it."""
Identify = Callable[[Record], tuple[Key, Sequence[int]] | None]
"""Returns what a record follows from, and its numbers there; None if it is none of ours."""
WORD_BITS: Final = 1024
"""So many neighbours share a word; numbers come in runs, which take a bit each then."""


class Numbers:
    """A set of whole numbers; a run of a million takes an eighth of a megabyte.

    >>> numbers = Numbers()
    >>> numbers.add(7)
    >>> numbers.take(7), numbers.take(7), bool(numbers)
    (True, False, False)
    """

    def __init__(self) -> None:
        self._words: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._words)

    def add(self, number: int) -> None:
        """Takes in a number."""
        word, bit = divmod(number, WORD_BITS)
        self._words[word] = self._words.get(word, 0) | 1 << bit

    def take(self, number: int) -> bool:
        """Returns whether the number is there, and removes it."""
        word, bit = divmod(number, WORD_BITS)
        found = self._words.get(word, 0)
        if not found >> bit & 1:
            return False
        left = self._words[word] = found ^ 1 << bit
        if not left:
            del self._words[word]
        return True


class Written:
    """What a partition's fold had written to one topic, and does not write again.

    Args:
        topic: the output.
        identify: tells what one of its records follows from.
        keys: what the fold's own follow from.
        since: where to look from in each partition of the output, as `offsets` gave it; one
            that is left out is looked through from its start.
    """

    def __init__(
        self,
        topic: str,
        identify: Identify,
        keys: Iterable[Key],
        since: Mapping[TopicPartition, int],
    ) -> None:
        self.topic = topic
        self.identify = identify
        self.since = {place: offset for place, offset in since.items() if place.topic == topic}
        self._numbers = {key: Numbers() for key in keys}

    @property
    def keys(self) -> Iterable[Key]:
        """What the fold's records follow from."""
        return self._numbers

    def add(self, key: Key, number: int) -> None:
        """Notes that a record is there."""
        self._numbers[key].add(number)

    def take(self, key: Key, number: int) -> bool:
        """Returns whether the record is there; each can be asked for once."""
        return key in self._numbers and self._numbers[key].take(number)

    def forget(self) -> None:
        """Forgets what nobody asked for, once all is read again that can have led to it."""
        self._numbers = {key: Numbers() for key in self._numbers}

    def skip_to(self, ends: Mapping[TopicPartition, int]) -> None:
        """Has the next start look from these ends of the output."""
        self.since = {place: end for place, end in ends.items() if place.topic == self.topic}

    def offsets(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Returns where the next start must look from, if the fold is saved as of now.

        That moves on to the outputs' ends only once all that was found has been asked for: until
        then the fold's state is older than what is written.
        """
        if not any(self._numbers.values()):
            self.skip_to(ends)
        return self.since


def read_back(
    log: Log,
    written: Sequence[Written],
    ends: Mapping[TopicPartition, int],
    pause: Callable[[], bool],
) -> bool:
    """Has each note what of its own the outputs hold; each output is read once, for all of them.

    Args:
        log: holds the outputs.
        written: who looks, and from where.
        ends: the partitions of the outputs, and where to stop in each.
        pause: called after every batch; false ends the reading.

    Returns:
        Whether all was read.
    """
    for place, end in ends.items():
        looking = [each for each in written if each.topic == place.topic]
        owners = {key: each for each in looking for key in each.keys}
        starts = [each.since.get(place) for each in looking]
        if not looking or all(start is not None and start >= end for start in starts):
            continue
        start = None if None in starts else min(start for start in starts if start is not None)
        identify = looking[0].identify
        for records in batches(log, place, start, end=end):
            for record in records:
                found = identify(record)
                owner = owners.get(found[0]) if found else None
                if found and owner and record.offset >= owner.since.get(place, 0):
                    for number in found[1]:
                        owner.add(found[0], number)
            if not pause():
                return False
    return True
