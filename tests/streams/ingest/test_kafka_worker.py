"""Ingest from a team's own topic on Kafka: each record counts once, whoever reads it how often."""

import json
import random
import threading
from collections import Counter
from uuid import uuid4

import kafka
import pytest

from streams.dead_letters import read_dead_letters, replay
from streams.errors import DeadLetterError
from streams.ingest.worker import run_ingest
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.topics import create_topics
from tests.streams.ingest.ingesting import (
    CLICKS,
    Crash,
    Fragile,
    click,
    outcomes,
    running,
    wait_until,
)

pytestmark = pytest.mark.kafka

PARTITIONS = 4
ROWS = [b"{%d" % n if n % 10 == 0 else json.dumps(click(n)).encode() for n in range(400)]
WRONG = Counter(row for row in ROWS if row.startswith(b"{") and b":" not in row)
GROUP_OPTIONS = {"heartbeat_interval_ms": 200, "metadata_max_age_ms": 300}


@pytest.fixture
def prefix():
    return f"ingest-{uuid4().hex[:8]}."


@pytest.fixture
def log(kafka_broker, prefix):
    log = KafkaLog(kafka_broker.bootstrap, prefix=prefix)
    create_topics(log, partitions=2)
    yield log
    log.close()


@pytest.fixture
def team(kafka_broker, prefix):
    """The cluster as the team sees it: its topics have another prefix, or none."""
    log = KafkaLog(kafka_broker.bootstrap, prefix=f"team-{prefix}", **GROUP_OPTIONS)
    log.create_topic("clicks", partitions=PARTITIONS)
    yield log
    log.close()


def write(team, rows):
    team.append([Message("clicks", b"user-%d" % (n % 7), row) for n, row in enumerate(rows)])


def all_came(log):
    """Whether each record that makes an outcome has made one."""
    return len({o.outcome_id for o in outcomes(log)}) >= len(ROWS) - len(WRONG)


def assert_each_once(log):
    """After deduplication by the outcome's id, which is the record's place."""
    by_id = {outcome.outcome_id: outcome.event_id for outcome in outcomes(log)}
    assert sorted(by_id.values()) == sorted(json.loads(r)["e"] for r in ROWS if r not in WRONG)
    assert Counter(letter.value for letter in read_dead_letters(log)) == WRONG


def test_a_crash_between_append_and_checkpoint_counts_nothing_twice(log, team, tmp_path):
    write(team, ROWS)
    # Killed when something was written that no checkpoint knows of, twice in a row.
    for appends in (2, 1):
        fragile = Fragile(log, appends, Crash(), written=True)
        with pytest.raises(Crash):
            run_ingest(
                *(fragile, tmp_path, [CLICKS]), stop=threading.Event(), source=team, batch=50
            )
    with running(run_ingest, log, tmp_path, [CLICKS], source=team) as thread:
        wait_until(lambda: all_came(log), thread)
    assert len(outcomes(log)) > len(ROWS) - len(WRONG), "nothing was read twice"
    assert_each_once(log)
    ends = [team.end_offset(TopicPartition("clicks", n)) for n in range(PARTITIONS)]
    assert [
        team.committed("ingest", TopicPartition("clicks", n)) for n in range(PARTITIONS)
    ] == ends


def test_two_ingests_share_the_topic_and_hand_it_over(log, team, tmp_path):
    """Another joins the one that reads, on a machine of its own, and leaves again."""

    def ingesting(name):
        options = {"source": team, "batch": 20, "checkpoint_seconds": 0.1}
        return running(run_ingest, log, tmp_path / name, [CLICKS], **options)

    def held(name):
        return len([*(tmp_path / name).glob("*.checkpoint")])

    write(team, ROWS[:200])
    with ingesting("one") as one:
        wait_until(lambda: held("one") == PARTITIONS, one)
        with ingesting("another") as another:
            wait_until(lambda: held("another") == PARTITIONS // 2, one, another)
            write(team, ROWS[200:300])
            wait_until(lambda: len(outcomes(log)) >= 270, one, another)
        write(team, ROWS[300:])
        wait_until(lambda: all_came(log), one)
    assert len(outcomes(log)) == len(ROWS) - len(WRONG), "handed over, it is not read again"
    assert_each_once(log)


def test_a_record_that_the_dead_letters_do_not_take_stops_nothing(
    kafka_broker, prefix, team, tmp_path
):
    admin = kafka.KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    limited = {"max.message.bytes": str(1 << 20)}
    admin.create_topics({f"{prefix}dead-letter": {"num_partitions": 1, "configs": limited}})
    admin.close()
    log = KafkaLog(kafka_broker.bootstrap, prefix=prefix)
    create_topics(log)
    huge = random.Random(1).randbytes(3 << 20)
    (at,) = team.append([Message("clicks", b"k", huge, partition=0)])
    team.append([Message("clicks", b"k", json.dumps(click(1)).encode(), partition=0)])
    with running(run_ingest, log, tmp_path, [CLICKS], source=team) as thread:
        wait_until(lambda: outcomes(log) and list(read_dead_letters(log)), thread)
    (letter,) = read_dead_letters(log)
    assert (letter.reason, letter.source) == ("too_large", ("clicks", 0, at.offset))
    assert huge.startswith(letter.value)
    assert len(letter.value) >= 1000
    with pytest.raises(DeadLetterError, match="only the first bytes"):
        replay(log, [letter])
    log.close()
