"""What a rank costs the server: CPU a request, durable log included, against bare echoes.

Each server runs in a process of its own with one event loop, and gets the same bytes over the
same keep-alive connections; what is compared is the processor time that its process used.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from bandit.client import Client

CONNECTIONS = 16
REQUESTS = 3000
ROUNDS = 5
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

    from bandit.service.server import server_config
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
def api(data: Path, log: str) -> Iterator[Running]:
    """Runs the API with ten live creatives."""
    place = ["--data", str(data), "--log", log]
    with started("-m", "bandit", "serve", *place, "--port", "0") as server:
        client = Client(f"http://{server.host}:{server.port}")
        client.request("PUT", "/v1/placements/bench", {"policy": {"name": "thompson"}})
        creatives = [
            {"id": f"creative-{number}", "parts": {"headline": f"Headline number {number}"}}
            for number in range(CREATIVES)
        ]
        client.request("POST", "/v1/placements/bench/creatives", creatives)
        client.close()
        yield server


async def _ask(server: Running, requests: int, body: bytes) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    for _ in range(requests):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
    writer.close()
    await writer.wait_closed()


async def ask_all(server: Running, body: bytes = BODY) -> None:
    """Sends the body as often as is measured, over all connections at once."""
    each = REQUESTS // CONNECTIONS
    await asyncio.gather(*[_ask(server, each, body) for _ in range(CONNECTIONS)])


def cpu_us(server: Running, body: bytes = BODY) -> float:
    """Returns the microseconds of processor time that one request took the server."""
    before = cpu_ns(server.pid)
    asyncio.run(ask_all(server, body))
    return (cpu_ns(server.pid) - before) / 1e3 / (REQUESTS // CONNECTIONS * CONNECTIONS)


def cpu_ns(pid: int) -> int:
    """Returns the nanoseconds that a process's threads have run: finer than its clock ticks."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)


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
        asyncio.run(ask_all(server))
    measured: dict[str, list[float]] = {name: [] for name in servers}

    def one_round() -> None:
        for name, server in servers.items():
            measured[name].append(cpu_us(server))

    benchmark.pedantic(one_round, rounds=ROUNDS)
    rank, unlogged, asgi, fastapi = (median(found) for found in measured.values())
    benchmark.extra_info.update(
        cpu_us_rank=rank,
        cpu_us_rank_log_in_memory=unlogged,
        cpu_us_asgi_echo=asgi,
        cpu_us_fastapi_echo=fastapi,
        ratio_to_asgi_echo=rank / asgi,
        ratio_to_fastapi_echo=rank / fastapi,
        connections=CONNECTIONS,
    )
