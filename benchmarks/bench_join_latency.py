"""How long after an outcome is appended is its interaction in the log?

The joiner is a process of its own on the SQLite log, at its defaults; decisions are idle, so
every outcome needs a tick to pass. The clock starts before the append. The goal is 50 ms at
the 99th percentile.
"""

import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest

from streams.catalogue.state import catalogue_message
from streams.events import (
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Action,
    Decision,
    Outcome,
    Placement,
    decode,
    encode,
)
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics

GOAL_MS = 50.0
CLICKS = 200
SEED = 7


@pytest.mark.parametrize("partitions", [1, 4])
def test_an_outcome_becomes_an_interaction(benchmark, tmp_path, partitions):
    measured = benchmark.pedantic(joined_after_ms, (tmp_path, partitions), rounds=1)
    p50, p99 = np.percentile(measured, [50, 99])
    benchmark.extra_info.update(
        joined_p50_ms=float(p50), joined_p99_ms=float(p99), of_goal=float(p99) / GOAL_MS
    )


def joined_after_ms(directory, partitions):
    log = SqliteLog(directory / "log.db")
    create_topics(log, partitions=partitions)
    log.append([catalogue_message(Placement(name="home", learn="realtime"))])
    log.append([decided(n) for n in range(CLICKS)])
    command = [sys.executable, "-m", "streams", "join", "--data", str(directory)]
    joiner = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    found = Interactions(log, partitions)
    found.wait_for(lambda interaction: interaction.decision.event_id == f"event-{CLICKS - 1}")
    rng = np.random.default_rng(SEED)
    measured = []
    for n in range(CLICKS):
        time.sleep(rng.uniform(0.0, 0.05))
        started = time.perf_counter()
        log.append([clicked(n)])
        found.wait_for(lambda interaction: interaction.outcomes != ())
        measured.append((time.perf_counter() - started) * 1e3)
    joiner.terminate()
    joiner.wait()
    log.close()
    return measured


class Interactions:
    """Reads the interactions as they come."""

    def __init__(self, log, partitions):
        self._log = log
        self._offsets = {TopicPartition(INTERACTIONS, n): 0 for n in range(partitions)}

    def wait_for(self, condition):
        """Returns once there is one that meets the condition."""
        while True:
            for place, offset in self._offsets.items():
                for record in self._log.read(place, offset):
                    self._offsets[place] = record.offset + 1
                    if condition(decode(record.value)):
                        return
            time.sleep(0.001)


def decided(n):
    decision = Decision(
        event_id=f"event-{n}",
        placement="home",
        timestamp_ms=time.time_ns() // 1_000_000,
        context=msgspec.Raw(b"{}"),
        actions=(Action("a"), Action("b")),
        pmf=(0.5, 0.5),
        index=0,
        policy_version="v",
    )
    return Message(DECISIONS, decision.event_id.encode(), encode(decision))


def clicked(n):
    at = time.time_ns() // 1_000_000
    outcome = Outcome(event_id=f"event-{n}", outcome_id="click", kind="click", timestamp_ms=at)
    return Message(OUTCOMES, outcome.event_id.encode(), encode(outcome))
