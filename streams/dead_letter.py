"""Records that nobody could use, kept with the reason: nothing is dropped without a trace.

A dead letter holds the original key, bytes and headers, so it can be put right and sent again.
"""

from __future__ import annotations

from streams.events import DEAD_LETTER
from streams.log import Message, Record


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


def origin(letter: Record) -> tuple[str, int, int] | None:
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
