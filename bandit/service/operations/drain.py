"""The end of a replica, in order: it says that it goes, is still there for a while, then goes.

Whoever balances load asks whether a replica is ready every few seconds. Were it to close its port
at once, all that comes until then would be refused.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from types import FrameType

logger = logging.getLogger(__name__)


class Drain:
    """Turns SIGTERM into notice first and the end later; used from one event loop.

    Args:
        notice_seconds: how long requests are still taken once the end is known.
    """

    def __init__(self, notice_seconds: float) -> None:
        self.draining = False
        """Whether the end is known, and nothing more should be sent here."""
        self._notice_seconds = notice_seconds

    def watch(self) -> None:
        """Comes before whoever handles SIGTERM by now; for the main thread's event loop."""
        before = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return
        loop = asyncio.get_running_loop()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self.draining or not self._notice_seconds:
                self.draining = True
                before(number, frame)
                return
            self.draining = True
            logger.info("draining: requests are taken for %g s more", self._notice_seconds)
            loop.call_soon_threadsafe(loop.call_later, self._notice_seconds, before, number, None)

        signal.signal(signal.SIGTERM, on_signal)
