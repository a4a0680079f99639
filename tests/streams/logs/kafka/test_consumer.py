"""Consumers on Kafka: what a group shares, who saves what when, and what goes wrong."""

import logging
import threading
import time
from collections import Counter
from uuid import uuid4

import kafka
import pytest

from streams.errors import CheckpointError, LogError, TopicError
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from tests.streams.ingest.ingesting import wait_until
from tests.streams.logs.log_laws import PATIENCE_SECONDS, Follower, poll_until, read_all

pytestmark = pytest.mark.kafka

PARTITIONS = 4


@pytest.fixture(scope="module")
def log(kafka_broker):
    log = KafkaLog(
        kafka_broker.bootstrap, prefix="group.", heartbeat_interval_ms=200, metadata_max_age_ms=300
    )
    yield log
    log.close()


@pytest.fixture(scope="module")
def admin(kafka_broker):
    client = kafka.KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    yield client
    client.close()


@pytest.fixture
def topic(log):
    topic = f"t-{uuid4().hex[:8]}"
    log.create_topic(topic)
    return topic


@pytest.fixture
def pair(log):
    """Two co-partitioned topics."""
    names = [f"{name}-{uuid4().hex[:8]}" for name in ("decisions", "outcomes")]
    for name in names:
        log.create_topic(name, partitions=PARTITIONS)
    return names


class Member(threading.Thread):
    """A member of a group that reads until it is stopped; saved offsets are the members' own."""

    def __init__(self, log, topics, group, saved):
        super().__init__()
        self._consumer = log.consumer(topics, self, group=group)
        self._saved = saved
        self._stop_reading = threading.Event()
        self.held = set()
        self.read = []
        self.assignments = []

    def assigned(self, partitions):
        self.held = set(partitions)
        self.assignments.append(self.held)
        return {p: self._saved[p] for p in partitions if p in self._saved}

    def revoked(self, partitions):
        self.held -= set(partitions)
        return {p: self._saved[p] for p in partitions if p in self._saved}

    def run(self):
        while not self._stop_reading.is_set():
            for record in self._consumer.poll(0.2, limit=50):
                partition = TopicPartition(record.topic, record.partition)
                assert partition in self.held
                self.read.append((*partition, record.offset))
                self._saved[partition] = record.offset + 1
        self._consumer.close()

    def stop(self):
        self._stop_reading.set()
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()


def appended(log, message):
    try:
        return log.append([message])
    except TopicError:
        return []


def test_a_group_shares_co_partitioned_topics_and_loses_nothing(log, pair):
    group, saved, members = f"g-{uuid4().hex}", {}, []
    everything = {TopicPartition(name, n) for name in pair for n in range(PARTITIONS)}

    def settle(count):
        wait_until(
            lambda: (
                all(m.held for m in members)
                and sorted(p for m in members for p in m.held) == sorted(everything)
            )
        )
        assert len(members) == count
        for _ in range(3):
            log.append([Message(name, b"%d" % n, b"v") for name in pair for n in range(40)])

    for count in (1, 2, 3):
        members.append(Member(log, pair, group, saved))
        members[-1].start()
        settle(count)
    gone = [members.pop(0), members.pop(0)]
    for member in gone:
        member.stop()
    settle(1)
    (last,) = members
    written = {(*p, r.offset) for p in everything for r in log.read(p, 0)}
    wait_until(lambda: len(written) == sum(len(m.read) for m in [*gone, last]))
    last.stop()
    reads = Counter(place for m in [*gone, last] for place in m.read)
    assert reads == Counter(written)
    for held in (held for m in [*gone, last] for held in m.assignments):
        of_topic = [{p.partition for p in held if p.topic == name} for name in pair]
        assert of_topic[0] == of_topic[1]
    assert {p: log.committed(group, p) for p in everything} == saved


def test_a_member_too_slow_to_poll_loses_its_partitions_and_commits_nothing(
    kafka_broker, log, topic, caplog
):
    partition, group = TopicPartition(topic, 0), f"g-{uuid4().hex}"
    hasty = KafkaLog(
        kafka_broker.bootstrap,
        prefix="group.",
        max_poll_interval_ms=700,
        heartbeat_interval_ms=200,
    )
    log.append([Message(topic, b"k", b"%d" % n) for n in range(5)])
    follower = Follower(ends={partition: 3})
    consumer = hasty.consumer([topic], follower, group=group)
    poll_until(consumer, 5)
    time.sleep(1.5)
    with caplog.at_level(logging.INFO, logger="streams"):
        consumer.commit({partition: 4})
    assert "rebalancing" in caplog.text
    assert len(poll_until(consumer, 5)) == 5
    assert follower.told == [(what, [partition]) for what in ("assigned", "revoked", "assigned")]
    assert log.committed(group, partition) is None
    consumer.close()
    assert log.committed(group, partition) == 3
    hasty.close()


@pytest.mark.parametrize("group", [None, "g"])
def test_an_error_of_the_assignee_comes_out_of_poll(log, topic, group):
    class Damaged(Follower):
        def assigned(self, partitions):
            raise CheckpointError("the checkpoint is damaged")

    log.append([Message(topic, b"k", b"v")])
    consumer = log.consumer([topic], Damaged(), group=group and f"g-{uuid4().hex}")
    with pytest.raises(CheckpointError, match="damaged"):
        poll_until(consumer, 1)
    if group:
        with pytest.raises(CheckpointError, match="damaged"):
            consumer.poll(0.1)
        with pytest.raises(CheckpointError, match="damaged"):
            consumer.close()
    consumer.close()


def test_an_error_while_saving_comes_out_of_close_and_commits_nothing(log, topic):
    class Full(Follower):
        def revoked(self, partitions):
            raise CheckpointError("the disk is full")

    group = f"g-{uuid4().hex}"
    log.append([Message(topic, b"k", b"v")])
    consumer = log.consumer([topic], Full(), group=group)
    poll_until(consumer, 1)
    with pytest.raises(CheckpointError, match="full"):
        consumer.close()
    assert log.committed(group, TopicPartition(topic, 0)) is None


def with_a_new_partition(admin, log, topic, group):
    """A consumer that has read one record, and a partition with another that came since."""
    follower, new = Follower(), TopicPartition(topic, 1)
    consumer = log.consumer([topic], follower, group=group and f"g-{uuid4().hex}")
    log.append([Message(topic, b"k", b"first")])
    assert len(poll_until(consumer, 1)) == 1
    admin.create_partitions({f"group.{topic}": 2})
    wait_until(lambda: appended(log, Message(topic, b"k", b"second", partition=1)))
    return follower, consumer, new


@pytest.mark.parametrize("group", [None, "g"])
def test_new_partitions_are_noticed(admin, log, topic, group):
    follower, consumer, new = with_a_new_partition(admin, log, topic, group)
    records = []
    while new not in {(r.topic, r.partition) for r in records}:
        records += poll_until(consumer, 1)
    assert any(new in partitions for what, partitions in follower.told if what == "assigned")
    consumer.close()
    assert follower.told[-1] == ("revoked", [TopicPartition(topic, 0), new])


def test_a_join_that_outlasts_its_poll_is_not_forgotten(admin, log, topic):
    follower, consumer, new = with_a_new_partition(admin, log, topic, "g")
    records = []
    # Its join goes on behind a poll that is over, and is to be there for the next one.
    for _ in range(20):
        records += consumer.poll(0.001)
        time.sleep(0.05)
    assert records or poll_until(consumer, 1)
    consumer.close()
    assert follower.told[-1] == ("revoked", [TopicPartition(topic, 0), new])


@pytest.mark.parametrize("group", [None, "g"])
def test_what_retention_removed_unread_is_told(admin, log, topic, group, caplog):
    partition = TopicPartition(topic, 0)
    log.append([Message(topic, b"k", b"%d" % n) for n in range(10)])
    admin.delete_records({kafka.TopicPartition(f"group.{topic}", 0): 6})
    assert log.start_offset(partition) == 6
    assert [r.offset for r in log.read(partition, 0)] == [6, 7, 8, 9]
    follower = Follower({partition: 2})
    consumer = log.consumer([topic], follower, group=group and f"g-{uuid4().hex}")
    assert [r.offset for r in poll_until(consumer, 4)] == [6, 7, 8, 9]
    consumer.close()
    assert "4 records" in caplog.text


def test_a_start_beyond_the_end_is_an_error_and_no_second_reading(log, topic):
    log.append([Message(topic, b"k", b"v")])
    consumer = log.consumer([topic], Follower({TopicPartition(topic, 0): 100}))
    with pytest.raises(LogError, match="made anew"):
        poll_until(consumer, 1)
    consumer.close()


def test_a_topic_with_its_producers_times_is_told(admin, log, caplog):
    topic = f"t-{uuid4().hex[:8]}"
    layout = {"num_partitions": 1, "replication_factor": 1}
    admin.create_topics({f"group.{topic}": layout}, wait_for_metadata=True)
    log.create_topic(topic)
    log.append([Message(topic, b"k", b"v")])
    consumer = log.consumer([topic], Follower())
    assert poll_until(consumer, 1) == read_all(log, topic)
    consumer.close()
    assert caplog.text.count("message.timestamp.type") == 1


def test_a_consumer_of_a_topic_that_is_not_there_is_refused(log):
    with pytest.raises(TopicError, match="create_topic"):
        log.consumer(["absent"], Follower(), group="g")
    with pytest.raises(TopicError):
        log.create_topic("not a topic")


def test_consumers_leave_no_threads_behind(log, topic):
    log.append([Message(topic, b"k", b"v")])
    before = threading.active_count()
    for group in (None, f"g-{uuid4().hex}"):
        consumer = log.consumer([topic], Follower(), group=group)
        poll_until(consumer, 1)
        consumer.close()
    log.committed("g", TopicPartition(topic, 0))
    assert threading.active_count() == before
