"""Reads a partition from any offset to its end, for whoever follows the log without a consumer.

Kafka's offsets have gaps, where a compacted record or a transaction's mark was: the end is
reached when the position is there, not when a record is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka import KafkaConsumer

from streams.errors import LogUnavailable
from streams.kafka.clients import open_client, translated
from streams.kafka.places import Names, to_records
from streams.log import Record, TopicPartition

POLL_MS: Final = 200


class Reader:
    """One client for all threads, one at a time; it reads on without asking where it stands."""

    def __init__(self, bootstrap: str, names: Names, options: Mapping[str, object]) -> None:
        self._what = f"Kafka at {bootstrap}"
        self._names = names
        self._lock = threading.Lock()
        self._client: Any = open_client(
            KafkaConsumer,
            bootstrap,
            **options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._timeout_ms: float = self._client.config["request_timeout_ms"]
        self._at: tuple[Any, int] | None = None
        self._known_end: dict[Any, int] = {}

    def read(self, partition: TopicPartition, offset: int, *, limit: int) -> list[Record]:
        """Returns the next records at or after `offset`; empty at the end."""
        place = self._names.theirs(partition)
        with self._lock, translated(self._what):
            if offset >= self._known_end.get(place, -1):
                self._known_end[place] = self._end(place)
            if offset >= self._known_end[place]:
                return []
            if self._at != (place, offset):
                self._client.assign([place])
                self._client.seek(place, offset)
            self._at = None
            found = self._poll(place, limit)
            if found:
                self._at = (place, found[-1].offset + 1)
            return to_records(partition, found)

    def start(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""
        place = self._names.theirs(partition)
        with self._lock, translated(self._what):
            return int(self._client.beginning_offsets([place], timeout_ms=self._timeout_ms)[place])

    def end(self, partition: TopicPartition) -> int:
        """Returns the offset up to which records can be read."""
        with self._lock, translated(self._what):
            return self._end(self._names.theirs(partition))

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            self._client.close()

    def _end(self, place: Any) -> int:
        return int(self._client.end_offsets([place], timeout_ms=self._timeout_ms)[place])

    def _poll(self, place: Any, limit: int) -> Sequence[Any]:
        deadline = time.monotonic() + self._timeout_ms / 1000
        while time.monotonic() < deadline:
            batches = self._client.poll(timeout_ms=POLL_MS, max_records=limit)
            if batches:
                found: Sequence[Any] = batches[place]
                return found
            position = self._client.position(place, timeout_ms=POLL_MS)
            if position is not None and position >= self._known_end[place]:
                return []
        raise LogUnavailable(f"{self._what} did not send {place} in {self._timeout_ms} ms")
