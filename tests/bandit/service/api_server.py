"""A real server in a thread, for the tests of the API."""

import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import count

import httpx
import uvicorn

from bandit.policy import policy_version
from bandit.service.app import create_app, server_config
from bandit.service.settings import Settings
from streams.events import (
    DECISIONS,
    OUTCOMES,
    POLICIES,
    PolicySnapshot,
    decode,
    each_decision,
    encode,
)
from streams.fold import scan_topic
from streams.logs.base import Message
from streams.topics import create_topics

PATIENCE_SECONDS = 30
OFFSETS = count(1)


class Api:
    """A server's client, its log, and what a test asks of both again and again."""

    def __init__(self, url, client, log):
        self.url = url
        self.client = client
        self.log = log

    def placement(self, name, creatives=("a", "b", "c"), **body):
        made = self.client.put(f"/v1/placements/{name}", json=body).raise_for_status()
        if made.status_code == 200:
            return name
        new = [
            {"id": c, "parts": {"headline": f"Text of {c}"}, "features": {"length": 1}}
            for c in creatives
        ]
        if new:
            self.client.post(f"/v1/placements/{name}/creatives", json=new).raise_for_status()
        return name

    def rank(self, name, **body):
        return self.client.post(f"/v1/placements/{name}/rank", json=body)

    def event(self, name, event_id, what, json=None):
        return self.client.post(f"/v1/placements/{name}/events/{event_id}/{what}", json=json)

    def pages(self, path, limit, **params):
        """All items of a list, read in pages of so many."""
        found, after = [], None
        while True:
            asked = {"limit": limit, "after": after, **params}
            asked = {name: value for name, value in asked.items() if value is not None}
            page = self.client.get(path, params=asked).raise_for_status().json()
            assert len(page["items"]) <= limit
            found += page["items"]
            if (after := page["next"]) is None:
                return found

    def records(self, topic):
        return scan_topic(self.log, topic)

    def logged(self, topic, event_id=None):
        held = [decode(record.value) for record in self.records(topic)]
        events = [each for event in held for each in each_decision(event) or (event,)]
        return [e for e in events if event_id is None or e.event_id == event_id]

    def decision(self, event_id):
        (decision,) = self.logged(DECISIONS, event_id)
        return decision

    def outcomes(self, event_id):
        return self.logged(OUTCOMES, event_id)

    def publish(self, name, policy, *, offset=None, **shown):
        """Publishes what a learner would that has this policy and has counted so much."""
        state, offset = policy.to_bytes(), next(OFFSETS) if offset is None else offset
        snapshot = PolicySnapshot(
            placement=name, version=policy_version(state, offset), spec=policy.spec, partition=0,
            offset=offset, state=state, timestamp_ms=0, shown=shown,
        )  # fmt: skip
        self.log.append([Message(POLICIES, name.encode(), encode(snapshot))])
        served = f"/v1/placements/{name}/policy"
        wait_until(lambda: self.client.get(served).json()["version"] == snapshot.version)
        return snapshot.version


@contextmanager
def running(log, settings=None, partitions=1, spool=None, port=0, **options):
    """Serves the log for as long as the block lasts."""
    create_topics(log, partitions=partitions)
    settings = settings or Settings()
    app = create_app(log, settings, spool=spool, **options)
    with (
        listening(app, settings, port) as address,
        httpx.Client(base_url=f"http://{address}", timeout=PATIENCE_SECONDS) as client,
    ):
        yield Api(f"http://{address}", client, log)


@contextmanager
def listening(app, settings, port=0):
    """Runs the application in a thread; yields its host and port."""
    server = uvicorn.Server(server_config(app, settings))
    opened = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield f"127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the server did not stop"


def start_process(folder, *options):
    """Starts `copyloop bandit serve` with a free port, unless the options name one."""
    command = [sys.executable, "-m", "bandit", "serve", "--data", str(folder), "--port", "0"]
    return subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)


@contextmanager
def served(folder, *options, log=None):
    """A server in a process of its own: the process, and its API."""
    process = start_process(folder, *options)
    try:
        url = None
        while url is None:
            line = process.stderr.readline()
            assert line, "the server ended before it served"
            url = re.search(r"http://\S+", line)
        with httpx.Client(base_url=url[0], timeout=2 * PATIENCE_SECONDS) as client:
            yield process, Api(url[0], client, log)
    finally:
        process.kill()
        process.communicate()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def code_of(response):
    error = response.json()["error"]
    assert set(error) == {"code", "message", "target"}
    assert error["message"]
    return response.status_code, error["code"]
