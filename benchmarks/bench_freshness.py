"""How long after an outcome is in the log does the API serve a policy that has learned of it?

API, joiner and learner are processes of their own over one log; the load, and Kafka's broker,
run on the same machine. The clock starts when the outcome is acknowledged, by the API or by
Kafka, where a producer that is none of ours writes it straight into the topic. It stops when an
answer names a policy version folded past the interaction that the outcome led to.
"""

import logging
import os
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import kafka
import numpy as np
import pytest

from bandit.client import Client
from benchmarks.bench_rank import cpu_ns
from benchmarks.load import running_load
from streams.events import INTERACTIONS, OUTCOMES, Interaction, Outcome, decode, encode
from tests.bandit.recovery import PLACEMENT, running
from tests.kafka_broker import running_broker
from tests.streams.logs.log_laws import read_all

GOAL_MS = {"sqlite": 250.0, "kafka": 1000.0}
PREFIX = "fresh."
PARTITIONS = {"sqlite": 1, "kafka": 4}
PLACEMENTS = {PLACEMENT: {"policy": {"name": "thompson"}, "learn": "realtime"}}
PATH = f"/v1/placements/{PLACEMENT}"
CLICKS = 200
SETTLING_SECONDS = 5.0
WORK = {b"serve": "api", b"join": "joiner", b"learn": "learner", b"kafka.Kafka": "broker"}


class Setting(NamedTuple):
    """Which log, who writes the outcomes to it, and how many decisions a second come beside."""

    log: str
    by: str
    per_second: int

    def __str__(self):
        return f"{self.log}-{self.by}-{self.per_second or 'at-rest'}"


SETTINGS = [
    Setting("sqlite", "api", 0),
    Setting("sqlite", "api", 200),
    Setting("kafka", "api", 0),
    Setting("kafka", "api", 1000),
    Setting("kafka", "producer", 0),
    Setting("kafka", "producer", 1000),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_an_outcome_changes_what_is_served(benchmark, setting, tmp_path):
    measured, figures = benchmark.pedantic(outcomes_to_policies, (tmp_path, setting), rounds=1)
    p50, p99 = np.percentile(measured, [50, 99])
    benchmark.extra_info.update(
        outcomes=len(measured),
        fresh_p50_ms=float(p50),
        fresh_p99_ms=float(p99),
        of_goal=float(p99) / GOAL_MS[setting.log],
        **figures,
    )
    assert len(measured) == CLICKS


def outcomes_to_policies(directory, setting):
    """The milliseconds from each outcome to the first answer that knows of it, and other figures.

    `_cores` is how many processors each process kept busy.
    """
    with (
        log_for(setting, directory) as (url, outcome_by),
        running(directory, PLACEMENTS, log_url=url, partitions=PARTITIONS[setting.log]) as loop,
        closing(Client(loop.url)) as client,
    ):
        started_at, before = time.perf_counter(), busy_ns()
        if setting.per_second:
            with running_load(loop.url, f"{PATH}/rank", setting.per_second) as figures:
                time.sleep(SETTLING_SECONDS)
                acknowledged, _ = click(client, outcome_by, at_rest=False)
                time.sleep(SETTLING_SECONDS)
            seen = figures.pop("served")
        else:
            figures = {}
            acknowledged, seen = click(client, outcome_by, at_rest=True)
        seconds = time.perf_counter() - started_at
        for name, busy in busy_ns().items():
            figures[f"{name}_cores"] = (busy - before[name]) / 1e9 / seconds
        learned = offsets_of_clicks(loop.log)
    measured = [
        first_after(since, learned[event_id], seen) for event_id, since in acknowledged.items()
    ]
    return measured, figures


def first_after(since, offset, seen):
    """The milliseconds until a policy was seen that is folded past the offset."""
    later = [at for at, folded in seen if at > since and folded > offset]
    assert later, f"no policy past offset {offset} was served in the end"
    return (min(later) - since) * 1e3


@contextmanager
def log_for(setting, directory):
    """Yields the log's URL, and what writes an outcome and returns once it is acknowledged."""
    if setting.log == "sqlite":
        yield f"sqlite:///{directory / 'log.db'}", by_api
        return
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with running_broker() as broker:
        url = f"kafka://{broker.bootstrap}?prefix={PREFIX}"
        if setting.by == "api":
            yield url, by_api
        else:
            with kafka.KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
                yield url, lambda _, event_id: by_producer(producer, event_id)


def by_api(client, event_id):
    client.outcome(PLACEMENT, event_id, "click")


def by_producer(producer, event_id):
    now_ms = time.time_ns() // 1_000_000
    outcome = Outcome(event_id=event_id, outcome_id="o", kind="click", timestamp_ms=now_ms)
    producer.send(PREFIX + OUTCOMES, encode(outcome), event_id.encode()).get(10.0)


def click(client, outcome_by, *, at_rest):
    """Ranks and clicks, one after the other; at rest, each waits until the last one has settled.

    Returns when the click of each event was acknowledged and, at rest, the policies seen since.
    """
    acknowledged, seen = {}, []
    for _ in range(CLICKS):
        event_id = client.rank(PLACEMENT, {}).event_id
        time.sleep(0.3 if at_rest else 0.1)
        before = served(client) if at_rest else 0
        outcome_by(client, event_id)
        acknowledged[event_id] = time.perf_counter()
        if at_rest:
            seen.append(changed(client, before))
    return acknowledged, seen


def changed(client, before):
    """Asks every 2 ms which policy is served, until it is not the one before; when, and which."""
    while (now := served(client)) == before:
        time.sleep(0.002)
    return time.perf_counter(), now


def served(client):
    version = client.request("GET", f"{PATH}/policy")["version"]
    return int(version.rpartition("@")[2])


def offsets_of_clicks(log):
    """Where the interaction of each click stands, by event id."""
    found = {}
    for record in read_all(log, INTERACTIONS):
        event = decode(record.value)
        if isinstance(event, Interaction) and event.status == "corrected":
            found[event.decision.event_id] = record.offset
    return found


def busy_ns():
    """The nanoseconds of processor time of each process that this one started, by its work."""
    own = os.getpid()
    busy = {}
    for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        busy |= {WORK[word]: cpu_ns(int(pid)) for word in words if word in WORK}
    return busy
