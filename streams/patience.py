"""How a fold lives with a log that is away for a while: it waits.

What it has read must not be lost, and what it keeps in memory need not be built anew, because
a broker was restarted; so every call is made again until it goes through.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from streams.errors import LogUnavailable
from streams.log import Log, Message, TopicOffset

RETRY_SECONDS: Final = 0.5

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


class RetryingLog:
    """Another log, whose calls last as long as it is out of reach.

    An append that failed may have written a part and is then made again in full, so this is
    for those whose messages twice are the same as once.

    Every method of a log is there, and raises `LogUnavailable` if the log is still out of reach
    when `stop` is set. A consumer is that of the log itself.

    Args:
        log: the log that is asked.
        stop: ends the waiting.
        retry_seconds: how long after a failure the call is made again; `RETRY_SECONDS` if None.
    """

    def __init__(
        self, log: Log, *, stop: threading.Event, retry_seconds: float | None = None
    ) -> None:
        self._stop = stop
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._append = self._patient(log.append)
        self.create_topic = self._patient(log.create_topic)
        self.partitions = self._patient(log.partitions)
        self.read = self._patient(log.read)
        self.start_offset = self._patient(log.start_offset)
        self.end_offset = self._patient(log.end_offset)
        self.consumer = self._patient(log.consumer)
        self.committed = self._patient(log.committed)
        self.close = log.close

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, and returns where they are; asks nothing for none."""
        return self._append(messages) if messages else []

    def _patient(self, ask: Callable[P, T]) -> Callable[P, T]:
        def patiently(*args: P.args, **options: P.kwargs) -> T:
            while True:
                try:
                    return ask(*args, **options)
                except LogUnavailable as error:
                    if self._stop.wait(self._retry_seconds):
                        raise
                    logger.warning("the log is out of reach, trying again: %s", error)

        return patiently
