"""On Kafka: outcomes in the wrong partition, and partitions that are added under traffic."""

import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from uuid import uuid4
from zlib import crc32

import kafka
import pytest

from streams.archive.parquet import read_archive, restore, run_archive
from streams.catalogue.state import catalogue_message
from streams.dead_letters import read_dead_letters
from streams.events import DECISIONS, INTERACTIONS, OUTCOMES, Placement, RewardKind, RewardRule
from streams.fold import scan_topic
from streams.join.partition import JoinCounts
from streams.join.worker import run_joiner
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.logs.kafka import KafkaLog
from streams.topics import create_topics
from tests.streams.ingest.ingesting import running, wait_until
from tests.streams.join.joiner_runs import by_source, decided, interactions
from tests.streams.join.joining import event_of

pytestmark = pytest.mark.kafka

RULE = RewardRule(window_seconds=120, kinds={"click": RewardKind(aggregation="max")})


@pytest.fixture
def prefix():
    return f"layout-{uuid4().hex[:8]}."


@pytest.fixture
def opened(kafka_broker, prefix):
    """Opens the log, as another process would."""
    with ExitStack() as held:

        def open_log(**options):
            wanted = {"heartbeat_interval_ms": 200, "metadata_max_age_ms": 300} | options
            log = KafkaLog(kafka_broker.bootstrap, prefix=prefix, **wanted)
            held.callback(log.close)
            return log

        log = open_log()
        create_topics(log, partitions=2)
        log.append([catalogue_message(Placement(name="p", learn="realtime", reward=RULE))])
        yield open_log


@pytest.fixture
def grow(kafka_broker, prefix):
    """Adds partitions to a topic, as whoever runs the cluster does."""
    admin = kafka.KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    yield lambda topic, count: admin.create_partitions({prefix + topic: count})
    admin.close()


def clicked(event_id, **more):
    at_ms = int(time.time() * 1000)
    row = {"event_id": event_id, "outcome_id": "c", "timestamp_ms": at_ms}
    return Message(OUTCOMES, event_id.encode(), event_of({"at": at_ms, "outcome": row})[1], **more)


def rewards(log):
    """The last reward of each event."""
    found = defaultdict(float)
    for interaction in interactions(log):
        found[interaction.decision.event_id] = interaction.reward
    return dict(found)


def all_clicked(log, events):
    return rewards(log) == dict.fromkeys(events, 1.0)


def test_an_outcome_of_another_partitioner_or_without_a_key_counts(opened, tmp_path):
    log, counts = opened(), JoinCounts()
    events = [f"e-{n}" for n in range(20)]
    foreign = [clicked(e, partition=crc32(e.encode()) % 2) for e in events[:14]]
    keyless = [clicked(e, partition=0)._replace(key=b"") for e in events[14:17]]
    of_users = [clicked(e)._replace(key=b"user") for e in events[17:]]
    with running(run_joiner, log, tmp_path, counts=counts) as thread:
        log.append([decided(e) for e in events])
        log.append([*foreign, *keyless, *of_users])
        wait_until(lambda: all_clicked(log, events), thread)
    assert 0 < counts.forwarded < len(events)
    assert (counts.orphan, counts.late, counts.duplicate) == (0, 0, 0)
    assert list(read_dead_letters(log)) == []


@pytest.mark.parametrize("first", [DECISIONS, OUTCOMES])
def test_partitions_that_are_added_under_traffic_lose_nothing(opened, grow, tmp_path, first):
    log, counts = opened(), JoinCounts()
    before, between, after = ([f"{name}-{n}" for n in range(30)] for name in "abc")
    second = OUTCOMES if first == DECISIONS else DECISIONS
    with (
        running(run_archive, opened(), tmp_path / "archive") as archive,
        running(run_joiner, opened(), tmp_path / "c", counts=counts) as one,
        running(run_joiner, opened(), tmp_path / "c", counts=counts) as other,
    ):
        log.append([decided(e) for e in before])
        log.append([clicked(e) for e in before[:10]])
        grow(first, 5)
        time.sleep(1.0)
        # Each by the layout that its producer knows by now, and one half of it before the other.
        log.append([decided(e) for e in between])
        opened().append([clicked(e) for e in between[:15]])
        grow(second, 5)
        fresh = opened()
        fresh.append([clicked(e) for e in before[10:] + between[15:]])
        fresh.append([decided(e) for e in after])
        log.append([clicked(e) for e in after])
        wait_until(lambda: all_clicked(log, before + between + after), one, other, archive)
    assert list(read_dead_letters(log)) == []
    assert {r.partition for r in scan_topic(log, DECISIONS)} == set(range(5))
    for topic in (DECISIONS, OUTCOMES):
        assert sorted(read_archive(tmp_path / "archive", topic)) == sorted(scan_topic(log, topic))


def test_partitions_that_were_added_while_no_joiner_ran_lose_nothing(opened, grow, tmp_path):
    log = opened()
    before, after = ([f"{name}-{n}" for n in range(20)] for name in "ab")
    early = [f"early-{n}" for n in range(20)]
    with running(run_joiner, log, tmp_path) as thread:
        log.append([clicked(e) for e in early])
        log.append([decided(e) for e in early])
        wait_until(lambda: all_clicked(log, early), thread)
        before += early
        log.append([decided(e) for e in before if e not in early])
        wait_until(lambda: len(rewards(log)) == len(before), thread)
    for topic in (DECISIONS, OUTCOMES):
        grow(topic, 4)
    fresh = opened()
    fresh.append([clicked(e) for e in before])
    fresh.append([decided(e) for e in after])
    fresh.append([clicked(e) for e in after])
    with running(run_joiner, fresh, tmp_path) as thread:
        wait_until(lambda: all_clicked(log, before + after), thread)
    assert list(read_dead_letters(log)) == []
    # Read again from the start, all of it follows as it did then.
    written, more = by_source(log), [f"c-{n}" for n in range(20)]
    with running(run_joiner, fresh, tmp_path / "anew") as thread:
        fresh.append([clicked(e) for e in more])
        fresh.append([decided(e) for e in more])
        wait_until(lambda: all_clicked(log, before + after + more), thread)
    found = by_source(log)
    assert all(found[source][: len(own)] == own for source, own in written.items())
    restored = MemoryLog()
    stop = threading.Event()
    stop.set()
    run_archive(log, tmp_path / "archive", stop=stop)
    restore(tmp_path / "archive", restored)
    assert rewards(restored) == rewards(log)
    assert (restored.partitions(DECISIONS), restored.partitions(INTERACTIONS)) == (4, 2)
