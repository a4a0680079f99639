"""What the hot path counts: plain numbers in dicts and lists, told to Prometheus when it asks.

A counter of prometheus_client takes a lock and checks its arguments at every step, which at some
thousand requests a second costs more than deciding does. Only the event loop counts here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
MOST_CREATIVES: Final = 100
"""How many of a placement's creatives have a series of their own; callers may bring any number."""
OTHER: Final = "(other)"
_BOUNDS: Final = (*map(str, LATENCY_BUCKETS), "+Inf")

_Family = TypeVar("_Family", CounterMetricFamily, GaugeMetricFamily)


class Tally(Collector):
    """Requests by route and status, how long they took, and decisions by what was chosen."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._slots: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._chosen: dict[str, Counter[str]] = {}
        self._explored: Counter[str] = Counter()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self._requests[route, status] += 1
        slots = self._slots.get(route)
        if slots is None:
            slots = self._slots[route] = [0] * len(_BOUNDS)
            self._seconds[route] = 0.0
        slots[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds[route] += seconds

    def decision(self, placement: str, creative: str, *, explored: bool) -> None:
        """Counts a decision.

        Args:
            placement: one that exists.
            creative: the id of what was chosen.
            explored: something else had a higher propensity.
        """
        chosen = self._chosen.get(placement)
        if chosen is None:
            chosen = self._chosen[placement] = Counter()
        if creative not in chosen and len(chosen) >= MOST_CREATIVES:
            creative = OTHER
        chosen[creative] += 1
        if explored:
            self._explored[placement] += 1

    def collect(self) -> Iterator[Metric]:
        """Yields what was counted."""
        yield labelled(
            CounterMetricFamily(
                "copyloop_requests", "Requests by route and status.", labels=("route", "status")
            ),
            (((route, str(status)), count) for (route, status), count in self._requests.items()),
        )
        seconds = HistogramMetricFamily(
            "copyloop_request_seconds",
            "Time from a request's headers to the end of its answer.",
            labels=("route",),
        )
        for route, slots in list(self._slots.items()):
            buckets = list(zip(_BOUNDS, map(float, accumulate(slots)), strict=True))
            seconds.add_metric((route,), buckets, self._seconds[route])
        yield seconds
        chosen = {placement: dict(counts) for placement, counts in list(self._chosen.items())}
        yield labelled(
            CounterMetricFamily(
                "copyloop_decisions", "Decisions taken, by placement.", labels=("placement",)
            ),
            (((placement,), sum(counts.values())) for placement, counts in chosen.items()),
        )
        yield labelled(
            CounterMetricFamily(
                "copyloop_creative_decisions",
                f"Decisions by what was chosen: {MOST_CREATIVES} a placement, and the rest as one.",
                labels=("placement", "creative"),
            ),
            (
                ((placement, creative), count)
                for placement, counts in chosen.items()
                for creative, count in counts.items()
            ),
        )
        yield labelled(
            CounterMetricFamily(
                "copyloop_explored_decisions",
                "Decisions for something that was not the most probable.",
                labels=("placement",),
            ),
            (((placement,), self._explored[placement]) for placement in chosen),
        )


def labelled(family: _Family, values: Iterable[tuple[tuple[str, ...], float]]) -> _Family:
    """Returns the family with a sample for each of these labels."""
    for labels, value in list(values):
        family.add_metric(labels, value)
    return family
