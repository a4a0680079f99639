"""KafkaLog when its broker is killed, hangs, or was never there."""

import threading
import time
from collections import Counter
from uuid import uuid4

import pytest

from streams.errors import LogUnavailable
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.logs.opening import open_log
from tests.kafka_broker import free_ports
from tests.streams.ingest.ingesting import wait_until
from tests.streams.logs.log_laws import PATIENCE_SECONDS, Follower, poll_until, read_all

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]

HASTY = {"request_timeout_ms": 700, "delivery_timeout_ms": 2_000, "max_block_ms": 700}


@pytest.fixture
def log(kafka_broker):
    log = KafkaLog(kafka_broker.bootstrap, prefix="outage.", request_timeout_ms=3_000)
    yield log
    log.close()


@pytest.fixture
def topic(log):
    topic = f"t-{uuid4().hex[:8]}"
    log.create_topic(topic, partitions=2)
    return topic


def crash(broker):
    broker.kill()
    broker.start()


def test_what_was_acknowledged_outlives_a_crash_and_everyone_goes_on(kafka_broker, log, topic):
    consumer = log.consumer([topic], Follower(), group="g")
    before = log.append([Message(topic, b"%d" % n, b"before") for n in range(50)])
    records = poll_until(consumer, 50)
    log.create_topic(topic)
    assert len(read_all(log, topic)) == 50
    crash(kafka_broker)
    after = log.append([Message(topic, b"%d" % n, b"after") for n in range(50)])
    records += poll_until(consumer, 50)
    consumer.close()
    assert log.partitions(topic) == 2
    assert read_all(log, topic) == sorted(records, key=lambda r: (r.partition, r.offset))
    assert Counter(at[:3] for at in before + after) == Counter(
        (r.topic, r.partition, r.offset) for r in records
    )


def test_crashes_while_appending_lose_and_repeat_nothing(kafka_broker, log, topic):
    acknowledged, stop, failures = [], threading.Event(), []

    def append():
        name = threading.current_thread().name
        for n in range(100_000):
            if stop.is_set():
                return
            values = [f"{name}-{n}-{m}".encode() for m in range(20)]
            try:
                log.append([Message(topic, value, value) for value in values])
            except LogUnavailable as error:
                failures.append(error)
            else:
                acknowledged.extend(values)

    appenders = [threading.Thread(target=append, name=name) for name in ("a", "b")]
    for appender in appenders:
        appender.start()
    for _ in range(2):
        seen = len(acknowledged)
        wait_until(lambda seen=seen: len(acknowledged) >= seen + 600)
        crash(kafka_broker)
    seen = len(acknowledged)
    wait_until(lambda: len(acknowledged) >= seen + 200)
    stop.set()
    for appender in appenders:
        appender.join(PATIENCE_SECONDS)
    assert failures == []
    assert Counter(r.value for r in read_all(log, topic)) == Counter(acknowledged)


def test_a_broker_that_hangs_is_unavailable_until_it_goes_on(kafka_broker, topic):
    hasty = KafkaLog(kafka_broker.bootstrap, prefix="outage.", linger_ms=0, **HASTY)
    consumer = hasty.consumer([topic], Follower())
    hasty.append([Message(topic, b"k", b"before")])
    assert len(poll_until(consumer, 1)) == 1
    kafka_broker.suspend()
    try:
        with pytest.raises(LogUnavailable, match=kafka_broker.bootstrap) as caught:
            hasty.append([Message(topic, b"k", b"meanwhile")])
        assert caught.value.retriable
        assert consumer.poll(0.2) == []
    finally:
        kafka_broker.resume()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            hasty.append([Message(topic, b"k", b"after")])
            break
        except LogUnavailable:
            assert time.monotonic() < deadline
    records = []
    while b"after" not in [r.value for r in records]:
        records += poll_until(consumer, 1)
    consumer.close()
    hasty.close()


@pytest.mark.parametrize("options", ["", "&security_protocol=SSL"])
def test_nobody_there_is_told_with_the_address_and_leaves_no_thread(options):
    (port,) = free_ports(1)
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(LogUnavailable, match=f"127.0.0.1:{port}"):
            open_log(f"kafka://127.0.0.1:{port}?bootstrap_timeout_ms=300{options}")
    assert threading.active_count() == before


def test_questions_to_a_broker_that_is_gone_end(kafka_broker, log, topic):
    partition = TopicPartition(topic, 0)
    log.append([Message(topic, b"k", b"v")])
    assert log.end_offset(partition) + log.start_offset(partition) >= 0
    kafka_broker.kill()
    try:
        for ask in (lambda: log.end_offset(partition), lambda: log.partitions(topic)):
            with pytest.raises(LogUnavailable, match=kafka_broker.bootstrap):
                ask()
    finally:
        kafka_broker.start()
    assert log.partitions(topic) == 2
    assert len(read_all(log, topic)) == 1
