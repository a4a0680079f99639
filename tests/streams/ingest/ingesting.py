"""A team's topic of clicks, runs of the ingest over it, and logs that fail as they are told to."""

import json
import threading
import time
from contextlib import contextmanager

from streams.events import OUTCOMES, decode
from streams.fold import scan_topic
from streams.ingest.mapping import Kind, TopicMapping
from streams.ingest.worker import run_ingest
from streams.logs.base import Message, TopicPartition
from streams.topics import INGEST_GROUP, create_topics

PARTITIONS = 2
PATIENCE_SECONDS = 60
CLICKS = TopicMapping(
    topic="clicks",
    event_id="e",
    kind=Kind(path="t", table={"click": "click", "buy": "sale"}, others="skip"),
    value="v || `1`",
)
QUICKLY = {"checkpoint_seconds": 0.01}


def with_clicks(log):
    """Makes our topics and the team's in the log, and returns it."""
    create_topics(log, partitions=PARTITIONS)
    log.create_topic("clicks", partitions=PARTITIONS)
    return log


def write(log, *documents, headers=()):
    """Appends records to the team's topic; bytes as they are, all else as JSON."""
    log.append(
        [
            Message(
                "clicks", b"%d" % n, d if isinstance(d, bytes) else json.dumps(d).encode(), headers
            )
            for n, d in enumerate(documents)
        ]
    )


def click(n, kind="click", **more):
    return {"e": f"e-{n}", "t": kind} | more


def read(log, topic):
    return list(scan_topic(log, topic))


def outcomes(log):
    return [decode(r.value) for r in read(log, OUTCOMES) if b'"tick"' not in r.value]


def committed(log):
    return [
        log.committed(INGEST_GROUP, TopicPartition("clicks", n)) or 0 for n in range(PARTITIONS)
    ]


def caught_up(log):
    ends = [log.end_offset(TopicPartition("clicks", n)) for n in range(PARTITIONS)]
    return committed(log) == ends


@contextmanager
def running(target, *arguments, **options):
    """Runs a process of ours in a thread; what it raised is raised at the end."""
    stop, raised = threading.Event(), []

    def run():
        try:
            target(*arguments, stop=stop, **options)
        except BaseException as error:  # noqa: BLE001  # raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()
    if raised:
        raise raised[0]


def wait_until(condition, *threads):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert all(thread.is_alive() for thread in threads), "it ended"
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.005)


def ingest_all(log, directory, mappings=(CLICKS,), *, source=None, **options):
    with running(
        run_ingest, log, directory, mappings, source=source, **QUICKLY, **options
    ) as thread:
        wait_until(lambda: caught_up(source or log), thread)


class Fragile:
    """A log that fails at its n-th append, before or after it is written."""

    def __init__(self, log, n, error, *, written):
        self._log, self._left, self._error, self._written = log, n, error, written

    def append(self, messages):
        self._left -= 1
        if self._left:
            return self._log.append(messages)
        if self._written:
            self._log.append(messages)
        raise self._error

    def __getattr__(self, name):
        return getattr(self._log, name)


class Crash(Exception):
    pass
