"""A live view of the log, a line a record, for the eyes of whoever runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter

from streams.fold import Viewer, partitions
from streams.log import Log, Record


def tail(
    log: Log,
    topics: Sequence[str],
    *,
    stop: threading.Event,
    last: int = 10,
    follow: bool = True,
    width: int = 160,
) -> Iterator[str]:
    """Yields a line a record: the `last` ones of each partition, then what comes until `stop`.

    Without `follow` it ends where the log does now. What stands in a line of the record's value
    is cut at `width` characters.

    Raises:
        TopicError: there is no such topic.
    """
    offsets = {}
    records = []
    for topic in topics:
        for partition in partitions(log, topic):
            offsets[partition] = end = log.end_offset(partition)
            start = max(end - last, log.start_offset(partition))
            # What came since `end` was asked for is the consumer's to show.
            records += [r for r in log.read(partition, start, limit=last) if r.offset < end]
    yield from _lines(records, width)
    if not follow:
        return
    consumer = log.consumer(topics, Viewer(offsets))
    try:
        while not stop.is_set():
            yield from _lines(consumer.poll(0.2), width)
    finally:
        consumer.close()


def line(record: Record, *, width: int = 160) -> str:
    """Returns the record in one line: local time, place, key, headers and value.

    >>> line(Record("outcomes", 0, 7, 0, b"event-1", b'{"kind":"click"}'))[13:]
    'outcomes/0@7 event-1 {"kind":"click"}'
    """
    time = datetime.fromtimestamp(record.timestamp_ms / 1000).strftime("%H:%M:%S.%f")[:-3]
    words = [time, f"{record.topic}/{record.partition}@{record.offset}", printable(record.key)]
    words += [f"{name}={printable(value)}" for name, value in record.headers]
    words.append(printable(record.value[: width * 4])[:width])
    return " ".join(word for word in words if word)


def printable(data: bytes) -> str:
    """Returns the bytes as text that cannot move the cursor of the terminal that shows it."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _lines(records: Sequence[Record], width: int) -> Iterator[str]:
    for record in sorted(records, key=attrgetter("timestamp_ms")):
        yield line(record, width=width)
