"""`copyloop up --finetune` as a user starts it, with people who click, watched round by round.

Nothing here steers the loop: placements are put, a version taught by hand is made live, people
come. What is written, taught, tried, promoted and pulled is what the processes do by themselves.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from bandit.client import Client, ClientError
from benchmarks.generator_loop import Product
from benchmarks.loop_audience import Audience
from generator.brief.schema import brief_to_json

COPYLOOP: Final = (sys.executable, "-m", "generator.commands.main")
DECIDED: Final = ("live", "rejected", "retired", "rolled_back")
POLICY: Final = {
    "name": "floor",
    "epsilon": 0.3,
    "policy": {"name": "thompson", "alpha": 1.0, "beta": 25.0},
}
REWARD: Final = {
    "kinds": {"click": {"weight": 1.0, "aggregation": "max"}},
    "window_seconds": 3.0,
    "grace_seconds": 2.0,
}
LIVE: Final = 10
"""How many creatives each placement is kept supplied with."""
FRESH_SECONDS: Final = 300.0
"""A placement for which nothing new was written for so long is written for."""
SHOWINGS: Final = 1_000.0
READY_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 0.5


class Tree(NamedTuple):
    """A running `copyloop up`: its data folder, its API, and its processes by name."""

    data: Path
    client: Client
    url: str
    process: psutil.Process

    def cpu_seconds(self) -> dict[str, float]:
        """Returns what each process computed, with all that it started and that ended since."""
        found: dict[str, float] = {}
        for child in self.process.children():
            with suppress(psutil.NoSuchProcess):
                words, times = child.cmdline(), child.cpu_times()
                running = sum(_own_cpu(each) for each in child.children(recursive=True))
                own = times.user + times.system + times.children_user + times.children_system
                found[words[3]] = own + running
        return found

    def versions(self) -> list[dict[str, Any]]:
        """Returns the generator's versions, oldest first, as the API tells them."""
        items: list[dict[str, Any]] = self.client.request("GET", "/v1/generator/versions")["items"]
        return items[::-1]


@contextmanager
def running(data: Path, options: Sequence[str]) -> Iterator[Tree]:
    """`copyloop up` on a new folder; what its processes say goes to `up.log` there."""
    port = free_port()
    command = [*COPYLOOP, "up", "--data", str(data), "--no-ui"]
    command += ["--port", str(port), *options]
    data.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    with (data / "up.log").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            with Client(url, timeout_seconds=60.0) as client:
                _await_health(client)
                yield Tree(data, client, url, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def told(*words: str) -> str:
    """Runs a command of copyloop's; returns what it said."""
    command = [*COPYLOOP, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def begin_with(tree: Tree, run: Path, gate: Path) -> str:
    """Makes what a person taught by hand the live version; returns its id."""
    told("generator", "adopt", str(run), "--data", str(tree.data), "--gate", str(gate))
    [version] = tree.versions()
    why = "taught by hand, to begin with"
    told("generator", "promote", version["id"], "--why", why, "--data", str(tree.data))
    return str(version["id"])


def open_placements(tree: Tree, played: Sequence[Product]) -> dict[str, str]:
    """Puts a placement that renews itself for each product, and waits until all have creatives.

    Returns:
        The product's name by the placement's.
    """
    names = {f"p{number}": product for number, product in enumerate(played)}
    for name, product in names.items():
        rotation = {
            "live": LIVE,
            "batch": LIVE,
            "every_seconds": FRESH_SECONDS,
            "showings": SHOWINGS,
            "decline": False,
            "brief": json_of(product),
        }
        body = {"policy": POLICY, "reward": REWARD, "learn": "realtime", "rotation": rotation}
        tree.client.request("PUT", f"/v1/placements/{name}", body)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        live = [
            len(tree.client.request("GET", f"/v1/placements/{name}/creatives?status=live")["items"])
            for name in names
        ]
        if min(live) >= 2:
            return {name: product.name for name, product in names.items()}
        time.sleep(LOOK_SECONDS)
    raise AssertionError(f"creatives were not there after {READY_SECONDS:g} s: {live}")


class Watched(NamedTuple):
    """One version that the loop taught, with when things happened, in seconds since 1970."""

    version: dict[str, Any]
    began_at: float
    judged_at: float
    decided_at: float
    cpu_seconds: dict[str, float]


def watch(
    tree: Tree, audience: Audience, known: str, *, rounds: int, longest_seconds: float
) -> list[Watched]:
    """Looks on until so many versions were decided, or for so long; returns those decided."""
    deadline = time.monotonic() + longest_seconds
    began: list[float] = []
    found: list[Watched] = []
    before = tree.cpu_seconds()
    while len(found) < rounds and time.monotonic() < deadline and audience.coming:
        folders = tree.data / "generator" / "rounds"
        if len(list(folders.glob("*/past.json"))) > len(began):
            began.append(time.time())
        others = [each for each in tree.versions() if each["id"] != known]
        for version in others[len(found) :]:
            if version["status"] in DECIDED:
                after = tree.cpu_seconds()
                cpu = {name: spent - before.get(name, 0.0) for name, spent in after.items()}
                first, last = (version["steps"][k]["timestamp_ms"] / 1000 for k in (0, -1))
                found.append(Watched(version, began[len(found)], first, last, cpu))
                before = after
        time.sleep(LOOK_SECONDS)
    assert audience.coming, f"the audience broke off; the API last said {audience.problem!r}"
    return found


def json_of(product: Product) -> Mapping[str, Any]:
    """Returns a product's brief as JSON has it."""
    import msgspec

    found: dict[str, Any] = msgspec.json.decode(brief_to_json(product.brief))
    return found


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _own_cpu(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _await_health(client: Client) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(ClientError):
            client.request("GET", "/health")
            return
        time.sleep(LOOK_SECONDS)
    raise AssertionError("the API did not come up; see up.log")
