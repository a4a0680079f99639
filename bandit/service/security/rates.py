"""How often each caller may ask: a token bucket a caller, in this process alone.

Replicas and workers count by themselves, so what a caller may make in all is the limit times
their number; sharing the count would cost every request a round trip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bandit.service.security.caller import Caller

MOST_BUCKETS: Final = 10_000


class Rates:
    """The buckets of all callers.

    Args:
        per_second: requests that a caller may make who has no rate of its own; 0: any number.
        burst_seconds: a bucket holds what comes in this time, and a single request at least.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        per_second: float,
        burst_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst_seconds = burst_seconds
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, caller: Caller) -> float:
        """Returns 0 and takes a token, or how long it is until there is one."""
        own = caller.rate_per_second
        rate = self._per_second if own is None else own
        if not rate:
            return 0.0
        now, most = self._clock(), max(rate * self._burst_seconds, 1.0)
        tokens, at = self._buckets.get(caller.id, (most, now))
        tokens = min(tokens + (now - at) * rate, most)
        if tokens < 1.0:
            return (1.0 - tokens) / rate
        if len(self._buckets) >= MOST_BUCKETS and caller.id not in self._buckets:
            self._forget_the_idle(now)
        self._buckets[caller.id] = (tokens - 1.0, now)
        return 0.0

    def _forget_the_idle(self, now: float) -> None:
        """Drops who has not asked for longer than a bucket takes to fill, or else the oldest."""
        recent = now - max(self._burst_seconds, 1.0)
        kept = {name: bucket for name, bucket in self._buckets.items() if bucket[1] >= recent}
        if len(kept) >= MOST_BUCKETS:
            newest = sorted(kept.items(), key=lambda item: item[1][1])
            kept = dict(newest[MOST_BUCKETS // 2 :])
        self._buckets = kept
