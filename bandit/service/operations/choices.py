"""What was chosen, for Prometheus: how often each creative was, and how often it was to explore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_CREATIVES: Final = 100
"""How many of a placement's creatives have a series of their own; callers may bring any number."""
OTHER: Final = "(other)"


class Choices(Collector):
    """Counts of decisions; plain dicts, for a labelled counter costs more than a decision may."""

    def __init__(self) -> None:
        self._chosen: dict[str, Counter[str]] = {}
        self._explored: Counter[str] = Counter()

    def add(self, placement: str, creative: str, *, explored: bool) -> None:
        """Counts a decision.

        Args:
            placement: one that exists.
            creative: the id of what was chosen.
            explored: whether something else had a higher propensity.
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
        """Yields both counters."""
        chosen = CounterMetricFamily(
            "copyloop_creative_decisions",
            f"Decisions by what was chosen: {MOST_CREATIVES} a placement, and the rest as one.",
            labels=("placement", "creative"),
        )
        explored = CounterMetricFamily(
            "copyloop_explored_decisions",
            "Decisions for something that was not the most probable.",
            labels=("placement",),
        )
        for placement, counts in list(self._chosen.items()):
            for creative, count in list(counts.items()):
                chosen.add_metric((placement, creative), count)
            explored.add_metric((placement,), self._explored[placement])
        yield chosen
        yield explored
