"""How a fold lives with a log that is away for a while: it waits.

What it has read must not be lost, and what it keeps in memory need not be built anew, because
a broker was restarted; so every call is made again until it goes through.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from streams.errors import LogUnavailable
from streams.log import Assignee, Consumer, Log, Message, Record, TopicOffset, TopicPartition

RETRY_SECONDS: Final = 0.5

T = TypeVar("T")

logger = logging.getLogger(__name__)


class PatientLog:
    """Another log, whose calls last as long as it is out of reach.

    An append that failed may have written a part and is then made again in full, so this is
    for those whose messages twice are the same as once.

    Every method raises `LogUnavailable` if the log is still out of reach when `stop` is set.

    Args:
        log: the log that is asked.
        stop: ends the waiting.
        retry_seconds: how long after a failure the call is made again; `RETRY_SECONDS` if None.
    """

    def __init__(
        self, log: Log, *, stop: threading.Event, retry_seconds: float | None = None
    ) -> None:
        self._log = log
        self._stop = stop
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there."""
        self._patiently(
            lambda: self._log.create_topic(topic, partitions=partitions, compact=compact)
        )

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has."""
        return self._patiently(lambda: self._log.partitions(topic))

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, and returns where they are."""
        return self._patiently(lambda: self._log.append(messages)) if messages else []

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`; empty at the end."""
        return self._patiently(lambda: self._log.read(partition, offset, limit=limit))

    def start_offset(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""
        return self._patiently(lambda: self._log.start_offset(partition))

    def end_offset(self, partition: TopicPartition) -> int:
        """Returns the offset that the next append gets."""
        return self._patiently(lambda: self._log.end_offset(partition))

    def consumer(
        self, topics: Sequence[str], assignee: Assignee, *, group: str | None = None
    ) -> Consumer:
        """Returns a consumer of the topics' partitions, which is that of the log itself."""
        return self._patiently(lambda: self._log.consumer(topics, assignee, group=group))

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""
        return self._patiently(lambda: self._log.committed(group, partition))

    def close(self) -> None:
        """Closes the log itself."""
        self._log.close()

    def _patiently(self, ask: Callable[[], T]) -> T:
        while True:
            try:
                return ask()
            except LogUnavailable as error:
                if self._stop.wait(self._retry_seconds):
                    raise
                logger.warning("the log is out of reach, trying again: %s", error)
