"""A log whose calls wait while it is away, so that a fold lives through a broker's restart.

A fold keeps the records that it has read and the state that it has built, and makes every call
again until the log answers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from streams.errors import LogUnavailable
from streams.log import Log, Message, TopicOffset

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


def _retrying(
    call: Callable[Concatenate[Log, P], T],
) -> Callable[Concatenate[RetryingLog, P], T]:
    """Returns a method of `RetryingLog` that makes the call until it goes through."""

    @wraps(call)
    def method(self: RetryingLog, /, *arguments: P.args, **options: P.kwargs) -> T:
        while True:
            try:
                found: T = getattr(self._log, call.__name__)(*arguments, **options)
            except LogUnavailable as error:
                if self._stop.wait(self._retry_seconds):
                    raise
                logger.warning("the log is out of reach, trying again: %s", error)
            else:
                return found

    return method


class RetryingLog:
    """Another log, whose calls last as long as it is out of reach.

    An append that failed may have written a part and is then made again in full, so this is
    for those whose messages twice are the same as once. A consumer is that of the log itself.

    Every method raises `LogUnavailable` if the log is still out of reach when `stop` is set.

    Args:
        log: the log that is asked.
        stop: ends the waiting.
        retry_seconds: how long after a failure the call is made again.
    """

    def __init__(self, log: Log, *, stop: threading.Event, retry_seconds: float) -> None:
        self._log = log
        self._stop = stop
        self._retry_seconds = retry_seconds

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, and returns where they are."""
        return self._append(messages) if messages else []

    def close(self) -> None:
        """Closes the log itself."""
        self._log.close()

    create_topic = _retrying(Log.create_topic)
    partitions = _retrying(Log.partitions)
    read = _retrying(Log.read)
    start_offset = _retrying(Log.start_offset)
    end_offset = _retrying(Log.end_offset)
    consumer = _retrying(Log.consumer)
    committed = _retrying(Log.committed)
    _append = _retrying(Log.append)
