"""Records that nobody could use, kept with the reason: nothing is dropped without a trace.

A dead letter holds the original key, bytes and headers, so it can be put right and sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streams.events import DEAD_LETTER
from streams.fold import scan
from streams.log import Log, Message, Record, TopicPartition

PARTITION: Final = TopicPartition(DEAD_LETTER, 0)
Place = tuple[str, int, int]
"""A record's topic, partition and offset."""


def dead_letter_message(record: Record, code: str, error: str) -> Message:
    """Returns the message that lays the record aside.

    Args:
        record: what could not be used; its bytes are kept as they are.
        code: the stable code of the reason, as in the header `reason`.
        error: what was wrong with this one, in words, as in the header `error`.

    >>> from streams.log import Record
    >>> letter = dead_letter_message(Record("outcomes", 1, 7, 0, b"e", b"{"), "late", "too late")
    >>> dict(letter.headers)["offset"], letter.value
    (b'7', b'{')
    """
    headers = (
        ("reason", code.encode()),
        # An error may quote any text, also such as has no bytes.
        ("error", error.encode(errors="backslashreplace")),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    )
    return Message(DEAD_LETTER, record.key, record.value, record.headers + headers)


def origin(letter: Record) -> Place | None:
    """Returns the topic, partition and offset of the record that a dead letter holds.

    None if the record is not one that `dead_letter_message` made.
    """
    # Ours come last, and so prevail over any that the record had by the same names.
    headers = dict(letter.headers)
    try:
        topic, partition, offset = (headers[name] for name in ("topic", "partition", "offset"))
        return topic.decode(), int(partition), int(offset)
    except (KeyError, ValueError):
        return None


class WrittenLetters:
    """The dead letters that were written since a checkpoint, and are not written again.

    A process that was killed reads the records since its checkpoint again.

    Args:
        log: holds the letters.
        since: the offset to look from, as `offset` gave it; that of the oldest letter if None.
        is_ours: returns whether the record of a place is this process's to write a letter of.
    """

    def __init__(self, log: Log, since: int | None, is_ours: Callable[[Place], bool]) -> None:
        self._log = log
        self._since = log.start_offset(PARTITION) if since is None else since
        places = map(origin, scan(log, PARTITION, self._since))
        self._places = {place for place in places if place and is_ours(place)}

    def take(self, record: Record) -> bool:
        """Returns whether the record's letter is there; each can be asked for once."""
        place = record[:3]
        if place not in self._places:
            return False
        self._places.remove(place)
        return True

    def message(self, record: Record, code: str, error: str) -> list[Message]:
        """Returns the record's dead letter, or nothing if that is written already."""
        return [] if self.take(record) else [dead_letter_message(record, code, error)]

    def offset(self, position: int = 0) -> int:
        """Returns where the next start must look from, if the state is saved as of now.

        That moves on only once all that was found has been asked for, or is of records before
        `position`: until then the state is older than what is written.
        """
        self._places = {place for place in self._places if place[2] >= position}
        if not self._places:
            self._since = self._log.end_offset(PARTITION)
        return self._since
