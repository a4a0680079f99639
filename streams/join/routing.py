"""Which partition an outcome belongs to, whoever wrote it, and also while partitions are added.

An outcome meets its decision in the partition of the event id. Its producer may have another
partitioner, or no key, or the decision may be older than the partitions that there are now. A join
sends such an outcome on, until it finds its decision, or has been wherever that may be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from streams.events import OUTCOMES, Outcome, Tick, encode
from streams.logs.base import Headers, Message, Record

FORWARDED: Final = "copyloop-forwarded"
"""The header of a forwarded outcome: the partitions that it has been in, in order."""
LAYOUTS: Final = "copyloop-layouts"
"""The header of a tick: how many partitions there are, and were before more were added."""

PartitionOf = Callable[[bytes, int], int]
"""Returns the partition of a key where there are so many."""


def next_partition(
    event_id: str,
    here: int,
    visited: Collection[int],
    layouts: Collection[int],
    partition_of: PartitionOf,
) -> int | None:
    """Returns where an outcome goes whose decision is not here; None if here is where it waits.

    First to where the decision of now would be, then to where older ones are. Without success it
    waits where the decision of now would be, as an outcome that came early does.

    Args:
        event_id: of the outcome.
        here: the partition that it is in.
        visited: those that it was in before.
        layouts: how many partitions there are, and were.
        partition_of: how the log places a key.

    >>> from streams.logs.embedded import partition_of
    >>> next_partition("event-2", 0, (), {4}, partition_of)
    2
    >>> next_partition("event-2", 2, (), {4}, partition_of) is None
    True
    """
    if here in visited or not layouts:
        return None
    key = event_id.encode()
    places = [partition_of(key, count) for count in sorted(layouts, reverse=True)]
    for place in places:
        if place != here and place not in visited:
            return place
    return None if places[0] == here else places[0]


def forwarded(record: Record, outcome: Outcome, to: int) -> Message:
    """Returns the record's message for the partition where it goes."""
    visited = b",".join(b"%d" % number for number in (*visited_by(record), record.partition))
    headers = tuple(header for header in record.headers if header[0] != FORWARDED)
    key = outcome.event_id.encode()
    return Message(OUTCOMES, key, record.value, (*headers, (FORWARDED, visited)), partition=to)


def visited_by(record: Record) -> list[int]:
    """Returns the partitions that a record was forwarded from."""
    return _numbers(record.headers, FORWARDED)


def layout_tick(partition: int, layouts: Collection[int]) -> Message:
    """Returns the tick that tells a partition's join of the layouts."""
    told = b",".join(b"%d" % count for count in sorted(layouts))
    return Message(OUTCOMES, b"", encode(Tick()), ((LAYOUTS, told),), partition=partition)


def layouts_told(tick: Record) -> list[int]:
    """Returns the layouts that a tick tells, none if it is a plain one."""
    return _numbers(tick.headers, LAYOUTS) if tick.headers else []


def _numbers(headers: Headers, name: str) -> list[int]:
    """Returns the whole numbers in the last header of that name; none if it is not of ours."""
    told = dict(headers).get(name, b"").split(b",")
    return [int(number) for number in told] if all(map(bytes.isdigit, told)) else []
