"""Our topics, partitions and records, and what Kafka calls them.

On a shared cluster every name of ours carries a prefix, which nobody else sees; and a record's
time is the broker's, unless it is history that brought its own along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import kafka

from streams.log import Headers, Record, TopicPartition

TIMESTAMP: Final = "copyloop-timestamp-ms"
"""The header that carries the time of a record that was written back."""


class Names(NamedTuple):
    """What our topics and groups are called on the cluster."""

    prefix: str

    def theirs(self, partition: TopicPartition) -> Any:
        """Returns the partition as the client names it."""
        return kafka.TopicPartition(self.prefix + partition.topic, partition.partition)

    def ours(self, partition: Any) -> TopicPartition:
        """Returns the client's partition as we name it."""
        return TopicPartition(partition.topic.removeprefix(self.prefix), partition.partition)


def to_records(place: TopicPartition, found: Iterable[Any]) -> list[Record]:
    """Returns what the client read of a partition; what others left null is empty here."""
    topic, partition = place
    return [
        _with_headers(place, record)
        if record.headers
        else Record(
            topic,
            partition,
            record.offset,
            record.timestamp,
            record.key or b"",
            record.value or b"",
        )
        for record in found
    ]


def _with_headers(place: TopicPartition, record: Any) -> Record:
    timestamp_ms = record.timestamp
    headers: list[tuple[str, bytes]] = []
    for header in record.headers:
        name, value = header
        if value is None:
            headers.append((name, b""))
        elif name == TIMESTAMP and value.isdigit():
            timestamp_ms = int(value)
        else:
            # The client's own tuple: what is not made anew costs the garbage collector nothing.
            headers.append(header)
    kept: Headers = tuple(headers)
    return Record(*place, record.offset, timestamp_ms, record.key or b"", record.value or b"", kept)
