"""What a process tells Prometheus: the counts that it keeps anyway, read when they are asked for.

Nothing here runs while records are folded, and a log that does not answer is not waited for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streams.errors import ListenError, LogError
from streams.join.counts import BOUNDS_MS, JoinLatency
from streams.logs.base import Log
from streams.logs.wrappers import Behind, MeteredLog

PATIENCE_SECONDS: Final = 2.0
"""How long an answer waits for the log to say where its partitions end."""

JOIN: Final = {
    "events": "Decisions and outcomes read.",
    "interactions": "Interactions that followed from them.",
    "closed": "Decisions whose window ended.",
    "defaulted": "Closed decisions that got the default reward.",
    "late": "Outcomes that came after their window.",
    "orphan": "Outcomes whose decision never came.",
    "duplicate": "Decisions and outcomes that came before.",
    "refused": "Records that could not be used for any other reason.",
    "forwarded": "Outcomes sent on to the partition of their decision.",
    "dead_lettered": "Records written to the dead letters.",
    "ticks": "Ticks written, to move time on.",
}
INGEST: Final = {
    "records": "Records read from the mapped topics.",
    "outcomes": "Records that became an outcome.",
    "skipped": "Records that their mapping leaves out, and those without a value.",
    "refused": "Records that could not be mapped; they are in the dead letters.",
}
ARCHIVE: Final = {
    "rows": "Records written to Parquet files.",
    "files": "Parquet files written.",
}
TRAFFIC: Final[Mapping[str, tuple[str, Callable[[MeteredLog], Mapping[str, int]]]]] = {
    "read_records": ("Records read.", lambda log: log.taken.records),
    "read_bytes": ("Bytes of keys and values read.", lambda log: log.taken.bytes),
    "appended_messages": ("Messages written, and durable.", lambda log: log.appended.records),
    "appended_bytes": ("Bytes of keys and values written.", lambda log: log.appended.bytes),
}

logger = logging.getLogger(__name__)


class ProcessMetrics:
    """All that one process tells; `registry` is what is served, `metered` counts a log."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        logs = LogCollector()
        self.metered = logs.metered
        self.registry.register(logs)
        ProcessCollector(registry=self.registry)

    def add_counts(self, process: str, counts: object, words: Mapping[str, str]) -> None:
        """Tells each of these attributes as `copyloop_PROCESS_ATTRIBUTE_total`, with its words."""

        def counters() -> Iterator[Metric]:
            for name, about in words.items():
                value = getattr(counts, name)
                yield CounterMetricFamily(f"copyloop_{process}_{name}", about, value=value)

        self.registry.register(Collected(counters))

    def add_latency(self, latency: JoinLatency) -> None:
        """Tells how long interactions waited to be written."""
        self.registry.register(Collected(lambda: [latency_histogram(latency)]))


class Collected(Collector):
    """A collector of the metrics that a function returns."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics."""
        return self._read()


def latency_histogram(latency: JoinLatency) -> HistogramMetricFamily:
    """Returns the histogram of how long interactions waited to be written, by status."""
    family = HistogramMetricFamily(
        "copyloop_join_latency_seconds",
        "From an interaction's cause (provisional: its decision's record; corrected: its "
        "outcome's; closed: its window's end) to its being written.",
        labels=("status",),
    )
    bounds = [*(str(bound_ms / 1000) for bound_ms in BOUNDS_MS), "+Inf"]
    for status, counts in latency.counts.items():
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric((status,), buckets, latency.sums_ms[status] / 1000)
    return family


class LogCollector(Collector):
    """What goes through the logs of a process, and how far behind its consumers are."""

    def __init__(self) -> None:
        self._logs: dict[str, MeteredLog] = {}
        self._asked: dict[str, Future[list[Behind]]] = {}
        self._asking = threading.Lock()

    def metered(self, log: Log, name: str) -> MeteredLog:
        """Returns the log, counted under this name from now on."""
        self._logs[name] = MeteredLog(log)
        return self._logs[name]

    def collect(self) -> Iterator[Metric]:
        """Yields traffic by topic, and lag by partition as far as the logs tell it in time."""
        logs = dict(self._logs)
        for metric, (words, counted) in TRAFFIC.items():
            name = f"copyloop_log_{metric}"
            family = CounterMetricFamily(name, words, labels=("log", "topic"))
            for log_name, log in logs.items():
                for topic, count in dict(counted(log)).items():
                    family.add_metric((log_name, topic), count)
            yield family
        yield from self._lag(logs)

    def _lag(self, logs: Mapping[str, MeteredLog]) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "copyloop_consumer_lag_records",
            "Records between what this process has read of a partition and its end.",
            labels=("log", "group", "topic", "partition"),
        )
        reachable = GaugeMetricFamily(
            "copyloop_log_reachable",
            "1 if the log said where its partitions end, 0 if not; then there is no lag here.",
            labels=("log",),
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        questions = {name: self._ask(name, log) for name, log in logs.items()}
        for name, question in questions.items():
            try:
                behind = question.result(max(deadline - time.monotonic(), 0))
            except (LogError, TimeoutError) as error:
                logger.warning(
                    "the %s does not say how far we are: %s", name, str(error) or "no answer"
                )
                reachable.add_metric((name,), 0)
                continue
            reachable.add_metric((name,), 1)
            for one in behind:
                lag.add_metric((name, one.group, one.topic, str(one.partition)), one.records)
        yield from (lag, reachable)

    def _ask(self, name: str, log: MeteredLog) -> Future[list[Behind]]:
        """Returns the question under way, or a new one if the last is answered.

        A log that is away answers late, if at all: whoever asks again meanwhile must not pile
        up threads that wait for it.
        """
        with self._asking:
            asked = self._asked.get(name)
            if asked is None or asked.done():
                asked = self._asked[name] = Future()
                threading.Thread(target=_answer, args=(log, asked), daemon=True).start()
            return asked


def _answer(log: MeteredLog, asked: Future[list[Behind]]) -> None:
    try:
        asked.set_result(log.behind())
    except Exception as error:  # noqa: BLE001  # whoever asked raises it, or tells
        asked.set_exception(error)


@contextmanager
def served(registry: CollectorRegistry, host: str, port: int | None) -> Iterator[None]:
    """Answers with the registry's metrics over HTTP for the block; with port None, nobody.

    Any path will do; Prometheus asks for `/metrics`. Port 0 lets the system choose.

    Raises:
        ListenError: the address cannot be listened on.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ListenError(
            f"cannot serve metrics on host {host!r}, port {port}: {error.strerror}; choose "
            "another with --metrics-host and --metrics-port"
        ) from error
    logger.info("metrics on http://%s:%d/metrics", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
