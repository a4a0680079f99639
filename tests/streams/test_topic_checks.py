"""Topics on Kafka as a platform team makes them: what is wrong is told, with what mends it."""

import json
import shlex
from contextlib import closing
from uuid import uuid4

import kafka
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from bandit.service.ops.doctor import Patient, _log
from bandit.service.settings import load_settings
from streams.catalogue.state import catalogue_message
from streams.events import (
    ACTS,
    CATALOGUE,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Placement,
    RewardRule,
)
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.kafka import KafkaLog
from streams.process import long_running
from streams.topic_checks import topic_commands, topic_faults
from streams.topics import LAYOUT, create_topics, topic_states
from tests.streams.commands.test_log import run
from tests.streams.ingest.ingesting import wait_until

TOOLS = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
}


@pytest.fixture
def prefix():
    return f"checked-{uuid4().hex[:8]}."


@pytest.fixture
def log(kafka_broker, prefix):
    log = KafkaLog(kafka_broker.bootstrap, prefix=prefix)
    yield log
    log.close()


@pytest.fixture
def admin(kafka_broker):
    client = kafka.KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    yield client
    client.close()


def wrong(log):
    return {(fault.topic, fault.setting, fault.there) for fault in topic_faults(log)}


def test_a_log_in_a_file_has_nothing_to_set():
    log = MemoryLog()
    create_topics(log, partitions=3)
    assert topic_faults(log) == []


@pytest.mark.kafka
def test_topics_that_we_made_are_as_they_must_be(log):
    create_topics(log, partitions=3)
    assert topic_faults(log) == []


@pytest.mark.kafka
def test_topics_made_by_the_clusters_defaults_are_told(log, admin, prefix, caplog, kafka_broker):
    counts = {DECISIONS: 2, OUTCOMES: 1}
    layouts = {
        prefix + t.name: {"num_partitions": counts.get(t.name, 1), "replication_factor": 1}
        for t in LAYOUT
    }
    admin.create_topics(layouts, wait_for_metadata=True)
    found = wrong(log)
    assert {topic for topic, *_ in found} == {topic.name for topic in LAYOUT}
    week = str(7 * 86_400_000)
    assert found >= {
        (CATALOGUE, "retention.ms", week),
        (OUTCOMES, "partitions", "1"),
        (DECISIONS, "message.timestamp.type", "CreateTime"),
        (POLICIES, "cleanup.policy", "delete"),
        (INTERACTIONS, "max.message.bytes", "1048588"),
    }
    assert (DECISIONS, "retention.ms", week) not in found, "no window is that long"
    url = f"kafka://{kafka_broker.bootstrap}?prefix={prefix}"
    with long_running("join", url):
        pass
    assert f"topic catalogue: retention.ms is {week}, must be -1" in caplog.text
    settings = load_settings({"log": url}, {})
    told = [found for _, found, _ in _log(Patient(settings, log, 0))]
    assert any("topic outcomes: partitions is 1, must be 2" in each for each in told)


@pytest.mark.kafka
def test_a_topic_of_one_order_with_more_partitions_is_told(log, admin, prefix):
    layout = {"num_partitions": 3, "replication_factor": 1}
    admin.create_topics({prefix + CATALOGUE: layout}, wait_for_metadata=True)
    assert (CATALOGUE, "partitions", "3") in wrong(log)


@pytest.mark.kafka
def test_retention_shorter_than_a_window_is_told(log, admin, prefix):
    create_topics(log)
    rule = RewardRule(window_seconds=3 * 86_400)
    log.append([catalogue_message(Placement(name="p", reward=rule))])
    for days, expected in ((2, {(DECISIONS, "retention.ms", str(2 * 86_400_000))}), (4, set())):
        altered(admin, prefix + DECISIONS, {"retention.ms": str(days * 86_400_000)})
        assert wrong(log) == expected


def altered(admin, name, settings):
    resource = ConfigResource(ConfigResourceType.TOPIC, name, settings)
    admin.alter_configs([resource])


@pytest.mark.kafka
def test_the_commands_set_right_what_is_wrong(log, admin, prefix, kafka_broker):
    with closing(KafkaLog(kafka_broker.bootstrap, prefix=prefix)) as first:
        create_topics(first, partitions=2)
    admin.delete_topics([prefix + ACTS])
    altered(admin, prefix + POLICIES, {"max.compaction.lag.ms": "86400000000"})
    altered(admin, prefix + DECISIONS, {"retention.bytes": "1000", "max.message.bytes": "5000"})
    admin.create_partitions({prefix + OUTCOMES: 3})
    states = topic_states(log, create=False)
    url = f"kafka://{kafka_broker.bootstrap}?prefix={prefix}"
    printed = run("topics", "--log", url, "--dry-run")
    commands = [line for line in printed.splitlines() if line.startswith("kafka-")]
    expected = {"bootstrap": kafka_broker.bootstrap, "prefix": prefix}
    assert commands == topic_commands(states, topic_faults(log), **expected)
    assert len(commands) == 4
    rows = json.loads(run("topics", "--log", url, "--dry-run", "--format", "json"))
    assert {row["topic"] for row in rows if row["wrong"]} == {DECISIONS, POLICIES}
    for command in commands:
        name, *words = shlex.split(command)
        kafka_broker.java(TOOLS[name], *words)
    wait_until(lambda: topic_faults(log) == [])
    assert {state.state for state in topic_states(log, create=False)} == {"there"}


@pytest.mark.kafka
def test_policies_are_compacted_while_they_are_written(log, admin, prefix):
    create_topics(log)
    altered(admin, prefix + POLICIES, {"max.compaction.lag.ms": "500"})
    place = TopicPartition(POLICIES, 0)

    def replaced():
        log.append([Message(POLICIES, b"home", b"x" * 1000) for _ in range(100)])
        return len(log.read(place, 0)) < log.end_offset(place) // 2

    wait_until(replaced)
