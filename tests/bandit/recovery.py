"""A whole loop of real processes, to be killed at any moment, and what must hold afterwards."""

import http.client
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from bandit.audit import audit
from bandit.client import ApiError, Client
from bandit.service.learner import GROUP, run_learner
from streams.checkpoint import Checkpoints
from streams.events import (
    CATALOGUE,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Decision,
    Interaction,
    Outcome,
    decode,
)
from streams.joiner import run_joiner
from streams.log import Message, TopicPartition
from streams.memory import MemoryLog
from streams.sqlite import SqliteLog
from streams.topics import create_topics
from tests.running import free_port, wait_until_ready

PLACEMENT = "home"
NAMES = ("api", "join", "learn")


class Loop:
    """API, joiner and learner, each a process of its own, over one SQLite log."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.log = SqliteLog(self.directory / "log.db")
        create_topics(self.log)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        place = ["--data", str(self.directory)]
        self._commands = {
            "api": ["bandit", "serve", "--port", str(port), *place],
            "join": ["streams", "join", *place],
            "learn": ["bandit", "learn", *place],
        }
        self._processes = {}

    def start(self, name):
        with (self.directory / f"{name}.txt").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *self._commands[name]], stdout=output, stderr=output
            )

    def kill(self, name):
        """Kills the process where it stands; nothing of it gets to tidy up."""
        process = self._processes.pop(name)
        assert process.poll() is None, self.said(name)
        process.kill()
        process.wait()

    def wait_until_ready(self):
        wait_until_ready(self.url, self._processes["api"])

    def check(self):
        """Sees that all still run, since a dead one would be waited for in vain."""
        for name, process in self._processes.items():
            assert process.poll() is None, self.said(name)

    def said(self, name):
        return (self.directory / f"{name}.txt").read_text()

    def stop(self):
        """Asks all to end, and sees that they do so cleanly."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(timeout=60) for name, process in self._processes.items()}
        self._processes.clear()
        assert set(codes.values()) <= {0}, (codes, [self.said(name) for name in codes])


@contextmanager
def running(directory, placement):
    """A loop that runs, with one placement and three creatives live."""
    loop = Loop(directory)
    for name in NAMES:
        loop.start(name)
    try:
        loop.wait_until_ready()
        client = Client(loop.url)
        path = f"/v1/placements/{PLACEMENT}"
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

    def __init__(self, url, *, seed, threads=2, pause_seconds=0.005):
        self.decisions = set()
        self.clicks = set()
        self._url = url
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

    def go_on(self, *, decisions, clicks):
        """Waits until so many decisions and clicks have been acknowledged."""
        _until(lambda: len(self.decisions) >= decisions and len(self.clicks) >= clicks)

    def _send(self, rng):
        client = Client(self._url)
        while not self._stop.wait(self._pause_seconds):
            with suppress(OSError, http.client.HTTPException, ApiError):
                self._rank_and_click(client, rng)
        client.close()

    def _rank_and_click(self, client, rng):
        decision = client.rank(PLACEMENT, {"hour": rng.randrange(24)})
        self.decisions.add(decision["event_id"])
        if rng.random() < 0.2 + 0.2 * decision["index"]:
            client.outcome(PLACEMENT, decision["event_id"], "click")
            self.clicks.add(decision["event_id"])


class Findings(NamedTuple):
    """What became of the traffic; all but `decisions`, `clicks` and the equalities must be 0."""

    decisions: int
    clicks: int
    lost_decisions: int
    lost_clicks: int
    duplicated_decisions: int
    duplicated_interactions: int
    not_closed_once: int
    audit_mismatches: int
    interactions_equal: bool
    policy_equal: bool


def settle(loop, *, seconds=90):
    """Waits until every decision is closed and the learner has saved all that came of it."""
    partition = TopicPartition(INTERACTIONS, 0)
    deadline = time.monotonic() + seconds
    while True:
        decisions = len(events(loop.log, DECISIONS, Decision))
        closed = [e for e in events(loop.log, INTERACTIONS, Interaction) if e.status == "closed"]
        end = loop.log.end_offset(partition)
        if len(closed) >= decisions and loop.log.committed(GROUP, partition) == end:
            return
        assert time.monotonic() < deadline, f"{len(closed)} of {decisions} are closed"
        loop.check()
        time.sleep(0.2)


def findings(loop, traffic):
    """What a settled loop's log says, held against the traffic and against one calm fold."""
    log = loop.log
    decisions = Counter(d.event_id for d in events(log, DECISIONS, Decision))
    clicks = {outcome.event_id for outcome in events(log, OUTCOMES, Outcome)}
    interactions = events(log, INTERACTIONS, Interaction)
    closed = Counter(i.decision.event_id for i in interactions if i.status == "closed")
    calm_values, calm_fold, calm_policy = calm(log, loop.directory / "calm")
    saved = Checkpoints(loop.directory / "checkpoints").load("learn-0")
    return Findings(
        decisions=decisions.total(),
        clicks=len(clicks),
        lost_decisions=len(traffic.decisions - decisions.keys()),
        lost_clicks=len(traffic.clicks - clicks),
        duplicated_decisions=sum(n - 1 for n in decisions.values()),
        duplicated_interactions=len(interactions) - len({i.id for i in interactions}),
        not_closed_once=sum(closed[event_id] != 1 for event_id in decisions),
        audit_mismatches=len(audit(log).mismatches),
        interactions_equal=values(log, INTERACTIONS) == calm_values,
        policy_equal=saved.state == calm_fold and last_policy(log) == calm_policy,
    )


def calm(log, directory):
    """What the same decisions and outcomes lead to when nothing is ever killed.

    Returns the interactions' bytes, the learner's state and the policy's.
    """
    copy = MemoryLog()
    create_topics(copy)
    for topic in (CATALOGUE, DECISIONS, OUTCOMES):
        for record in records(log, topic):
            message = Message(topic, record.key, record.value, record.headers, record.timestamp_ms)
            copy.append([message._replace(partition=record.partition)])
    wanted = log.end_offset(TopicPartition(INTERACTIONS, 0))
    with in_thread(run_joiner, copy, directory):
        _until(lambda: copy.end_offset(TopicPartition(INTERACTIONS, 0)) >= wanted)
    end = copy.end_offset(TopicPartition(INTERACTIONS, 0))
    with in_thread(run_learner, copy, directory):
        _until(lambda: copy.committed(GROUP, TopicPartition(INTERACTIONS, 0)) == end)
    saved = Checkpoints(directory).load("learn-0")
    return values(copy, INTERACTIONS), saved.state, last_policy(copy)


@contextmanager
def in_thread(run, log, directory):
    """Runs one of the processes' functions in a thread for the block."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(log, directory), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def records(log, topic):
    found, partition = [], TopicPartition(topic, 0)
    while batch := log.read(partition, found[-1].offset + 1 if found else 0):
        found += batch
    return found


def values(log, topic):
    return [record.value for record in records(log, topic)]


def events(log, topic, kind):
    return [event for value in values(log, topic) if isinstance(event := decode(value), kind)]


def last_policy(log):
    return decode(records(log, POLICIES)[-1].value).state


def _until(condition, *, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
