"""How often a server is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 8.0
"""Between attempts; each wait is twice as long as the one before."""


class RateLimiter:
    """Keeps to so many requests and tokens a minute, over all threads.

    Requests are let go at even distances. Tokens are known only afterwards: whoever comes next
    waits for as long as those that were used are worth.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request_seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def wait(self) -> None:
        """Returns when the next request may go."""
        with self._lock:
            now = self._clock()
            at = max(self._free_at, now)
            self._free_at = at + self._request_seconds
        if at > now:
            self._sleep(at - now)

    def spend(self, tokens: int) -> None:
        """Says that an answer used so many tokens."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock()) + tokens * self._token_seconds
