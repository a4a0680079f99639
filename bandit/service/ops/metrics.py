"""What the API counts, for Prometheus.

Each application has a registry of its own, so that two in one process do not mix. Routes are
labelled by their template, never by a path that a client chose. Several workers of one port tell
their figures to whichever of them is asked.
"""

from __future__ import annotations

import asyncio
import os
import socket
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as MetricCounter
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bandit.service.state import Snapshots
from bandit.service.workers.supervise import Worker
from streams.metrics import Collected
from streams.spool import Spool

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
MOST_CREATIVES: Final = 100
"""How many of a placement's creatives have a series of their own; callers may bring any number."""
OTHER: Final = "(other)"
_BOUNDS: Final = (*map(str, LATENCY_BUCKETS), "+Inf")

_Family = TypeVar("_Family", CounterMetricFamily, GaugeMetricFamily)


class RequestCounts(Collector):
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
        """Counts a choice of this creative; `explored` if another had a higher propensity."""
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


GROUP_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The counters of one application, and the text that `/metrics` answers with."""

    def __init__(
        self, snapshots: Snapshots, clock_ms: Callable[[], int], spool: Spool | None = None
    ) -> None:
        registry = self._registry = CollectorRegistry()
        tally = RequestCounts()
        self.add = registry.register
        self.add(tally)
        self.request, self.decision = tally.request, tally.decision
        self.outcomes = _by_placement(
            registry, "copyloop_outcomes", "Outcomes accepted, by placement."
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
        self.unlogged = _by_placement(
            registry,
            "copyloop_unlogged_decisions",
            "Decisions that were answered but not recorded: the spool was full.",
        )
        self.fallbacks = _by_placement(
            registry,
            "copyloop_fallback_decisions",
            "Decisions that the policy was too late for: the first action was taken.",
        )
        registry.register(Collected(partial(_served, snapshots, clock_ms)))
        if spool is not None:
            registry.register(Collected(partial(_spooled, spool, clock_ms)))

    def text(self) -> bytes:
        """Returns everything counted so far in Prometheus' text format."""
        return generate_latest(self._registry)


def _by_placement(registry: CollectorRegistry, name: str, words: str) -> Callable[[str, int], None]:
    """Returns what adds to a new counter, for a placement that exists."""
    counter = MetricCounter(name, words, ("placement",), registry=registry)
    return lambda placement, count: counter.labels(placement).inc(count)


def _served(snapshots: Snapshots, clock_ms: Callable[[], int]) -> Iterator[Metric]:
    names = [placement.name for placement in snapshots.catalogue.placements()]
    served = [found for name in names if (found := snapshots.placement(name))]
    now_ms = clock_ms()
    yield _gauge(
        "copyloop_policy_age_seconds",
        "Time since the log took in the policy that is served.",
        ((s.placement.name, max(now_ms - s.snapshot_ms, 0) / 1e3) for s in served if s.snapshot_ms),
    )
    yield _gauge(
        "copyloop_live_creatives",
        "Creatives that may be shown.",
        ((s.placement.name, len(s.actions)) for s in served),
    )
    yield GaugeMetricFamily(
        "copyloop_policies_refused",
        "Policy snapshots that were damaged, and so not served.",
        snapshots.refused,
    )


def _spooled(spool: Spool, clock_ms: Callable[[], int]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "copyloop_spool_bytes", "Bytes on disk that wait for the log.", spool.size_bytes
    )
    yield GaugeMetricFamily(
        "copyloop_spool_messages", "Messages on disk that wait for the log.", spool.messages
    )
    yield GaugeMetricFamily(
        "copyloop_spool_oldest_seconds",
        "How long the oldest message on disk has waited, 0 if there is none.",
        spool.oldest_seconds(clock_ms()),
    )


def _gauge(name: str, words: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=("placement",))
    return labelled(family, (((placement,), value) for placement, value in values))


SUFFIX: Final = ".sock"
LABEL: Final = "worker"
PATIENCE_SECONDS: Final = 2.0


class WorkerMetrics:
    """One worker's way to its siblings' figures.

    Each tells its own to whoever connects to its socket in the folder that they share; the one
    that was asked tells them all, each sample with the label `worker`.

    Args:
        worker: who this is.
        text: what this one counts, in Prometheus' text format.
    """

    def __init__(self, worker: Worker, text: Callable[[], bytes]) -> None:
        self._worker = worker
        self._text = text
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to tell; in place of a worker of the same name that is gone."""
        path = self._worker.folder / f"{self._worker.name}{SUFFIX}"
        with suppress(FileNotFoundError):
            path.unlink()
        # The folder is its owner's alone, and so is all that is in it.
        self._server = await asyncio.start_unix_server(self._tell, path)

    def stop(self) -> None:
        """Tells nothing any more."""
        if self._server is not None:
            self._server.close()

    def text(self) -> bytes:
        """Returns what all of them count; one that does not answer is left out.

        Not in the event loop's thread: the others are waited for.
        """
        texts = {self._worker.name: self._text()}
        for path in sorted(self._worker.folder.glob(f"*{SUFFIX}")):
            if path.stem not in texts:
                with suppress(OSError):
                    texts[path.stem] = _asked(os.fspath(path))
        return merged(texts)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await asyncio.to_thread(self._text))
            await writer.drain()
        finally:
            writer.close()


def merged(texts: dict[str, bytes]) -> bytes:
    """Returns the figures of several workers, by name, as one text with their label."""
    registry = CollectorRegistry()
    found: dict[str, Metric] = {}
    for name, text in texts.items():
        for metric in text_string_to_metric_families(text.decode()):
            family = found.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            family.samples += [
                sample._replace(labels={LABEL: name, **sample.labels}) for sample in metric.samples
            ]
    registry.register(Collected(found.values))
    return generate_latest(registry)


def _asked(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE_SECONDS)
        asking.connect(path)
        parts: list[bytes] = []
        while part := asking.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)
