"""What others may do to the topics on Kafka, and a start without checkpoints on short timeouts."""

import logging
import time
from uuid import uuid4

import kafka
import msgspec
import pytest

from streams.dead_letters import JOINED
from streams.errors import TopicError
from streams.events import DEAD_LETTER, INTERACTIONS, OUTCOMES
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.logs.kafka.producer import TIMESTAMP
from streams.topics import create_topics
from tests.streams.join.joiner_runs import (
    append_all,
    assert_joined,
    by_source,
    decided,
    history,
    interactions,
    join_all,
    joining,
    letters,
    prepare,
    reasons,
    wait_until,
)

pytestmark = pytest.mark.kafka
MINUTE_MS = 60_000


@pytest.fixture
def prefix():
    return f"hostile-{uuid4().hex[:8]}."


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


@pytest.fixture
def foreign(kafka_broker):
    """A producer of somebody else, that compresses."""
    options = {"compression_type": "gzip", "max_request_size": 64 << 20}
    client = kafka.KafkaProducer(bootstrap_servers=kafka_broker.bootstrap, **options)
    yield client
    client.close()


def click(event_id, outcome_id, **more):
    event = {"type": "outcome", "event_id": event_id, "outcome_id": outcome_id, "kind": "click"}
    return msgspec.json.encode(event | {"timestamp_ms": int(time.time() * 1000)} | more)


def by_event(log):
    return {i.decision.event_id: i for i in interactions(log)}


def rewards(log):
    return {event: interaction.reward for event, interaction in by_event(log).items()}


class Slow(KafkaLog):
    """A log whose outputs take long to read."""

    def read(self, partition, offset, *, limit=1000):
        if partition.topic == INTERACTIONS:
            time.sleep(0.4)
        return super().read(partition, offset, limit=20)


def test_a_cold_start_outlasts_every_timeout_of_the_group(
    kafka_broker, prefix, log, tmp_path, caplog
):
    prepare(log)
    append_all(log, history(150))
    join_all(log, tmp_path / "one")
    timeouts = {
        "session_timeout_ms": 4000,
        "heartbeat_interval_ms": 200,
        "max_poll_interval_ms": 4500,
    }
    slow = Slow(kafka_broker.bootstrap, prefix=prefix, **timeouts)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), joining(slow, tmp_path / "two") as future:
        log.append([decided("new")])
        wait_until(lambda: "new" in by_event(log), future)
    assert time.monotonic() - began > 4.5, "nothing was slow"
    slow.close()
    assert "lost" not in caplog.text
    by_source(log)


def test_a_side_that_was_paused_is_read_to_its_end(log, tmp_path, monkeypatch):
    monkeypatch.setattr("streams.join.worker.WAITING_LIMIT", 100)
    prepare(log)
    append_all(log, history(600))
    join_all(log, tmp_path, batch=70)
    assert_joined(log)


@pytest.mark.parametrize("source", ["create time", "header"])
def test_a_time_yet_to_come_holds_up_nothing(source, log, admin, foreign, prefix, tmp_path):
    create_time = {"message.timestamp.type": "CreateTime"}
    settings = {"configs": create_time} if source == "create time" else {}
    admin.create_topics({f"{prefix}{OUTCOMES}": {"num_partitions": 2, **settings}})
    prepare(log)
    log.append([decided("e-1"), decided("e-2")])
    later_ms = int(time.time() * 1000) + 50 * MINUTE_MS
    for number in (0, 1):
        options = {"partition": number, "timestamp_ms": later_ms}
        headers = []
        if source == "header":
            options, headers = {"partition": number}, [(TIMESTAMP, b"4102444800000")]
        foreign.send(prefix + OUTCOMES, click("e-1", f"early-{number}"), headers=headers, **options)
    foreign.flush()
    log.append([Message(OUTCOMES, b"e-2", click("e-2", "o"))])
    # Of clicks that come now, the one in the other partition is sent on, and counts as well.
    earned = {"e-1": 0.0 if source == "create time" else 2.0, "e-2": 1.0}
    with joining(log, tmp_path) as future:
        wait_until(lambda: rewards(log) == earned, future)
        if source == "create time":
            wait_until(lambda: len(letters(log)) == 2, future)
    assert set(reasons(log)) <= {"time_ahead"}
    # However often the records are read again, the letters stay two, and the outcomes laid aside.
    with joining(log, tmp_path / "again") as future:
        log.append([decided("e-3")])
        wait_until(lambda: "e-3" in rewards(log), future)
    assert reasons(log).count("time_ahead") == (2 if source == "create time" else 0)
    by_source(log)


def test_a_record_too_large_is_laid_aside_with_its_first_bytes(log, foreign, prefix, tmp_path):
    prepare(log)
    log.append([decided("e-1"), decided("e-2")])
    huge = click("e-1", "huge", junk="x" * (20 << 20))
    at = foreign.send(prefix + OUTCOMES, huge, b"e-1").get(60)
    log.append([Message(OUTCOMES, e.encode(), click(e, "o")) for e in ("e-1", "e-2")])
    with joining(log, tmp_path) as future:
        wait_until(lambda: rewards(log) == {"e-1": 1.0, "e-2": 1.0}, future)
    ((reason, topic, partition, offset, value),) = letters(log)
    assert (reason, topic, partition, offset) == ("too_large", OUTCOMES, at.partition, at.offset)
    assert huge.startswith(value)
    assert len(value) >= 1000


def test_an_interaction_that_its_topic_does_not_take_stops_nothing(log, admin, prefix, tmp_path):
    limited = {"configs": {"max.message.bytes": "20000"}}
    for topic, count in ((INTERACTIONS, 2), (DEAD_LETTER, 1)):
        admin.create_topics({prefix + topic: {"num_partitions": count, **limited}})
    prepare(log)
    noise = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(40_000))
    log.append([decided("e-1", context={"text": noise}), decided("e-2")])
    with joining(log, tmp_path) as future:
        wait_until(lambda: len(letters(log)) == 1 and "e-2" in rewards(log), future)
    ((reason, *place, _),) = letters(log)
    assert reason == "too_large"
    assert place[0] == JOINED
    with joining(log, tmp_path / "again") as future:
        log.append([decided("e-3")])
        wait_until(lambda: "e-3" in rewards(log), future)
    assert len(letters(log)) == 1, "it is laid aside once"


def test_an_open_transaction_of_others_makes_few_ticks(kafka_broker, log, prefix, tmp_path):
    prepare(log)
    options = {"transactional_id": f"t-{uuid4().hex}", "transaction_timeout_ms": 30_000}
    other = kafka.KafkaProducer(bootstrap_servers=kafka_broker.bootstrap, **options)
    other.init_transactions()
    other.begin_transaction()
    for number in (0, 1):
        other.send(prefix + OUTCOMES, click("nobody", "o"), partition=number).get(30)
    with joining(log, tmp_path) as future:
        log.append([decided(f"e-{n}") for n in range(20)])
        # What the log itself has grown by shows the ticks: readers do not see past a transaction.
        time.sleep(3.0)
        other.commit_transaction()
        wait_until(lambda: len(rewards(log)) == 20, future)
        counts = {n: log.end_offset(TopicPartition(OUTCOMES, n)) for n in (0, 1)}
    other.close()
    assert all(count < 15 for count in counts.values()), counts


def test_a_topic_that_is_deleted_stops_the_joiner_and_stays_away(log, admin, prefix, tmp_path):
    prepare(log)
    log.append([decided("e-1")])
    with joining(log, tmp_path) as future:
        wait_until(lambda: "e-1" in rewards(log), future)
        admin.delete_topics([prefix + OUTCOMES])
        error = future.exception(timeout=60)
    assert error.code == "log_lost"
    assert "was deleted" in str(error)
    assert prefix + OUTCOMES not in admin.list_topics()


def test_a_catalogue_of_two_partitions_is_refused_at_the_start(log, admin, prefix):
    admin.create_topics({f"{prefix}catalogue": {"num_partitions": 2}})
    with pytest.raises(TopicError, match="2 partitions; expected 1"):
        create_topics(log)
