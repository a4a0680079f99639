"""Looks into a log: records as they come, the place of a time or an offset, and a group's lag."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec import Struct

from streams.fold import Viewer, partitions, scan
from streams.logs.base import Log, Record, TopicPartition

CHUNK: Final = 1000


class Search(NamedTuple):
    """What was found, and whether all of it was looked through, or `limit` ended it before."""

    records: list[Record]
    complete: bool


def offset_at(log: Log, partition: TopicPartition, at_ms: int) -> int:
    """Returns the offset of the first record not before this time; the end if there is none.

    It reads one record for every halving: 20 among a million.
    """
    low, high = log.start_offset(partition), log.end_offset(partition)
    while low < high:
        middle = (low + high) // 2
        found = log.read(partition, middle, limit=1)
        if not found or found[0].timestamp_ms >= at_ms:
            high = middle
        else:
            # offsets may have gaps: what was read is the next record there is
            low = found[0].offset + 1
    return low


def by_key(log: Log, topic: str, key: bytes, *, from_ms: int, until_ms: int, limit: int) -> Search:
    """Returns the records of a key in [from_ms, until_ms) of the log's time, oldest first.

    At most `limit` records of each partition are read. All partitions are looked through, since
    only the log knows which one has the key.
    """
    found: list[Record] = []
    complete = True
    for partition in partitions(log, topic):
        records = scan(log, partition, offset_at(log, partition, from_ms))
        for record in islice(records, limit):
            if record.timestamp_ms >= until_ms:
                break
            if record.key == key:
                found.append(record)
        else:
            complete = complete and next(records, None) is None
    found.sort(key=lambda record: (record.timestamp_ms, record.partition, record.offset))
    return Search(found, complete)


def newest_first(log: Log, topic: str, ends: dict[int, int]) -> Iterator[Record]:
    """Yields the topic's records before these offsets, by partition, newest first.

    A partition that is left out of `ends` is read from its end.
    """
    parts = partitions(log, topic)
    runs = [backwards(log, part, ends.get(part.partition)) for part in parts]
    return merge(*runs, key=lambda record: -record.timestamp_ms)


def backwards(log: Log, partition: TopicPartition, end: int | None = None) -> Iterator[Record]:
    """Yields the partition's records before an offset, or all of them, newest first."""
    start = log.start_offset(partition)
    end = log.end_offset(partition) if end is None else min(end, log.end_offset(partition))
    while end > start:
        begin = max(start, end - CHUNK)
        yield from reversed(list(scan(log, partition, begin, end=end)))
        end = begin


class Lag(Struct, frozen=True):
    """One partition as one group sees it; `committed` is None if the group never was there.

    `lag` is how many records the group has not read yet, or has read but not saved. On Kafka
    the marks of transactions count as well.
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


def lags(log: Log, groups: Mapping[str, Sequence[str]]) -> list[Lag]:
    """Returns the lag of each group in each partition of the topics that it reads.

    Raises:
        TopicError: there is no such topic.
    """
    found = []
    for group, topics in groups.items():
        for partition in (each for topic in topics for each in partitions(log, topic)):
            committed = log.committed(group, partition)
            read_to = max(committed or 0, log.start_offset(partition))
            # The end is asked for last, so that a group that keeps up never seems ahead of it.
            end = log.end_offset(partition)
            found.append(Lag(group, *partition, committed, end, max(end - read_to, 0)))
    return found


def tail(
    log: Log,
    topics: Sequence[str],
    *,
    stop: threading.Event,
    last: int = 10,
    follow: bool = True,
) -> Iterator[str]:
    """Yields a line a record: the `last` ones of each partition, then what comes until `stop`.

    Without `follow` it ends where the log does now.

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
    yield from _lines(records)
    if not follow:
        return
    consumer = log.consumer(topics, Viewer(offsets))
    try:
        while not stop.is_set():
            yield from _lines(consumer.poll(0.2))
    finally:
        consumer.close()


def line(record: Record, *, width: int = 160) -> str:
    """Returns the record in one line: local time, place, key, headers, value cut at `width`.

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


def _lines(records: Sequence[Record]) -> Iterator[str]:
    return map(line, sorted(records, key=attrgetter("timestamp_ms")))
