"""What a rank costs the server: CPU a request, durable log included, against bare echoes.

Each server runs in a process of its own with one event loop, and gets the same bytes over the
same keep-alive connections; what is compared is the processor time that its process used. Then
how long a rank takes at half the rate that the server can bear, what several workers bear, and
what placements cost in memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest
import uvloop

from bandit.client import Client
from benchmarks.load import running_load

CONNECTIONS = 16
REQUESTS = 4800
ROUNDS = 7
SATURATED_SECONDS = 4.0
HALF_LOAD_SECONDS = 10.0
CREATIVES = 10
PATH = "/v1/placements/bench/rank"
CONTEXT = {"device": "phone", "hour": 20, "country": "de", "returning": True, "age_days": 12.5}
BODY = json.dumps({"context": CONTEXT}).encode()


class Running(NamedTuple):
    """A server in a process of its own."""

    pid: int
    host: str
    port: int


def asgi_echo() -> Any:
    """Returns an application that reads a body and sends it back: the least there is."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def fastapi_echo() -> Any:
    """Returns an application that checks a body with pydantic and sends it back."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class RankBody(BaseModel):
        context: dict[str, str | float | bool] = {}
        event_id: str | None = None
        deferred: bool = False

    app = FastAPI()

    async def echo(body: RankBody) -> RankBody:
        return body

    echo.__annotations__ = {"body": RankBody, "return": RankBody}
    app.post(PATH)(echo)
    return app


def run_echo(kind: str) -> None:
    """Serves one of the echoes, as the API is served."""
    import socket

    import uvicorn

    from bandit.service.app import server_config
    from bandit.service.settings import Settings

    app = {"asgi": asgi_echo, "fastapi": fastapi_echo}[kind]()
    config = server_config(app, Settings())
    config.lifespan = "off"
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stderr.write("http://{}:{}\n".format(*listening.getsockname()))
    sys.stderr.flush()
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def started(*command: str) -> Iterator[Running]:
    """Runs a server that says on stderr where it listens."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the server ended before it served"
            found = re.search(r"http://([\d.]+):(\d+)", line)
        yield Running(process.pid, found[1], int(found[2]))
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def api(data: Path, log: str, *, workers: int = 1, placements: int = 1) -> Iterator[Running]:
    """Runs the API with ten live creatives a placement; the one that is asked is `bench`."""
    place = ["--data", str(data), "--log", log, "--workers", str(workers)]
    with started("-m", "bandit", "serve", *place, "--port", "0") as server:
        client = Client(f"http://{server.host}:{server.port}")
        for name in ("bench", *[f"other-{number}" for number in range(1, placements)]):
            client.request("PUT", f"/v1/placements/{name}", {"policy": {"name": "thompson"}})
            creatives = [
                {"id": f"creative-{number}", "parts": {"headline": f"Headline number {number}"}}
                for number in range(CREATIVES)
            ]
            client.request("POST", f"/v1/placements/{name}/creatives", creatives)
        client.close()
        yield server


class Asking(asyncio.Protocol):
    """One connection that asks so often, one request after the other."""

    def __init__(self, request: bytes, times: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._left = times
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the first time."""
        self._transport: Any = transport
        transport.write(self._request)  # type: ignore[attr-defined]  # it is a TCP one

    def data_received(self, data: bytes) -> None:
        """Asks again once the answer is whole; a body of JSON ends where no header does."""
        self._answer += data
        if not self._answer.endswith(b"}"):
            return
        self._left -= 1
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(AssertionError(self._answer.decode()))
        elif self._left:
            self._answer = b""
            self._transport.write(self._request)
        else:
            self.done.set_result(None)
            self._transport.close()


async def ask_all(server: Running, body: bytes = BODY, requests: int = REQUESTS) -> None:
    """Sends the body so often, over all connections at once."""
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop, asking = asyncio.get_running_loop(), []
    for _ in range(CONNECTIONS):
        _, one = await loop.create_connection(
            lambda: Asking(request, requests // CONNECTIONS), server.host, server.port
        )
        asking.append(one.done)
    await asyncio.gather(*asking)


def cpu_us(server: Running, body: bytes = BODY) -> float:
    """Returns the microseconds of processor time that one request took the server."""
    before = cpu_ns(server.pid)
    uvloop.run(ask_all(server, body))
    return (cpu_ns(server.pid) - before) / 1e3 / (REQUESTS // CONNECTIONS * CONNECTIONS)


def cpu_ns(pid: int) -> int:
    """Returns the nanoseconds that a process's threads have run: finer than its clock ticks."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)


def resident_mib(pid: int) -> float:
    """Returns the memory that a process has in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def bearable(server: Running, seconds: float = SATURATED_SECONDS) -> float:
    """Returns how many ranks a second the server answers when as many are asked as it can take."""
    with running_load(f"http://{server.host}:{server.port}", PATH, 1e6, BODY) as figures:
        time.sleep(seconds)
    return float(figures["decisions_per_second"])


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, Running]]:
    """The API with a durable log and with one in memory, and the two echoes."""
    with ExitStack() as stack:
        echo = "from benchmarks.bench_rank import run_echo; run_echo('{}')"
        yield {
            "rank": stack.enter_context(api(tmp_path, f"sqlite:///{tmp_path / 'log.db'}")),
            "unlogged": stack.enter_context(api(tmp_path, "memory://")),
            "asgi": stack.enter_context(started("-c", echo.format("asgi"))),
            "fastapi": stack.enter_context(started("-c", echo.format("fastapi"))),
        }


def test_cpu_of_a_durable_rank(benchmark: Any, servers: dict[str, Running]) -> None:
    """Ten live creatives, five context features, sixteen connections."""
    for server in servers.values():
        uvloop.run(ask_all(server))
    measured: dict[str, list[float]] = {name: [] for name in servers}

    def one_round() -> None:
        for name, server in servers.items():
            measured[name].append(cpu_us(server))

    benchmark.pedantic(one_round, rounds=ROUNDS)
    rank, unlogged, asgi, fastapi = (median(found) for found in measured.values())
    server = servers["rank"]
    saturated = bearable(server)
    url = f"http://{server.host}:{server.port}"
    with running_load(url, PATH, saturated / 2, BODY) as half:
        time.sleep(HALF_LOAD_SECONDS)
    benchmark.extra_info.update(
        cpu_us_rank=rank,
        cpu_us_rank_log_in_memory=unlogged,
        cpu_us_asgi_echo=asgi,
        cpu_us_fastapi_echo=fastapi,
        ratio_to_asgi_echo=rank / asgi,
        ratio_to_fastapi_echo=rank / fastapi,
        connections=CONNECTIONS,
        ranks_per_second=saturated,
        half_load_per_second=half["decisions_per_second"],
        p50_ms_half_load=half["rank_p50_ms"],
        p99_ms_half_load=half["rank_p99_ms"],
    )
    assert half["refused"] == 0


def test_what_two_workers_bear(benchmark: Any, tmp_path: Path) -> None:
    """Against one worker, log and load on the same cores: what it shows is what they cost."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        servers = {}
        for workers in found:
            data = tmp_path / str(workers)
            log = f"sqlite:///{data / 'log.db'}"
            servers[workers] = stack.enter_context(api(data, log, workers=workers))

        def one_round() -> None:
            for workers, server in servers.items():
                found[workers].append(bearable(server))

        benchmark.pedantic(one_round, rounds=3)
    one, two = median(found[1]), median(found[2])
    benchmark.extra_info.update(
        ranks_per_second_one=one, ranks_per_second_two=two, ratio_two_to_one=two / one
    )


@pytest.mark.parametrize("placements", [1, 100, 1000])
def test_memory_of_placements(benchmark: Any, tmp_path: Path, placements: int) -> None:
    """Ten live creatives each, all followed, one of them asked."""
    log = f"sqlite:///{tmp_path / 'log.db'}"
    with api(tmp_path, log, placements=placements):
        pass  # what they cost to make is another question: the server below only reads them
    with started("-m", "bandit", "serve", "--data", str(tmp_path), "--port", "0") as server:
        benchmark.pedantic(lambda: uvloop.run(ask_all(server, requests=CONNECTIONS)), rounds=1)
        benchmark.extra_info.update(memory_mib=resident_mib(server.pid))
