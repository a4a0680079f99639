"""The dead letters as people need them: to look through, to mend, and to send again.

To send one again is safe. A decision or an outcome carries its own id, and what a mapping makes
of a record is named after the record's first place in the log, so nothing counts twice.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Final, NamedTuple, TypeAlias

from streams.dead_letter import origin
from streams.errors import DeadLetterError, EventError
from streams.events import (
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Decision,
    Outcome,
    decode,
)
from streams.fold import scan_topic
from streams.log import Headers, Log, Message, Record, TopicOffset, TopicPartition

REPLAYED_FROM: Final = "replayed-from"
"""The header that says which dead letter a record was sent again from, by its ID."""
REPLAYED_ORIGIN: Final = "replayed-origin"
"""The header that says where the record was first of all, as `topic/partition@offset`."""
ADDED: Final = ("reason", "error", "topic", "partition", "offset")
CHUNK: Final = 1000

Text: TypeAlias = str | dict[str, str]
"""Bytes as JSON can show them: their text, or `base64` where they are none."""


class Letter(NamedTuple):
    """One dead letter: what was laid aside, from where, when, and why.

    `headers`, `key` and `value` are those of the record; `source` is its topic, partition and
    offset, None if no process of ours wrote the letter.
    """

    id: str
    reason: str
    error: str
    source: tuple[str, int, int] | None
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Headers

    @property
    def place(self) -> str:
        """Returns where the record was, as `topic/partition@offset`."""
        return "unknown" if self.source is None else _place(*self.source)


def letter_of(record: Record) -> Letter:
    """Returns the dead letter that a record of the topic is."""
    headers, source = record.headers, origin(record)
    ours = source is not None and tuple(name for name, _ in headers[-len(ADDED) :]) == ADDED
    said = dict(headers[-len(ADDED) :]) if ours else {}
    return Letter(
        f"{record.partition}-{record.offset}",
        said.get("reason", b"").decode(errors="replace"),
        said.get("error", b"").decode(errors="replace"),
        source if ours else None,
        record.timestamp_ms,
        record.key,
        record.value,
        headers[: -len(ADDED)] if ours else headers,
    )


def read_letters(log: Log, *, reason: str | None = None) -> Iterator[Letter]:
    """Returns the dead letters (of one reason), partition by partition, oldest first.

    Raises:
        TopicError: the log has no topic for them.
    """
    letters = map(letter_of, scan_topic(log, DEAD_LETTER))
    return (letter for letter in letters if reason in (None, letter.reason))


def latest(
    log: Log, limit: int, *, reason: str | None = None
) -> tuple[list[Letter], dict[str, int]]:
    """Returns the newest dead letters (of one reason), newest first, and how many have which.

    Raises:
        TopicError: the log has no topic for them.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Letter]:
        for letter in read_letters(log):
            counts[letter.reason] += 1
            if reason in (None, letter.reason):
                yield letter

    newest = nlargest(limit, enumerate(counted()), key=lambda pair: (pair[1].timestamp_ms, pair[0]))
    return [letter for _, letter in newest], dict(counts.most_common())


def find_letter(log: Log, letter_id: str) -> Letter:
    """Returns the dead letter of that ID, `partition-offset`.

    Raises:
        DeadLetterError: there is none.
    """
    partition, separator, offset = letter_id.partition("-")
    if separator and partition.isdecimal() and offset.isdecimal():
        place = TopicPartition(DEAD_LETTER, int(partition))
        if place.partition < log.partitions(DEAD_LETTER):
            found = log.read(place, int(offset), limit=1)
            if found and found[0].offset == int(offset):
                return letter_of(found[0])
    raise DeadLetterError(
        f"no dead letter {letter_id!r}; an ID is PARTITION-OFFSET, as `dead-letter list` shows it"
    )


def replay(log: Log, letters: Sequence[Letter], *, value: bytes | None = None) -> list[TopicOffset]:
    """Appends what the letters hold to the topics that they came from; returns where it went.

    Each gets the headers `REPLAYED_FROM` and `REPLAYED_ORIGIN`; its letter stays. What then
    happens is up to whoever reads the topic: an outcome that was counted meanwhile is a
    duplicate, one that is still late is laid aside again.

    Args:
        log: holds the topics that the letters came from.
        letters: what to send again, in this order.
        value: mended bytes instead of those of the letters.

    Raises:
        DeadLetterError: one holds nothing that could be read again; nothing was appended.
        EventError: the mended bytes are still none of our events; nothing was appended.
        TopicError: the log lacks a topic.
    """
    messages = [_message(letter, value) for letter in letters]
    written: list[TopicOffset] = []
    for start in range(0, len(messages), CHUNK):
        written += log.append(messages[start : start + CHUNK])
    return written


def origin_of(record: Record) -> str:
    """Returns where a record first was in the log, also if it was sent again since.

    >>> origin_of(Record("clicks", 1, 7, 0, b"", b""))
    'clicks/1@7'
    """
    for name, value in reversed(record.headers):
        if name == REPLAYED_ORIGIN:
            return value.decode(errors="backslashreplace")
    return _place(record.topic, record.partition, record.offset)


def readable(letter: Letter) -> dict[str, object]:
    """Returns all of the letter for JSON."""
    return {
        "id": letter.id,
        "reason": letter.reason,
        "error": letter.error,
        "source": letter.place,
        "timestamp_ms": letter.timestamp_ms,
        "key": _text(letter.key),
        "value": _text(letter.value),
        "headers": [{"name": name, "value": _text(value)} for name, value in letter.headers],
    }


def _message(letter: Letter, value: bytes | None) -> Message:
    if letter.source is None:
        raise DeadLetterError(f"dead letter {letter.id} does not say what topic it is from")
    topic = letter.source[0]
    if topic in (INTERACTIONS, POLICIES):
        raise DeadLetterError(
            f"dead letter {letter.id} is from {topic!r}, whose records follow from others and are "
            "told by their sequence; mend what it follows from, such as the placement"
        )
    kept = tuple(h for h in letter.headers if h[0] not in (REPLAYED_FROM, REPLAYED_ORIGIN))
    first_place = origin_of(Record(*letter.source, 0, b"", b"", letter.headers))
    added = ((REPLAYED_FROM, letter.id.encode()), (REPLAYED_ORIGIN, first_place.encode()))
    sent = letter.value if value is None else value
    return Message(topic, _key(letter, topic, value), sent, kept + added)


def _key(letter: Letter, topic: str, mended: bytes | None) -> bytes:
    """Returns the key: of decisions and outcomes their event's id, since that is how they meet."""
    if topic not in (DECISIONS, OUTCOMES):
        return letter.key
    try:
        event = decode(letter.value if mended is None else mended)
    except EventError:
        if mended is not None:
            raise
        # Sent again as it was, it is refused again, unless who reads it can read more by now.
        return letter.key
    return event.event_id.encode() if isinstance(event, Decision | Outcome) else letter.key


def _place(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}@{offset}"


def _text(data: bytes) -> Text:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
