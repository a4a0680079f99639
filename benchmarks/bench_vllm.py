"""How many texts a second does a real vLLM write for us, and what does loading a version cost it?

SmolLM2 on a vLLM for CPUs (make vllm). The baseline of 8 and 32 requests at once is one request at
a time; that of writing during loads is the same writing without any, in stretches that alternate.
CPU time is that of all processes of the server.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import psutil
import pytest

from generator.models.base import Sampling
from generator.models.catalog import Endpoint
from generator.models.remote import RemoteBackend
from tests.generator.models.vllm_servers import BASE, Vllm, real_vllm, write_adapter

TEXTS: Final = {1: 12, 8: 64, 32: 128}
"""Texts that are written, by how many requests there are at once."""
ROUNDS: Final = 3
LOADS: Final = 6
SAMPLING: Final = Sampling("\n", 16, temperature=0.8)

needs_vllm = pytest.mark.skipif(real_vllm() is None, reason="no vLLM is installed: make vllm")


class Measured(NamedTuple):
    """What some texts took: on the clock, and of the server's CPUs."""

    texts: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Texts a second."""
        return self.texts / self.seconds


class Writing:
    """Writes texts on a server, never twice for the same prompt."""

    def __init__(self, server: Vllm) -> None:
        self._server, self._number = server, itertools.count()

    def __call__(self, texts: int, at_once: int) -> Measured:
        """Returns what so many texts took, asked for by so many requests at once."""
        model = RemoteBackend(BASE, Endpoint(url=self._server.url, concurrency=at_once), key=None)
        prompts = [f'Product: tea no. {next(self._number)}\nHeadline: "' for _ in range(texts)]
        cpu, began = cpu_seconds(self._server.pid), time.perf_counter()
        model.complete(prompts, SAMPLING, seed=1)
        seconds = time.perf_counter() - began
        return Measured(texts, seconds, cpu_seconds(self._server.pid) - cpu)


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process and of all that it started."""
    parent = psutil.Process(pid)
    times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
    return sum(each.user + each.system for each in times)


@contextmanager
def loading(server: Vllm, folders: Iterator[Path]) -> Iterator[list[float]]:
    """Loads one version after the other meanwhile; yields how long each took, in seconds."""
    took: list[float] = []
    stop = threading.Event()
    model = RemoteBackend(BASE, Endpoint(url=server.url), key=None)

    def load() -> None:
        while not stop.wait(0.2):
            took.append(timed(lambda: model.load_adapter(f"v{time.time_ns()}", str(next(folders)))))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def timed(act: Callable[[], object]) -> float:
    """Returns how long it took, in seconds."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@needs_vllm
@pytest.mark.benchmark(timer=time.time)
def test_texts_and_loads(benchmark: Any, tmp_path: Path) -> None:
    """Texts a second by requests at once, seconds to load a version, and both together."""
    folders = [write_adapter(tmp_path / f"v{n}", rank=8, seed=n) for n in range(LOADS)]
    server = Vllm(tmp_path)
    try:
        found = benchmark.pedantic(measured, (server, folders), rounds=1)
    finally:
        server.stop()
    benchmark.extra_info.update(found)
    assert found["texts_a_second_8"] > found["texts_a_second_1"]


def measured(server: Vllm, folders: list[Path]) -> dict[str, float]:
    """Returns the figures, each the median of its rounds."""
    write = Writing(server)
    write(32, 32)  # what is compiled at first use
    found: dict[str, float] = {}
    rounds = [{n: write(texts, n) for n, texts in TEXTS.items()} for _ in range(ROUNDS)]
    for n in TEXTS:
        found[f"texts_a_second_{n}"] = median(each[n].per_second for each in rounds)
        found[f"cpu_seconds_a_text_{n}"] = median(
            each[n].cpu_seconds / each[n].texts for each in rounds
        )
        found[f"against_one_{n}"] = median(
            each[n].per_second / each[1].per_second for each in rounds
        )
    model = RemoteBackend(BASE, Endpoint(url=server.url), key=None)
    idle = [timed(lambda f=f: model.load_adapter(f"idle-{f.name}", str(f))) for f in folders]
    found["seconds_to_load"] = median(idle)
    during: list[float] = []
    loads: list[float] = []
    for _ in range(ROUNDS):
        alone = write(TEXTS[8], 8)
        with loading(server, itertools.cycle(folders)) as took:
            beside = write(TEXTS[8], 8)
        during.append(beside.per_second / alone.per_second)
        loads += took
    found["during_loads_against_without"] = median(during)
    found["loads"] = len(loads)
    found["seconds_to_load_while_writing"] = median(loads)
    return found
