"""From when to when the log holds decisions of a placement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from streams.errors import EventError
from streams.events import DECISIONS, Decision, decode
from streams.log import Log, Record, TopicPartition

CHUNK: Final = 1000


def date_range(log: Log, placement: str) -> tuple[int, int] | None:
    """Returns the times of the first and the last decision, in milliseconds; None without any.

    It reads from either end until it finds one.
    """
    # What is no decision of the placement's is told without reading it as one.
    mark = b'"placement":' + msgspec.json.encode(placement)
    ends = []
    for number in range(log.partitions(DECISIONS)):
        partition = TopicPartition(DECISIONS, number)
        if (first := _first(log, partition, mark)) is not None:
            last = _last(log, partition, mark)
            ends.append((first, first if last is None else last))
    if not ends:
        return None
    return min(first for first, _ in ends), max(last for _, last in ends)


def _first(log: Log, partition: TopicPartition, mark: bytes) -> int | None:
    offset = log.start_offset(partition)
    while records := log.read(partition, offset, limit=CHUNK):
        offset = records[-1].offset + 1
        if (found := _time(records, mark)) is not None:
            return found
    return None


def _last(log: Log, partition: TopicPartition, mark: bytes) -> int | None:
    start, end = log.start_offset(partition), log.end_offset(partition)
    while end > start:
        begin = max(start, end - CHUNK)
        records = [r for r in log.read(partition, begin, limit=CHUNK) if r.offset < end]
        if (found := _time(reversed(records), mark)) is not None:
            return found
        end = begin
    return None


def _time(records: Iterable[Record], mark: bytes) -> int | None:
    for record in records:
        if mark not in bytes(record.value):
            continue
        try:
            event = decode(record.value)
        except EventError:
            # The joiner lays it aside.
            continue
        if isinstance(event, Decision):
            return event.timestamp_ms
    return None
