"""A message that the cluster refuses fails alone: by its size, its time, its key, or an ACL."""

import random
import threading
import time
from contextlib import contextmanager, suppress
from uuid import uuid4

import kafka
import pytest
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
)

from streams.errors import (
    LogError,
    LogLost,
    MessageDenied,
    MessageInvalid,
    MessagesRefused,
    MessageTooLarge,
    TopicError,
)
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.logs.wrappers import RetryingLog
from tests.kafka_broker import PASSWORD, USER
from tests.streams.ingest.ingesting import wait_until
from tests.streams.logs.log_laws import read_all

pytestmark = pytest.mark.kafka
LOGIN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": USER,
    "sasl_plain_password": PASSWORD,
}
LIMIT = 20_000


@pytest.fixture(scope="module")
def log(kafka_broker):
    log = KafkaLog(kafka_broker.sasl_bootstrap, prefix="refused.", **LOGIN)
    yield log
    log.close()


@pytest.fixture(scope="module")
def admin(kafka_broker):
    client = kafka.KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    yield client
    client.close()


@pytest.fixture
def topics(admin):
    """One that takes little, and a plain one."""
    settings = {"small": {"max.message.bytes": str(LIMIT)}, "plain": {}}
    names = {kind: f"{kind}-{uuid4().hex[:8]}" for kind in settings}
    admin.create_topics(
        {
            f"refused.{names[kind]}": {"num_partitions": 2, "configs": configs}
            for kind, configs in settings.items()
        }
    )
    return names


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def values(log, topic):
    return sorted(record.value for record in read_all(log, topic))


@contextmanager
def denied(admin, topic):
    """Nobody but the super user may write to the topic for the block."""
    pattern = ResourcePattern(ResourceType.TOPIC, f"refused.{topic}")
    rules = [
        ACL(f"User:{USER}", "*", operation, permission, pattern)
        for operation, permission in (
            (ACLOperation.READ, ACLPermissionType.ALLOW),
            (ACLOperation.WRITE, ACLPermissionType.DENY),
        )
    ]
    admin.create_acls(rules)
    try:
        yield
    finally:
        admin.delete_acls([ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)])


def test_messages_too_large_fail_alone_and_the_producer_goes_on(log, topics):
    sizes = [10, LIMIT * 3, 20, 30, LIMIT * 2, 40]
    for topic in ("small", "plain"):
        log.append([Message(topics[topic], b"k", b"first")])
    sent = [Message(topics["small"], b"k%d" % n, noise(size, n)) for n, size in enumerate(sizes)]
    sent += [Message(topics["plain"], b"k", b"other")]
    with pytest.raises(MessagesRefused, match="larger than that topic takes") as caught:
        log.append(sent)
    assert sorted(caught.value.refused) == [1, 4]
    assert all(isinstance(why, MessageTooLarge) for why in caught.value.refused.values())
    assert sorted(caught.value.written) == [0, 2, 3, 5, 6]
    kept = [message.value for n, message in enumerate(sent[:6]) if n not in (1, 4)]
    assert values(log, topics["small"]) == sorted([b"first", *kept])
    assert values(log, topics["plain"]) == [b"first", b"other"]
    log.append([Message(topics[topic], b"k", b"after") for topic in ("small", "plain")])


def test_a_message_larger_than_the_client_sends_fails_alone(log, topics):
    sent = [Message(topics["plain"], b"k", value) for value in (b"a", bytes(17 << 20), b"b")]
    with pytest.raises(MessagesRefused, match="max_request_size") as caught:
        log.append(sent)
    assert list(caught.value.refused) == [1]
    assert values(log, topics["plain"]) == [b"a", b"b"]


def test_a_time_that_the_broker_refuses_fails_alone(admin, log, topics):
    """Our messages have the time of now, which is too early for a topic as strange as this one."""
    name, topic = f"refused.strange-{topics['plain']}", f"strange-{topics['plain']}"
    configs = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "1"}
    admin.create_topics({name: {"num_partitions": 1, "configs": configs}})
    wait_until(lambda: is_there(log, topic))
    sent = [Message(topics["plain"], b"k", b"v"), Message(topic, b"k", noise(400_000))]
    with pytest.raises(MessagesRefused) as caught:
        [log.append(sent) for _ in range(50)]
    assert isinstance(caught.value.refused[1], MessageInvalid)
    log.append([Message(topics["plain"], b"k", b"after")])
    assert b"after" in values(log, topics["plain"])


def test_others_appends_are_not_refused_for_one(log, topics):
    """Threads share the producer that a refusal finishes."""
    failures, stop = [], threading.Event()

    def append():
        while not stop.is_set():
            try:
                log.append([Message(topics["plain"], b"k", b"v")])
            except LogError as error:
                failures.append(error)

    threads = [threading.Thread(target=append) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seed in range(4):
        with pytest.raises(MessagesRefused):
            log.append([Message(topics["small"], b"k", noise(LIMIT * 3, seed))])
    stop.set()
    for thread in threads:
        thread.join()
    assert [error for error in failures if isinstance(error, MessagesRefused)] == []


def test_a_denied_topic_harms_its_own_messages_alone(admin, log, topics):
    sent = [Message(topics[t], b"k%d" % n, b"v%d" % n) for n in range(50) for t in topics]
    log.append(sent[:2])
    with denied(admin, topics["small"]):
        wait_until(lambda: not_let_in(log, topics["small"]))
        with pytest.raises(MessagesRefused, match="ACLs") as caught:
            log.append(sent)
        assert {sent[n].topic for n in caught.value.refused} == {topics["small"]}
        assert all(isinstance(why, MessageDenied) for why in caught.value.refused.values())
        assert len(caught.value.refused) == 50
        assert len(values(log, topics["plain"])) == 1 + 50
        # A process waits to be let in, and goes on.
        patient = RetryingLog(log, stop=threading.Event(), retry_seconds=0.1)
        waiting = threading.Thread(target=patient.append, args=(sent[:2],))
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()
    assert log.append(sent[:2])


def is_there(log, topic):
    with suppress(TopicError):
        return log.partitions(topic) > 0
    return False


def not_let_in(log, topic):
    try:
        log.append([Message(topic, b"k", b"try")])
    except MessagesRefused:
        return True
    return False


def test_history_has_its_times_and_nobody_else_may_write_meanwhile(log, topics):
    topic = topics["plain"]
    dated = [Message(topic, b"k", b"v%d" % n, timestamp_ms=1000 + n, partition=0) for n in range(3)]
    log.append(dated)
    log.append([Message(topic, b"k", b"now", partition=0)])
    records = log.read(TopicPartition(topic, 0), 0)
    assert [record.timestamp_ms for record in records[:3]] == [1000, 1001, 1002]
    assert all(not record.headers for record in records)
    # Copied by somebody else, the header tells no time.
    other = kafka.KafkaConsumer(bootstrap_servers=log._bootstrap, **LOGIN)
    place = kafka.TopicPartition(f"refused.{topic}", 0)
    other.assign([place])
    other.seek(place, 0)
    raw = [r for batch in other.poll(10_000).values() for r in batch]
    other.close()
    log.append([Message(topic, b"k", b"copy", tuple(raw[0].headers), partition=1)])
    (copied,) = log.read(TopicPartition(topic, 1), 0)
    assert copied.timestamp_ms > 1_000_000
    assert copied.headers == tuple(raw[0].headers)


def test_a_topic_that_was_deleted_or_made_anew_is_told(kafka_broker, admin, topics):
    hasty = {"max_block_ms": 700, "request_timeout_ms": 700, "delivery_timeout_ms": 2000}
    log = KafkaLog(kafka_broker.bootstrap, prefix="refused.", **hasty)
    topic, name = topics["plain"], f"refused.{topics['plain']}"
    log.append([Message(topic, b"k", b"v")])
    admin.delete_topics([name])
    wait_until(lambda: name not in admin.list_topics())
    with pytest.raises(LogLost, match="was deleted"):
        log.append([Message(topic, b"k", b"v")])
    assert name not in admin.list_topics()
    admin.create_topics({name: {"num_partitions": 2}})
    with pytest.raises(LogLost, match="made anew"):
        log.partitions(topic)
    log.close()
