"""CloudEvents on Kafka, out and in: what others see of our records, and what we read of theirs."""

import json
import time
from uuid import uuid4

import kafka
import pytest

from streams.catalogue.state import catalogue_message
from streams.dead_letters import read_dead_letters
from streams.events import (
    CATALOGUE,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Outcome,
    Placement,
    RewardRule,
    encode,
)
from streams.ingest.mapping import Kind, Timestamp, TopicMapping
from streams.ingest.worker import run_ingest
from streams.join.partition import TICK
from streams.join.worker import run_joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.logs.opening import open_log
from streams.topics import create_topics
from tests.streams.ingest.ingesting import read, running, wait_until
from tests.streams.join.joiner_runs import decided

pytestmark = pytest.mark.kafka

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KINDS = {"shop.ad.clicked": "click"}
IN_BINARY = TopicMapping(
    topic="binary",
    event_id="header:ce_subject",
    kind=Kind(path="header:ce_type", table=KINDS),
    timestamp=Timestamp(path="header:ce_time", unit="iso"),
    outcome_id="header:ce_id",
)
STRUCTURED = TopicMapping(
    topic="structured",
    event_id="data.decision_id",
    kind=Kind(path="type", table=KINDS),
    timestamp=Timestamp(path="time", unit="iso"),
    outcome_id="id",
)


@pytest.fixture
def prefix(kafka_broker):
    return f"ce-{uuid4().hex[:8]}."


@pytest.fixture
def log(kafka_broker, prefix):
    log = open_log(f"kafka://{kafka_broker.bootstrap}?prefix={prefix}&cloudevents=true")
    create_topics(log)
    rule = RewardRule(window_seconds=2, grace_seconds=0.5)
    log.append([catalogue_message(Placement(name="home", learn="window", reward=rule))])
    yield log
    log.close()


@pytest.fixture
def producer(kafka_broker):
    """Somebody else, who writes CloudEvents."""
    producer = kafka.KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
    yield producer
    producer.close()


def decide(log, event_id):
    made = decided(event_id, "home", traceparent=TRACE.decode())
    log.append([made._replace(headers=(("traceparent", TRACE),))])


def attributes(event_id, id_):
    """The headers of somebody else's CloudEvent about the decision, in binary mode."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_.encode()),
        ("ce_source", b"https://shop.example/ads"),
        ("ce_type", b"shop.ad.clicked"),
        ("ce_time", rfc3339_now().encode()),
        ("ce_subject", event_id.encode()),
        ("ce_traceparent", TRACE),
    ]


def rfc3339_now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))


def test_what_copyloop_writes_is_a_cloudevent_and_still_what_it_was(log, prefix, tmp_path):
    decide(log, "e-1")
    log.append([Message(OUTCOMES, b"k", b"{", (("shop", b"1"),))])
    history = Message(OUTCOMES, b"e-0", encode(outcome("e-0")), timestamp_ms=1)
    log.append([history])
    with running(run_joiner, log, tmp_path) as thread:
        # The window ends in silence, so it takes ticks, which must be known for what they are.
        wait_until(lambda: read(log, INTERACTIONS), thread)
    (interaction,) = read(log, INTERACTIONS)
    found = dict(interaction.headers)
    assert found.pop("ce_time").startswith(b"20")
    assert found == {
        "traceparent": TRACE,
        "ce_specversion": b"1.0",
        "ce_id": b"0-0",
        "ce_source": f"copyloop/{prefix}interactions".encode(),
        "ce_type": b"copyloop.interaction.v1",
        "ce_subject": b"e-1",
        "ce_traceparent": TRACE,
        "content-type": b"application/json",
    }
    (decided,), (placement,) = read(log, DECISIONS)[:1], read(log, CATALOGUE)
    assert dict(decided.headers)["ce_type"] == b"copyloop.decision.v1"
    assert dict(placement.headers)["ce_type"] == b"copyloop.placement.v1"
    ticks = [r for topic in (DECISIONS, OUTCOMES) for r in read(log, topic) if r.value == TICK]
    assert {dict(tick.headers)["ce_type"] for tick in ticks} == {b"copyloop.tick.v1"}
    written_back = [r for r in read(log, OUTCOMES) if r.key == b"e-0"]
    assert [record.headers for record in written_back] == [()]
    letters = {letter.value: letter.headers for letter in read_dead_letters(log)}
    assert letters[b"{"] == (("shop", b"1"),)


def outcome(event_id):
    return Outcome(event_id=event_id, outcome_id="o", kind="click", timestamp_ms=1)


def test_others_may_write_cloudevents_into_our_topics(log, prefix, producer, tmp_path):
    decide(log, "e-1")
    now = int(time.time() * 1000) + 1000
    click = Outcome(event_id="e-1", outcome_id="o", kind="click", timestamp_ms=now)
    producer.send(prefix + OUTCOMES, encode(click), b"e-1", attributes("e-1", "x")).get(30)
    with running(run_joiner, log, tmp_path) as thread:
        wait_until(lambda: read(log, INTERACTIONS), thread)
    (record,) = read(log, INTERACTIONS)
    interaction = json.loads(record.value)
    assert interaction["reward"] == 1.0
    assert interaction["outcomes"][0]["traceparent"] == TRACE.decode()


def test_a_team_may_have_cloudevents_in_either_mode(log, prefix, producer, tmp_path, kafka_broker):
    team = KafkaLog(kafka_broker.bootstrap, prefix=f"team-{prefix}")
    for mapping in (IN_BINARY, STRUCTURED):
        team.create_topic(mapping.topic)
    headers = attributes("e-1", "ce-1")
    producer.send(f"team-{prefix}binary", b"\x00avro", b"u", headers).get(30)
    event = {name.removeprefix("ce_"): value.decode() for name, value in attributes("", "ce-2")}
    event |= {"datacontenttype": "application/json", "data": {"decision_id": "e-2"}}
    structured = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    value = json.dumps(event).encode()
    producer.send(f"team-{prefix}structured", value, b"u", structured).get(30)
    mappings = [IN_BINARY, STRUCTURED]
    with running(run_ingest, log, tmp_path, mappings, source=team) as thread:
        wait_until(lambda: log.end_offset(TopicPartition(OUTCOMES, 0)) == 2, thread)
    found = {json.loads(r.value)["outcome_id"]: r for r in read(log, OUTCOMES)}
    assert {id_: json.loads(r.value)["event_id"] for id_, r in found.items()} == {
        "ce-1": "e-1",
        "ce-2": "e-2",
    }
    # What is written of them are CloudEvents of ours.
    ours = dict(found["ce-1"].headers)
    assert (ours["ce_id"], ours["ce_traceparent"]) == (b"e-1/ce-1", TRACE)
    assert not [*read_dead_letters(log)]
    team.close()
