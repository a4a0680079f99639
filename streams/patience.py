"""How a fold writes: what it has read must not be lost because the log is away for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from streams.errors import LogUnavailable
from streams.log import Log, Message

logger = logging.getLogger(__name__)


def append_patiently(
    log: Log, messages: Sequence[Message], *, stop: threading.Event, retry_seconds: float
) -> None:
    """Appends the messages, however long the log is out of reach.

    Raises:
        LogUnavailable: it was still out of reach when `stop` was set.
    """
    while messages:
        try:
            log.append(messages)
            return
        except LogUnavailable as error:
            if stop.wait(retry_seconds):
                raise
            logger.warning("cannot write, trying again: %s", error)
