"""Dead letters: records that could not be used, to look through, correct and send again.

A letter holds the original bytes, and in its headers the reason and where the record stood.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from typing import Final, NamedTuple, TypeAlias

from streams.errors import (
    DeadLetterError,
    EventError,
    LogError,
    MessagesRefused,
    MessageTooLarge,
)
from streams.events import (
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Decision,
    Outcome,
    Slate,
    decode,
)
from streams.events.fields import whole_number
from streams.fold import scan_topic
from streams.logs.base import Headers, Log, Message, Record, TopicOffset, TopicPartition
from streams.read_back import Key, Written

logger = logging.getLogger(__name__)

PARTITION: Final = TopicPartition(DEAD_LETTER, 0)
TOO_LARGE: Final = "too_large"
"""The reason of a letter with no more than the first bytes of its record."""
JOINED: Final = "join"
"""In place of a topic: an interaction that could not be written, by its join and sequence."""
TIME_AHEAD: Final = "time_ahead"
"""The reason of a letter of a record whose producer gave it a time that is yet to come."""
ADDED: Final = ("reason", "error", "topic", "partition", "offset")
"""The headers of a letter that are not its record's."""
VALUE_BYTES: Final = 64 << 10
LEAST_BYTES: Final = 1 << 10
KEY_BYTES: Final = 1 << 10
ERROR_BYTES: Final = 4 << 10
Place = tuple[str, int, int]
"""A record's topic, partition and offset."""


def dead_letter_message(record: Record, code: str, error: str) -> Message:
    """Returns the dead letter of a record, whose bytes are kept as they are.

    Its headers have the stable code as `reason`, and what was wrong with this record as `error`.

    >>> from streams.logs.base import Record
    >>> letter = dead_letter_message(Record("outcomes", 1, 7, 0, b"e", b"{"), "late", "too late")
    >>> dict(letter.headers)["offset"], letter.value
    (b'7', b'{')
    """
    headers = (
        ("reason", code.encode()),
        # An error may quote any text, also such as has no bytes.
        ("error", error.encode(errors="backslashreplace")[:ERROR_BYTES]),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    )
    letter = Message(DEAD_LETTER, record.key, record.value, record.headers + headers)
    return first_bytes(letter) if code == TOO_LARGE else letter


def first_bytes(letter: Message) -> Message:
    """Returns a dead letter with the first bytes of its record, and no headers but our own."""
    ours = letter.headers[-len(ADDED) :]
    return letter._replace(
        key=letter.key[:KEY_BYTES], value=letter.value[:VALUE_BYTES], headers=ours
    )


def append_or_lay_aside(
    log: Log, messages: Sequence[Message], place_of: Callable[[int], Place]
) -> None:
    """Writes the messages; of one that the log refuses for what it is it writes a dead letter.

    Args:
        log: where to write.
        messages: what is to be written.
        place_of: returns where the record stood that a message follows from, by its position.
    """
    try:
        log.append(messages)
    except MessagesRefused as error:
        letters = [
            _refused_letter(messages[position], place_of(position), why)
            for position, why in sorted(error.refused.items())
        ]
        _append_cut(log, letters, VALUE_BYTES)


def _append_cut(log: Log, letters: Sequence[Message], most_bytes: int) -> None:
    """Writes letters, and those that are still too large with ever fewer bytes."""
    try:
        log.append([letter._replace(value=letter.value[:most_bytes]) for letter in letters])
    except MessagesRefused as error:
        if most_bytes < LEAST_BYTES:
            raise
        _append_cut(log, [letters[position] for position in error.refused], most_bytes // 8)


def _refused_letter(message: Message, place: Place, why: LogError) -> Message:
    reason = TOO_LARGE if isinstance(why, MessageTooLarge) else why.code
    size, error = len(message.value), f"{why}; these are the first bytes of {{}}"
    if message.topic == DEAD_LETTER:
        said = dict(message.headers[-len(ADDED) :])
        told = f"{said['reason'].decode()}: {said['error'].decode()}; {error.format(size)}"
    else:
        told = error.format(f"{size}, for {message.topic}")
    logger.error("%s goes to the dead letters: %s", place_name(*place), told)
    record = Record(*place, 0, message.key, message.value)
    return first_bytes(dead_letter_message(record, reason, told))


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


class WrittenDeadLetters:
    """The dead letters that were written since a checkpoint, and are not written again.

    A process that was killed reads the records since its checkpoint again.

    Args:
        keys: the topics and partitions whose records' letters are this process's to write.
        offsets: the checkpoint's; they say where to look from.
    """

    def __init__(self, keys: Iterable[Key], offsets: Mapping[TopicPartition, int]) -> None:
        self.written = Written(DEAD_LETTER, _identify, keys, offsets)

    def take(self, record: Record) -> bool:
        """Returns whether the record's letter is there; each can be asked for once."""
        return self.written.take((record.topic, record.partition), record.offset)

    def message(self, record: Record, code: str, error: str) -> list[Message]:
        """Returns the record's dead letter, or nothing if that is written already."""
        return [] if self.take(record) else [dead_letter_message(record, code, error)]


def _identify(letter: Record) -> tuple[Key, Sequence[int]] | None:
    place = origin(letter)
    if place is None:
        return None
    ahead = dict(letter.headers).get("reason") == TIME_AHEAD.encode()
    return (ahead_key(*place[:2]) if ahead else place[:2]), place[2:]


def ahead_key(topic: str, partition: int) -> Key:
    """Returns the key of the letters of records that were ahead of the log's time.

    They have one of their own, since the next reading may come when that time is past.
    """
    return f"{topic} {TIME_AHEAD}", partition


REPLAYED_FROM: Final = "replayed-from"
"""The header that says which dead letter a record was sent again from, by its ID."""
REPLAYED_ORIGIN: Final = "replayed-origin"
"""The header that says where the record was first of all, as `topic/partition@offset`."""
CHUNK: Final = 1000

Text: TypeAlias = str | dict[str, str]
"""Bytes as JSON can show them: their text, or `base64` where they are none."""


class DeadLetter(NamedTuple):
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
        return "unknown" if self.source is None else place_name(*self.source)


def letter_of(record: Record) -> DeadLetter:
    """Returns the dead letter that a record of the topic is."""
    headers, source = record.headers, origin(record)
    ours = source is not None and tuple(name for name, _ in headers[-len(ADDED) :]) == ADDED
    said = dict(headers[-len(ADDED) :]) if ours else {}
    return DeadLetter(
        f"{record.partition}-{record.offset}",
        said.get("reason", b"").decode(errors="replace"),
        said.get("error", b"").decode(errors="replace"),
        source if ours else None,
        record.timestamp_ms,
        record.key,
        record.value,
        headers[: -len(ADDED)] if ours else headers,
    )


def read_dead_letters(log: Log, *, reason: str | None = None) -> Iterator[DeadLetter]:
    """Returns the dead letters (of one reason), partition by partition, oldest first.

    Raises:
        TopicError: the log has no topic for them.
    """
    letters = map(letter_of, scan_topic(log, DEAD_LETTER))
    return (letter for letter in letters if reason in (None, letter.reason))


def latest(
    log: Log, limit: int, *, reason: str | None = None
) -> tuple[list[DeadLetter], dict[str, int]]:
    """Returns the newest dead letters (of one reason), newest first, and how many have which.

    Raises:
        TopicError: the log has no topic for them.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[DeadLetter]:
        for letter in read_dead_letters(log):
            counts[letter.reason] += 1
            if reason in (None, letter.reason):
                yield letter

    newest = nlargest(limit, enumerate(counted()), key=lambda pair: (pair[1].timestamp_ms, pair[0]))
    return [letter for _, letter in newest], dict(counts.most_common())


def find_dead_letter(log: Log, letter_id: str) -> DeadLetter:
    """Returns the dead letter of that ID, `partition-offset`.

    Raises:
        DeadLetterError: there is none.
    """
    partition, offset = map(whole_number, letter_id.partition("-")[::2])
    if partition is not None and offset is not None and partition < log.partitions(DEAD_LETTER):
        found = log.read(TopicPartition(DEAD_LETTER, partition), offset, limit=1)
        if found and found[0].offset == offset:
            return letter_of(found[0])
    raise DeadLetterError(
        f"no dead letter {letter_id!r}; an ID is PARTITION-OFFSET, as `dead-letter list` shows it"
    )


def replay(
    log: Log, letters: Sequence[DeadLetter], *, value: bytes | None = None
) -> list[TopicOffset]:
    """Appends what the letters hold to the topics that they came from; returns where it went.

    Each gets the headers `REPLAYED_FROM` and `REPLAYED_ORIGIN`; its letter stays. With a `value`
    these corrected bytes are sent instead. The topic's reader decides: an outcome that was counted
    meanwhile is a duplicate, and one that is still late becomes a dead letter again.

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
    return place_name(*record[:3])


def readable(letter: DeadLetter) -> dict[str, object]:
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


def _message(letter: DeadLetter, value: bytes | None) -> Message:
    if letter.source is None:
        raise DeadLetterError(f"dead letter {letter.id} does not say what topic it is from")
    topic = letter.source[0]
    if letter.reason == TOO_LARGE and value is None:
        raise DeadLetterError(
            f"dead letter {letter.id} has only the first bytes of {letter.place}; send it again "
            "with corrected bytes"
        )
    if topic in (INTERACTIONS, JOINED, POLICIES):
        raise DeadLetterError(
            f"dead letter {letter.id} is from {topic!r}, whose records follow from others and are "
            "told by their sequence; mend what it follows from, such as the placement"
        )
    kept = tuple(h for h in letter.headers if h[0] not in (REPLAYED_FROM, REPLAYED_ORIGIN))
    first_place = origin_of(Record(*letter.source, 0, b"", b"", letter.headers))
    added = ((REPLAYED_FROM, letter.id.encode()), (REPLAYED_ORIGIN, first_place.encode()))
    sent = letter.value if value is None else value
    return Message(topic, _key(letter, topic, value), sent, kept + added)


def _key(letter: DeadLetter, topic: str, mended: bytes | None) -> bytes:
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
    return event.event_id.encode() if isinstance(event, Decision | Slate | Outcome) else letter.key


def place_name(topic: str, partition: int, offset: int) -> str:
    """Returns the place of a record as people read it."""
    return f"{topic}/{partition}@{offset}"


def _text(data: bytes) -> Text:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
