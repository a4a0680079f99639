"""Finds records by time and key, on any log, without reading what lies elsewhere.

A partition's timestamps never go back, so a time is found by halving, and a key by reading on
from the time at which it must have come. No index is kept: what writes pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

from streams.fold import partitions, scan
from streams.log import Log, Record, TopicPartition

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
    """Returns the records of a key in [from_ms, until_ms), oldest first.

    Args:
        log: holds the topic.
        topic: all of its partitions are looked through, for only the log knows which has the key.
        key: of the records.
        from_ms: as the log's time goes, not that of the events.
        until_ms: likewise.
        limit: how many records of each partition are read at most.
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
