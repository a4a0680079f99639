"""What the workers of one port count, told by whichever is asked.

A request for `/metrics` reaches any one of them. Each tells its own figures to whoever connects
to its socket in the folder that they share; the one that was asked tells them all, each sample
with the label `worker`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from bandit.service.supervise import Worker

SUFFIX: Final = ".sock"
LABEL: Final = "worker"
PATIENCE_SECONDS: Final = 2.0


class WorkerMetrics:
    """One worker's way to its siblings' figures.

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
    registry.register(_Merged(texts))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, texts: dict[str, bytes]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for name, text in self._texts.items():
            for metric in text_string_to_metric_families(text.decode()):
                family = found.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                family.samples += _labelled(metric, name)
        yield from found.values()

    def describe(self) -> Iterable[Metric]:
        return ()


def _labelled(metric: Metric, worker: str) -> Iterator[Sample]:
    for sample in metric.samples:
        yield sample._replace(labels={LABEL: worker, **sample.labels})


def _asked(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE_SECONDS)
        asking.connect(path)
        parts: list[bytes] = []
        while part := asking.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)
