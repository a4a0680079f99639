"""How far behind each group is: what tells a process that is slow, or not running at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from streams.fold import partitions
from streams.log import Log, TopicPartition


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
    return [
        _lag(log, group, partition)
        for group, topics in groups.items()
        for topic in topics
        for partition in partitions(log, topic)
    ]


def _lag(log: Log, group: str, partition: TopicPartition) -> Lag:
    # The end is asked for last, so that a group that keeps up never seems ahead of it.
    committed = log.committed(group, partition)
    read_to = max(committed or 0, log.start_offset(partition))
    end = log.end_offset(partition)
    return Lag(group, *partition, committed, end, max(end - read_to, 0))
