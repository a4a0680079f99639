"""A real server in a thread, for the tests of the API."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn

from bandit.service.app import create_app, server_config
from bandit.service.settings import Settings
from streams.events import DECISIONS, OUTCOMES, decode
from streams.fold import scan_topic
from streams.topics import create_topics

PATIENCE_SECONDS = 30


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
        events = [decode(record.value) for record in self.records(topic)]
        return [e for e in events if event_id is None or e.event_id == event_id]

    def decision(self, event_id):
        (decision,) = self.logged(DECISIONS, event_id)
        return decision

    def outcomes(self, event_id):
        return self.logged(OUTCOMES, event_id)


@contextmanager
def running(log, settings=None, partitions=1, spool=None, port=0, **options):
    """Serves the log for as long as the block lasts."""
    create_topics(log, partitions=partitions)
    settings = settings or Settings()
    server = uvicorn.Server(
        server_config(create_app(log, settings, spool=spool, **options), settings)
    )
    listening = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
            yield Api(url, client, log)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the server did not stop"


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
