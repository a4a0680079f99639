"""Records on Kafka that nobody can use, one in each topic: the loop goes on, and they are kept."""

import json
import time
from collections import Counter
from contextlib import ExitStack
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from bandit.learning.worker import run_learner
from bandit.service.state import Snapshots
from streams.__main__ import app
from streams.catalogue.state import catalogue_message
from streams.dead_letters import read_dead_letters
from streams.events import (
    CATALOGUE,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Action,
    Placement,
    encode,
)
from streams.ingest.mapping import TopicMapping
from streams.ingest.worker import run_ingest
from streams.join.partition import TICK
from streams.join.worker import run_joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.topics import create_topics
from tests.bandit.decisions import a_decision
from tests.streams.ingest.ingesting import running

pytestmark = pytest.mark.kafka

PATIENCE_SECONDS = 60
POISON = b'\xff{"type":"poison"'
HEADERS = (("shop", b"\xff\x00"), ("traceparent", b"00-malformed"))
LAID_ASIDE = (DECISIONS, OUTCOMES, INTERACTIONS, CATALOGUE, "clicks")
CLICKS = TopicMapping(topic="clicks", event_id="e", kind="k")
DECISION = a_decision("e-1", (Action("a"), Action("b")), (0.5, 0.5), 0)


class Cluster:
    """Our log and a team's on one cluster, and what happened where."""

    def __init__(self, broker):
        self.prefix = f"poison-{uuid4().hex[:8]}."
        self.url = f"kafka://{broker.bootstrap}?prefix={self.prefix}"
        self.team_url = f"kafka://{broker.bootstrap}?prefix=team-{self.prefix}"
        self.log = KafkaLog(broker.bootstrap, prefix=self.prefix)
        self.team = KafkaLog(broker.bootstrap, prefix=f"team-{self.prefix}")
        self.poisoned = {}
        self.refused = 0
        self.served = ""

    def of(self, topic):
        return self.team if topic == "clicks" else self.log

    def poison(self, topic):
        log = self.of(topic)
        message = Message(topic, b"k", POISON, HEADERS, partition=log.partitions(topic) - 1)
        (written,) = log.append([message])
        self.poisoned[topic] = (topic, written.partition, written.offset)

    def run(self, *words):
        done = CliRunner().invoke(app, [*map(str, words), "--log", self.url])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def lag(self, mapping):
        more = ("--mapping", mapping, "--source", self.team_url, "--format", "json")
        return json.loads(self.run("lag", *more))

    def close(self):
        self.log.close()
        self.team.close()


@pytest.fixture(scope="module")
def cluster(kafka_broker, tmp_path_factory):
    """A cluster with poison in every topic, after the loop ran over it."""
    cluster = Cluster(kafka_broker)
    log, team = cluster.log, cluster.team
    create_topics(log, partitions=2)
    team.create_topic("clicks", partitions=2)
    log.append([catalogue_message(Placement(name="home"))])
    for topic in (*LAID_ASIDE, POLICIES):
        cluster.poison(topic)
    decision = encode(DECISION).replace(b'"timestamp_ms":0', b'"timestamp_ms":%d' % now_ms())
    log.append([Message(DECISIONS, b"e-1", decision)])
    team.append([Message("clicks", b"k", b'{"e":"e-1","k":"click"}')])
    go_round(cluster, tmp_path_factory.mktemp("poison"))
    yield cluster
    cluster.close()


def go_round(cluster, folder):
    """Runs every process until the click has come back as a policy."""
    log = cluster.log
    snapshots = Snapshots(log)
    with ExitStack() as processes:
        threads = [
            processes.enter_context(running(run_joiner, log, folder / "join")),
            processes.enter_context(running(run_learner, log, folder / "learn")),
            processes.enter_context(
                running(run_ingest, log, folder / "ingest", [CLICKS], source=cluster.team)
            ),
        ]
        snapshots.start()
        processes.callback(snapshots.stop)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not came_round(cluster, snapshots):
            assert all(thread.is_alive() for thread in threads), "one of them ended"
            assert time.monotonic() < deadline, "it does not come round"
            time.sleep(0.1)
    cluster.refused = snapshots.refused
    cluster.served = snapshots.placement("home").version


def came_round(cluster, snapshots):
    home = snapshots.placement("home")
    # The provisional interaction, and the one that the click corrects.
    learned = home is not None and not home.version.endswith(("@0", "@1"))
    return learned and len([*read_dead_letters(cluster.log)]) >= len(LAID_ASIDE)


def now_ms():
    return int(time.time() * 1000)


def test_what_nobody_can_use_is_laid_aside_with_where_it_was(cluster):
    letters = {letter.source[0]: letter for letter in read_dead_letters(cluster.log)}
    assert set(letters) == set(LAID_ASIDE)
    for topic, letter in letters.items():
        assert letter.source == cluster.poisoned[topic]
        assert (letter.key, letter.value, letter.headers) == (b"k", POISON, HEADERS)
        assert letter.reason == ("mapping_not_json" if topic == "clicks" else "schema_error")


def test_a_snapshot_that_cannot_be_read_is_counted_and_a_sound_one_served(cluster):
    """It follows from others and replaces itself, so there is nothing to keep it for."""
    assert cluster.refused == 1
    assert not cluster.served.endswith("@0")


def test_lag_is_what_each_group_has_not_saved(cluster, tmp_path):
    mapping = tmp_path / "clicks.yaml"
    mapping.write_text("topic: clicks\nevent_id: e\nkind: k\n")
    rows = cluster.lag(mapping)
    places = Counter((row["group"], row["topic"]) for row in rows)
    groups = [("joiner", DECISIONS), ("joiner", OUTCOMES), ("learner", INTERACTIONS)]
    assert places == dict.fromkeys([*groups, ("ingest", "clicks")], 2)
    for row in rows:
        place = TopicPartition(row["topic"], row["partition"])
        # A partition that nothing ever came to has nothing committed.
        committed = row["committed"] or 0
        assert row["lag"] == row["end"] - committed
        # Time is helped on to the very end.
        left = cluster.of(place.topic).read(place, committed)
        assert all(record.value == TICK for record in left)
    cluster.team.append([Message("clicks", b"k", b"{}")] * 3)
    behind = {
        row["partition"]: row["lag"] for row in cluster.lag(mapping) if row["group"] == "ingest"
    }
    assert sorted(behind.values()) == [0, 3]


def test_a_letter_is_listed_shown_mended_and_sent_again(cluster, tmp_path):
    listed = json.loads(cluster.run("dead-letter", "list", "--format", "json"))
    assert listed["counts"] == {"schema_error": 4, "mapping_not_json": 1}
    topic, partition, offset = cluster.poisoned["clicks"]
    (letter,) = [x for x in listed["letters"] if x["source"] == f"{topic}/{partition}@{offset}"]
    shown = json.loads(cluster.run("dead-letter", "show", letter["id"], "--format", "json"))
    assert shown == letter
    assert shown["headers"][0] == {"name": "shop", "value": {"base64": "/wA="}}
    mended = tmp_path / "mended.json"
    mended.write_bytes(b'{"e":"e-1","k":"click"}')
    words = ("dead-letter", "replay", letter["id"], "--value", mended, "--format", "json")
    (sent,) = json.loads(cluster.run(*words, "--source", cluster.team_url))
    place = TopicPartition("clicks", sent["partition"])
    (record, *_) = cluster.team.read(place, sent["offset"])
    assert (record.key, record.value) == (b"k", mended.read_bytes())
    again = (
        ("replayed-from", letter["id"].encode()),
        ("replayed-origin", letter["source"].encode()),
    )
    assert record.headers == HEADERS + again
