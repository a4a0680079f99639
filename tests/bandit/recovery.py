"""A whole loop of real processes, to be killed at any moment, and the traffic that it is under."""

import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from bandit.client import Client, ClientError, Retries
from streams.events import INTERACTIONS
from streams.logs.base import TopicPartition
from streams.logs.opening import open_log
from streams.logs.wrappers import RetryingLog
from streams.topics import create_topics
from tests.running import free_port, wait_until_ready

PLACEMENT = "home"
NAMES = ("api", "join", "learn")


class Loop:
    """API, joiners and learners, each a process of its own, over one log.

    A process goes by what it does, with a number where several do it: `join-2`.
    """

    def __init__(self, directory, *, log_url=None, partitions=1):
        self.directory = Path(directory)
        self.checkpoints = self.directory / "checkpoints"
        self.partitions = partitions
        log_url = log_url or f"sqlite:///{self.directory / 'log.db'}"
        # Whoever looks on waits for a broker that is away, as the processes do.
        self.log = RetryingLog(open_log(log_url), stop=threading.Event(), retry_seconds=0.1)
        create_topics(self.log, partitions=partitions)
        port = free_port()
        self.log_url = log_url
        self.url = f"http://127.0.0.1:{port}"
        self._place = ["--data", str(self.directory), "--log", log_url]
        self._commands = {
            "api": ["bandit", "serve", "--port", str(port)],
            "join": ["streams", "join"],
            "learn": ["bandit", "learn"],
        }
        self._processes = {}

    def start(self, name):
        command = [*self._commands[_work_of(name)], *self._place]
        with (self.directory / f"{name}.txt").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=output, stderr=output
            )

    def kill(self, name):
        """Kills the process where it stands; nothing of it gets to tidy up."""
        process = self._processes.pop(name)
        assert process.poll() is None, self.said(name)
        process.kill()
        process.wait()

    def signal(self, name, number):
        self._processes[name].send_signal(number)

    def stop(self, *names):
        """Asks these to end, or all, and sees that they do so cleanly."""
        ending = {name: self._processes.pop(name) for name in names or tuple(self._processes)}
        for process in ending.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(timeout=60) for name, process in ending.items()}
        assert set(codes.values()) <= {0}, (codes, [self.said(name) for name in codes])

    def wait_until_ready(self):
        wait_until_ready(self.url, self._processes["api"])

    def wait_until_held(self, work):
        """Waits until processes that live hold the work on all partitions; returns the seconds."""
        started_at = time.monotonic()
        until(lambda: self._holders(work) <= self._living(work), check=self.check)
        return time.monotonic() - started_at

    def wait_until_holding(self, *names):
        """Waits until each of these processes holds a partition."""
        for name in names:
            pid = str(self._processes[name].pid)
            until(lambda pid=pid, name=name: pid in self._holders(_work_of(name)), check=self.check)

    def wait_until_joined(self, interactions):
        """Waits until so many more interactions have been written."""
        places = [TopicPartition(INTERACTIONS, n) for n in range(self.partitions)]
        wanted = sum(map(self.log.end_offset, places)) + interactions
        until(lambda: sum(map(self.log.end_offset, places)) >= wanted, check=self.check)

    def check(self):
        """Sees that all still run, since a dead one would be waited for in vain."""
        for name, process in self._processes.items():
            assert process.poll() is None, self.said(name)

    def said(self, name):
        return (self.directory / f"{name}.txt").read_text()

    def _living(self, work):
        return {str(p.pid) for name, p in self._processes.items() if _work_of(name) == work}

    def _holders(self, work):
        """Who wrote itself into the locks, "" where nobody ever did."""
        locks = [self.checkpoints / f"{work}-{n}.lock" for n in range(self.partitions)]
        return {lock.read_text() if lock.exists() else "" for lock in locks}


@contextmanager
def running(directory, placements, *, names=NAMES, **layout):
    """A loop of these processes that runs, with three creatives live in each placement."""
    loop = Loop(directory, **layout)
    for name in names:
        loop.start(name)
    try:
        loop.wait_until_ready()
        client = Client(loop.url)
        for name, placement in placements.items():
            path = f"/v1/placements/{name}"
            client.request("PUT", path, placement)
            creatives = [
                {"id": f"c{n}", "parts": {"headline": f"Headline {n}"}, "status": "live"}
                for n in range(3)
            ]
            client.request("POST", f"{path}/creatives", creatives)
        client.close()
        yield loop
    finally:
        loop.stop()
        loop.log.close()


class Traffic:
    """Ranks and clicks over HTTP from some threads; remembers what the API acknowledged.

    Nothing is sent twice: a request that got no answer may or may not have counted.
    """

    def __init__(self, url, *, seed, placements=(PLACEMENT,), threads=2, pause_seconds=0.005):
        self.decisions = set()
        self.clicks = set()
        self._url = url
        self._placements = list(placements)
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(random.Random(seed + n),))
            for n in range(threads)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, *, decisions=0, clicks=0):
        """Waits until so many decisions and clicks have been acknowledged since the start."""
        until(lambda: len(self.decisions) >= decisions and len(self.clicks) >= clicks)

    def go_on_by(self, decisions):
        """Waits until so many more decisions have been acknowledged."""
        self.go_on(decisions=len(self.decisions) + decisions)

    def _send(self, rng):
        client = Client(self._url, retries=Retries(attempts=1))
        while not self._stop.wait(self._pause_seconds):
            with suppress(ClientError):
                self._rank_and_click(client, rng)
        client.close()

    def _rank_and_click(self, client, rng):
        placement = rng.choice(self._placements)
        decision = client.rank(placement, {"hour": rng.randrange(24)})
        self.decisions.add(decision.event_id)
        if rng.random() < 0.2 + 0.2 * decision.index:
            client.outcome(placement, decision.event_id, "click")
            self.clicks.add(decision.event_id)


def until(condition, *, seconds=60, check=lambda: None):
    """Waits until the condition holds, while the check does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        check()
        time.sleep(0.01)


def _work_of(name):
    return name.partition("-")[0]
