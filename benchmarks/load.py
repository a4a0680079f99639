"""Asks an API for decisions at a steady rate, at next to no cost of its own.

A process with one event loop and a few connections that stay open; every request is the same
bytes. What it saw goes to stdout as JSON when its stdin closes.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

import numpy as np
import uvloop

CONNECTIONS: Final = 64
"""The most requests under way; beyond them the rate is not kept, and the figures say so."""
TURN_SECONDS: Final = 0.002
PATIENCE_SECONDS: Final = 10.0
VERSION: Final = re.compile(rb'"policy_version":"[^"@]*@(\d+)"')


class Load:
    """So many requests a second, while it runs, on whichever connections are free."""

    def __init__(self, request: bytes) -> None:
        self.free: deque[Connection] = deque()
        self.request = request
        self.latencies = array("d")
        self.refused = 0
        self.served: list[tuple[float, int]] = []
        """When an answer first named a policy, and how far that was folded."""

    async def run(self, per_second: float, stop: asyncio.Event) -> float:
        """Asks until `stop` is set; returns the seconds that took."""
        started_at = time.perf_counter()
        asked = 0
        while not stop.is_set():
            now = time.perf_counter()
            due = int((now - started_at) * per_second) - asked
            while due > 0 and self.free:
                self.free.popleft().ask(now)
                asked, due = asked + 1, due - 1
            # What could not be asked in time is left out, or a stall would end in a flood.
            asked += due
            await asyncio.sleep(TURN_SECONDS)
        seconds = time.perf_counter() - started_at
        # What is under way is still answered, so that answers can be counted against the log.
        patience = started_at + seconds + PATIENCE_SECONDS
        while len(self.free) < CONNECTIONS and time.perf_counter() < patience:
            await asyncio.sleep(TURN_SECONDS)
        return seconds

    def take(self, answer: bytes, asked_at: float) -> None:
        """Takes an answer in."""
        now = time.perf_counter()
        self.latencies.append(now - asked_at)
        version = VERSION.search(answer)
        if version is None:
            self.refused += 1
        elif not self.served or int(version[1]) > self.served[-1][1]:
            self.served.append((now, int(version[1])))

    def figures(self, seconds: float) -> dict[str, Any]:
        """Returns what it saw: rates per second, latencies in milliseconds."""
        p50, p99 = np.percentile(np.frombuffer(self.latencies or array("d", [0.0])), [50, 99]) * 1e3
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "decisions": len(self.latencies) - self.refused,
            "decisions_per_second": (len(self.latencies) - self.refused) / seconds,
            "refused": self.refused,
            "rank_p50_ms": float(p50),
            "rank_p99_ms": float(p99),
            "load_cores": (usage.ru_utime + usage.ru_stime) / seconds,
            "served": self.served,
        }


class Connection(asyncio.Protocol):
    """One connection, and at most one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = b""
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is free from now on."""
        self._transport = cast(asyncio.Transport, transport)
        self._load.free.append(self)

    def ask(self, now: float) -> None:
        """Sends the request."""
        self._asked_at = now
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        """Puts an answer together; headers never end with what ends a JSON object."""
        self._answer += data
        if self._answer.endswith(b"}"):
            self._load.take(self._answer, self._asked_at)
            self._answer = b""
            self._load.free.append(self)


async def main(url: str, path: str, per_second: float, body: bytes) -> dict[str, Any]:
    """Returns the figures of a run that lasts until stdin is closed."""
    parts = urlsplit(url)
    load = Load(
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, stop.set)
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(load), parts.hostname, parts.port)
    return load.figures(await load.run(per_second, stop))


@contextmanager
def running_load(
    url: str, path: str, per_second: float, body: bytes = b'{"context":{}}'
) -> Iterator[dict[str, Any]]:
    """Posts to that path during the block; what it saw is in the mapping afterwards."""
    command = [sys.executable, "-m", "benchmarks.load", url, path, str(per_second), body.decode()]
    figures: dict[str, Any] = {}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield figures
        said, _ = process.communicate(timeout=30)
        figures |= json.loads(said)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


if __name__ == "__main__":
    uvloop.install()
    url, path, per_second, body = sys.argv[1:]
    figures = asyncio.run(main(url, path, float(per_second), body.encode()))
    sys.stdout.write(json.dumps(figures))
