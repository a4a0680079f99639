"""What the hot path counts: plain numbers in dicts and lists, told to Prometheus when it asks.

A counter of prometheus_client takes a lock and checks its arguments at every step, which at some
thousand requests a second costs more than deciding does. Only the event loop counts here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BOUNDS: Final = (*map(str, LATENCY_BUCKETS), "+Inf")


class Tally(Collector):
    """Requests by route and status, how long they took, and decisions by placement."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._slots: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._decisions: Counter[str] = Counter()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self._requests[route, status] += 1
        slots = self._slots.get(route)
        if slots is None:
            slots = self._slots[route] = [0] * len(_BOUNDS)
            self._seconds[route] = 0.0
        slots[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds[route] += seconds

    def decisions(self, placement: str, count: int) -> None:
        """Counts decisions of a placement that exists."""
        self._decisions[placement] += count

    def collect(self) -> Iterator[Metric]:
        """Yields what was counted."""
        requests = CounterMetricFamily(
            "copyloop_requests", "Requests by route and status.", labels=("route", "status")
        )
        for (route, status), count in list(self._requests.items()):
            requests.add_metric((route, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "copyloop_request_seconds",
            "Time from a request's headers to the end of its answer.",
            labels=("route",),
        )
        for route, slots in list(self._slots.items()):
            buckets = list(zip(_BOUNDS, map(float, accumulate(slots)), strict=True))
            seconds.add_metric((route,), buckets, self._seconds[route])
        yield seconds
        decisions = CounterMetricFamily(
            "copyloop_decisions", "Decisions taken, by placement.", labels=("placement",)
        )
        for placement, count in list(self._decisions.items()):
            decisions.add_metric((placement,), count)
        yield decisions
