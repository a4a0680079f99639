"""What the API counts, for Prometheus.

Each application has a registry of its own, so that two in one process do not mix. Routes are
labelled by their template, never by a path that a client chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as MetricCounter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bandit.service.operations.tally import Tally, labelled
from bandit.service.snapshots import Snapshots
from streams.spool import Spool

GROUP_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The counters of one application, and the text that `/metrics` answers with."""

    def __init__(
        self, snapshots: Snapshots, clock_ms: Callable[[], int], spool: Spool | None = None
    ) -> None:
        registry = self._registry = CollectorRegistry()
        tally = Tally()
        registry.register(tally)
        self.request, self.decision = tally.request, tally.decision
        self._outcomes = MetricCounter(
            "copyloop_outcomes",
            "Outcomes accepted, by placement.",
            ("placement",),
            registry=registry,
        )
        self.group = Histogram(
            "copyloop_append_group_messages",
            "Messages appended to the log at once.",
            buckets=GROUP_BUCKETS,
            registry=registry,
        ).observe
        self.spooled = MetricCounter(
            "copyloop_spooled_messages",
            "Messages that went to disk because the log was away.",
            registry=registry,
        ).inc
        self.forwarded = MetricCounter(
            "copyloop_forwarded_messages",
            "Messages that went from disk to the log.",
            registry=registry,
        ).inc
        self._unlogged = MetricCounter(
            "copyloop_unlogged_decisions",
            "Decisions that were answered but not recorded: the spool was full.",
            ("placement",),
            registry=registry,
        )
        self._fallbacks = MetricCounter(
            "copyloop_fallback_decisions",
            "Decisions that the policy was too late for: the first action was taken.",
            ("placement",),
            registry=registry,
        )
        registry.register(_Served(snapshots, clock_ms))
        if spool is not None:
            registry.register(_Spooled(spool, clock_ms))

    def outcomes(self, placement: str, count: int) -> None:
        """Counts outcomes of a placement that exists."""
        self._outcomes.labels(placement).inc(count)

    def fallbacks(self, placement: str, count: int) -> None:
        """Counts decisions that were taken in place of the policy."""
        self._fallbacks.labels(placement).inc(count)

    def unlogged(self, placement: str, count: int) -> None:
        """Counts decisions that were answered, and are recorded nowhere."""
        self._unlogged.labels(placement).inc(count)

    def add(self, collector: Collector) -> None:
        """Registers another collector."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Returns everything counted so far in Prometheus' text format."""
        return generate_latest(self._registry)


class _Served(Collector):
    """What is served now, read when it is asked for."""

    def __init__(self, snapshots: Snapshots, clock_ms: Callable[[], int]) -> None:
        self._snapshots = snapshots
        self._clock_ms = clock_ms

    def collect(self) -> Iterator[Metric]:
        names = [placement.name for placement in self._snapshots.catalogue.placements()]
        served = [found for name in names if (found := self._snapshots.placement(name))]
        now_ms = self._clock_ms()
        yield _gauge(
            "copyloop_policy_age_seconds",
            "Time since the log took in the policy that is served.",
            ((s.placement.name, (now_ms - s.snapshot_ms) / 1e3) for s in served if s.snapshot_ms),
        )
        yield _gauge(
            "copyloop_live_creatives",
            "Creatives that may be shown.",
            ((s.placement.name, len(s.actions)) for s in served),
        )
        yield GaugeMetricFamily(
            "copyloop_policies_refused",
            "Policy snapshots that were damaged, and so not served.",
            self._snapshots.refused,
        )


class _Spooled(Collector):
    """What waits on disk, read when it is asked for."""

    def __init__(self, spool: Spool, clock_ms: Callable[[], int]) -> None:
        self._spool = spool
        self._clock_ms = clock_ms

    def collect(self) -> Iterator[Metric]:
        spool = self._spool
        yield GaugeMetricFamily(
            "copyloop_spool_bytes", "Bytes on disk that wait for the log.", spool.size_bytes
        )
        yield GaugeMetricFamily(
            "copyloop_spool_messages", "Messages on disk that wait for the log.", spool.messages
        )
        yield GaugeMetricFamily(
            "copyloop_spool_oldest_seconds",
            "How long the oldest message on disk has waited, 0 if there is none.",
            spool.oldest_seconds(self._clock_ms()),
        )


def _gauge(name: str, words: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=("placement",))
    return labelled(family, (((placement,), value) for placement, value in values))
