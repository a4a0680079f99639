"""How many events a second does the join take on a core, against the least a join can do?

The baseline is a bare left join: a dict from event id to a decision and a list of outcomes,
without windows, order, duplicates, rewards or anything to save. A third of the decisions, of
1 kB with ten actions, get a click within their window. Cost is CPU time of this process.
"""

import heapq
import random
import threading
import time

import msgspec
import pytest

from streams.catalogue.state import Catalogue, catalogue_message
from streams.events import (
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Action,
    Decision,
    Outcome,
    Placement,
    RewardRule,
    decode,
    encode,
)
from streams.join.machine import Join
from streams.join.partition import Merge
from streams.join.worker import run_joiner
from streams.logs.base import Message, Record, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics

SEED = 7
DECIDED = 50_000
START_MS = 1_000_000_000
ROUNDS = 5
BATCH = 5000
ACTIONS = tuple(
    Action(f"creative-{n}", msgspec.Raw(b'{"length":31,"question":true,"tone":"plain"}'))
    for n in range(10)
)
CONTEXT = msgspec.Raw(b'{"hour":12,"device":"mobile","segment":"sports"}')


def placement(learn):
    return Placement(name="home", learn=learn, reward=RewardRule(window_seconds=10))


def traffic(decided):
    """Events in the order of their append, a millisecond a decision, with their records."""
    rng = random.Random(SEED)
    decisions, clicks = [], []
    for n in range(decided):
        at, event_id = START_MS + n, f"event-{n:08d}"
        decision = Decision(
            event_id=event_id,
            placement="home",
            timestamp_ms=at,
            context=CONTEXT,
            actions=ACTIONS,
            pmf=(0.1,) * 10,
            index=n % 10,
            policy_version="0123456789abcdef@1",
        )
        decisions.append((at, 0, decision))
        if rng.random() < 1 / 3:
            clicked = at + rng.randint(100, 9000)
            outcome = Outcome(
                event_id=event_id, outcome_id="click", kind="click", timestamp_ms=clicked
            )
            clicks.append((clicked + 5, 1, outcome))
    offsets = [0, 0]
    found = []
    key = lambda row: row[:2]  # noqa: E731  # one sort key for both
    for at, side, event in heapq.merge(decisions, sorted(clicks, key=key), key=key):
        topic = (DECISIONS, OUTCOMES)[side]
        record = Record(topic, 0, offsets[side], at, event.event_id.encode(), encode(event))
        offsets[side] += 1
        found.append((event, record))
    return found


@pytest.fixture(scope="module")
def events():
    return traffic(DECIDED)


def bare_left_join(events):
    joined = {}
    for event, _ in events:
        if type(event) is Decision:
            joined[event.event_id] = (event, [])
        else:
            joined[event.event_id][1].append(event)
    return list(joined.values())


def core(events, learn):
    """Decoded events in, interactions out, in the order that they are in already."""
    join = new_join(learn)
    joined = 0
    for number, (event, record) in enumerate(events):
        feed(join, event, record)
        if number % BATCH == 0:
            joined += len(join.take()[0])
    return joined + len(join.take()[0])


def with_decode(events, learn):
    """Bytes in, interactions out as bytes, through the merge."""
    join, merge = new_join(learn), Merge()
    encoder = msgspec.json.Encoder()
    written = 0
    for start in range(0, len(events), BATCH):
        for _, record in events[start : start + BATCH]:
            merge.add(record)
        for record in merge.release():
            feed(join, decode(record.value), record)
        written += sum(len(encoder.encode(emitted.interaction)) for emitted in join.take()[0])
    return written


def new_join(learn):
    catalogue = Catalogue()
    catalogue.apply(placement(learn), 0)
    return Join(0, catalogue)


def feed(join, event, record):
    if type(event) is Decision:
        join.decide(event, record.value, record.timestamp_ms, record.offset)
    else:
        join.observe(event, record.timestamp_ms, record.offset)


def cpu_seconds(function, *arguments):
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


@pytest.mark.parametrize("learn", ["window", "realtime"])
@pytest.mark.parametrize("join", [core, with_decode])
def test_events_a_second(benchmark, events, join, learn):
    bare, measured = [], []

    def both():
        bare.append(cpu_seconds(bare_left_join, events))
        measured.append(cpu_seconds(join, events, learn))

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info.update(
        join_events_per_s=len(events) / min(measured),
        bare_events_per_s=len(events) / min(bare),
        times_the_bare_join=min(measured) / min(bare),
    )


def test_joiner_on_sqlite(benchmark, events, tmp_path):
    """Log to log: read, decode, join, append, checkpoints included."""
    log = SqliteLog(tmp_path / "log.db")
    create_topics(log)
    log.append([catalogue_message(placement("window"))._replace(timestamp_ms=0)])
    messages = [Message(r.topic, r.key, r.value, timestamp_ms=r.timestamp_ms) for _, r in events]
    for start in range(0, len(messages), BATCH):
        log.append(messages[start : start + BATCH])
    took = {}

    def join_all():
        stop = threading.Event()
        watcher = threading.Thread(target=stop_when_joined, args=(log, stop))
        wall, cpu = time.perf_counter(), time.process_time()
        watcher.start()
        run_joiner(log, tmp_path, stop=stop)
        watcher.join()
        took.update(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)

    benchmark.pedantic(join_all, rounds=1)
    benchmark.extra_info.update(
        joiner_events_per_s=len(events) / took["wall"],
        joiner_events_per_cpu_s=len(events) / took["cpu"],
    )
    log.close()


def stop_when_joined(log, stop):
    while log.end_offset(TopicPartition(INTERACTIONS, 0)) < DECIDED:
        time.sleep(0.02)
    stop.set()
