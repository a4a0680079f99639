"""Histories, runs of the joiner over them, and what must come of each."""

import random
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import pytest

from streams.catalogue.state import catalogue_message
from streams.events import (
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Placement,
    RewardKind,
    RewardRule,
    decode,
    encode,
)
from streams.fold import scan_topic
from streams.join.partition import TICK
from streams.join.worker import Joiner, run_joiner
from streams.logs.base import Message, Record, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.streams.join.joining import AFTER_ALL, catalogue_of, event_of, run

PARTITIONS = 2
START_MS = 1_000_000
RULE = RewardRule(
    window_seconds=10,
    grace_seconds=1,
    maximum=10,
    kinds={"click": RewardKind(), "sale": RewardKind(weight=2, window_seconds=60)},
)
PLACEMENTS = [
    Placement(name="p", learn="realtime", reward=RULE),
    Placement(name="q", learn="window", reward=RULE),
]


@contextmanager
def prepared_log(kind, directory):
    """An empty log of that kind with its topics and the placements."""
    opened = MemoryLog() if kind == "memory" else SqliteLog(directory / "log.db")
    prepare(opened)
    yield opened
    opened.close()


def prepare(log):
    create_topics(log, partitions=PARTITIONS)
    log.append([catalogue_message(p)._replace(timestamp_ms=1) for p in PLACEMENTS])


def decided(event_id, placement="p", **more):
    """The message of a decision among one action, taken now."""
    at_ms = int(time.time() * 1000)
    row = {"event_id": event_id, "placement": placement, "timestamp_ms": at_ms} | more
    topic, value = event_of({"at": at_ms, "decision": row})
    return Message(topic, event_id.encode(), value)


def message(row):
    """A row of the conformance set as a message of history, appended at its time."""
    topic, value = event_of(row)
    key = next(iter(row[k]["event_id"] for k in ("decision", "outcome") if k in row))
    return Message(topic, key.encode(), value, timestamp_ms=row["at"])


def history(n, seed=1):
    """Rows of n decisions and what follows: in time, late, early, twice, or for nobody."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        at, event_id = START_MS + i * 20, f"event-{i}"
        decided = {"event_id": event_id, "placement": rng.choice("ppq"), "deferred": i % 7 == 0}
        rows.append(
            {"at": at + rng.choice([0, 0, 300]), "decision": decided | {"timestamp_ms": at}}
        )
        for number in range(rng.choice([0, 0, 1, 1, 2, 3])):
            happened = at + rng.choice([1, 100, 5000, 9990, 14_000, 70_000])
            outcome = {
                "event_id": rng.choice([event_id] * 9 + [f"nobody-{i}"]),
                "outcome_id": f"o{rng.choice([number, 0])}",
                "kind": rng.choice(["click", "sale", "impression", "activation"]),
                "timestamp_ms": happened,
            }
            rows.append({"at": happened + rng.choice([0, 10, 1500]), "outcome": outcome})
    return sorted(rows, key=lambda row: row["at"])


def append_all(log, rows):
    log.append([message(row) for row in rows])


def read(log, topic):
    return list(scan_topic(log, topic))


def interactions(log):
    return [decode(record.value) for record in read(log, INTERACTIONS)]


def by_source(log):
    """The bytes of each source's interactions by sequence; fails if one is twice or missing."""
    found = defaultdict(dict)
    last = {}
    for record in read(log, INTERACTIONS):
        interaction = decode(record.value)
        own = found[interaction.source]
        assert interaction.sequence not in own, "written twice"
        assert interaction.sequence > last.get((interaction.source, record.partition), -1)
        last[interaction.source, record.partition] = interaction.sequence
        own[interaction.sequence] = record.value
    for own in found.values():
        assert sorted(own) == list(range(len(own))), "one is missing"
    return {source: [own[n] for n in range(len(own))] for source, own in found.items()}


def letters(log):
    """Reason, topic, partition, offset and bytes of each dead letter, in order."""
    found = []
    for record in read(log, DEAD_LETTER):
        headers = {name: value.decode() for name, value in record.headers}
        place = headers["topic"], int(headers["partition"]), int(headers["offset"])
        found.append((headers["reason"], *place, record.value))
    return sorted(found)


def reasons(log):
    return [letter[0] for letter in letters(log)]


def expected(log):
    """The interactions by source, and the letters, that the pure join makes of the log."""
    catalogue = catalogue_of([{"at": 1, "placement": msgspec.to_builtins(p)} for p in PLACEMENTS])
    by_source, letters = {}, []
    for source in range(PARTITIONS):
        records = {
            (topic, record.offset): record
            for topic in (DECISIONS, OUTCOMES)
            for record in read(log, topic)
            if record.partition == source
        }
        ticks = [
            Record(topic, source, AFTER_ALL, AFTER_ALL, b"", TICK)
            for topic in (OUTCOMES, DECISIONS)
        ]
        found, refusals = run([*records.values(), *ticks], catalogue, source=source)
        if found:
            by_source[source] = [encode(interaction) for interaction in found]
        letters += [
            (r.code, r.topic, source, r.offset, records[r.topic, r.offset].value)
            for r in refusals
            if r.code != "duplicate_outcome"
        ]
    return by_source, sorted(letters)


@contextmanager
def joining(log, directory, **options):
    """Joins in a thread; yields the future of its counts."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(run_joiner, log, directory, stop=stop, **options)
        finally:
            stop.set()


def wait_until(condition, future):
    while not condition():
        if future.done():
            pytest.fail(f"the joiner ended: {future.exception()!r}")
        time.sleep(0.005)


def join_all(log, directory, **options):
    """Joins until all has come out that must; returns the counts."""
    wanted = expected(log)
    with joining(log, directory, **options) as future:
        wait_until(lambda: has_come_out(log, *wanted), future)
    return future.result()


def has_come_out(log, wanted, wanted_letters):
    ends = [log.end_offset(TopicPartition(INTERACTIONS, n)) for n in range(PARTITIONS)]
    letters_end = log.end_offset(TopicPartition(DEAD_LETTER, 0))
    return sum(ends) >= sum(map(len, wanted.values())) and letters_end >= len(wanted_letters)


def assert_joined(log):
    wanted, wanted_letters = expected(log)
    found = by_source(log)
    assert {
        source: [encode(decode(value)) for value in found[source]] for source in found
    } == wanted
    assert letters(log) == wanted_letters


def steps(log, directory, n, batch=100):
    """Joins n batches, then stops as it should; returns the counts."""
    joiner = Joiner(log, directory, stop=threading.Event(), checkpoint_seconds=0)
    with joiner.partitions.consumer((DECISIONS, OUTCOMES), group="joiner") as consumer:
        for _ in range(n):
            joiner.step(consumer, batch)
    return joiner.counts
