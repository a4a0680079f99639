"""From when to when the log holds decisions of a placement."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streams.errors import EventError
from streams.events import DECISIONS, Decision, decode
from streams.fold import partitions, scan
from streams.log import Log, Record
from streams.seek import backwards


def date_range(log: Log, placement: str) -> tuple[int, int] | None:
    """Returns the times of the first and the last decision, in milliseconds; None without any.

    It reads from either end until it finds one.
    """
    # What is no decision of the placement's is told without reading it as one.
    mark = b'"placement":' + msgspec.json.encode(placement)
    ends = []
    for partition in partitions(log, DECISIONS):
        if (first := _time(scan(log, partition), mark)) is not None:
            last = _time(backwards(log, partition), mark)
            ends.append((first, first if last is None else last))
    if not ends:
        return None
    return min(first for first, _ in ends), max(last for _, last in ends)


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
