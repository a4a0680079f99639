import shlex

import pytest

from bandit.learning.versions import counted, versions_of
from bandit.learning.worker import run_learner
from bandit.lifecycle import rejected
from bandit.service.auth.keys import KeyRing, key_messages, make_key
from bandit.service.compat.openfeature.flags import Assignments
from bandit.service.state import Snapshots
from generator.refresh import Rotator
from generator.versions.registry import VersionRegistry
from streams.archive.parquet import ARCHIVED, run_archive
from streams.catalogue.audit_log import latest_acts
from streams.catalogue.state import catalogue_message
from streams.events import (
    ACCESS,
    ASSIGNMENTS,
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    TOPICS,
    Placement,
)
from streams.events.creatives import GeneratorVersion
from streams.ingest.mapping import Kind, TopicMapping
from streams.ingest.worker import run_ingest
from streams.inspect import Lag, lags
from streams.join.worker import run_joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.topics import GROUPS, LAYOUT, PROCESSES, acl_commands, create_topics, topic_states
from tests.streams.ingest.ingesting import running, wait_until
from tests.streams.join.joiner_runs import decided
from tests.streams.logs.log_laws import Follower


@pytest.fixture
def log(empty_log):
    return empty_log


def test_every_topic_has_a_layout():
    assert tuple(topic.name for topic in LAYOUT) == TOPICS


def test_what_would_be_made_is_then_made(log):
    planned = topic_states(log, partitions=3, create=False)
    assert {state.state for state in planned} == {"missing"}
    assert {state.state for state in topic_states(log, partitions=3, create=True)} == {"made"}
    there = topic_states(log, partitions=99, create=False)
    assert {state.state for state in there} == {"there"}
    assert [state.partitions for state in there] == [state.partitions for state in planned]
    assert {s.topic.name: s.partitions for s in there} == {
        name: log.partitions(name) for name in TOPICS
    }


def test_decisions_and_outcomes_are_co_partitioned_and_the_catalogue_is_one(log):
    create_topics(log, partitions=5)
    counts = {name: log.partitions(name) for name in TOPICS}
    assert counts["decisions"] == counts["outcomes"] == 5
    assert counts["catalogue"] == counts["dead-letter"] == 1


def test_only_policies_keys_and_assignments_are_compacted(log):
    create_topics(log)
    for name in TOPICS:
        log.append([Message(name, b"k", b"%d" % n) for n in range(3)])
    kept = {name: len(log.read(TopicPartition(name, 0), 0)) for name in TOPICS}
    compact = [POLICIES, ACCESS, ASSIGNMENTS]
    assert kept == dict.fromkeys(TOPICS, 3) | dict.fromkeys(compact, 1)
    assert [topic.name for topic in LAYOUT if topic.compact] == compact


def test_lag_is_what_a_group_has_not_saved(log):
    create_topics(log)
    log.append([Message(INTERACTIONS, b"k", b"%d" % n) for n in range(5)])
    partition = TopicPartition(INTERACTIONS, 0)
    assert lags(log, {"g": [INTERACTIONS]}) == [Lag("g", INTERACTIONS, 0, None, 5, 5)]
    consumer = log.consumer([INTERACTIONS], Follower(), group="g")
    consumer.commit({partition: 3})
    assert lags(log, {"g": [INTERACTIONS]}) == [Lag("g", INTERACTIONS, 0, 3, 5, 2)]
    consumer.commit({partition: 5})
    assert lags(log, {"g": [INTERACTIONS]}) == [Lag("g", INTERACTIONS, 0, 5, 5, 0)]
    consumer.close()


class Watched(MemoryLog):
    """A log that knows who read and wrote what."""

    def __init__(self):
        super().__init__()
        self.reads, self.writes, self.groups = set(), set(), set()

    def watch(self):
        for seen in (self.reads, self.writes, self.groups):
            seen.clear()

    def append(self, messages):
        self.writes.update(message.topic for message in messages)
        return super().append(messages)

    def read(self, partition, offset, *, limit=1000):
        self.reads.add(partition.topic)
        return super().read(partition, offset, limit=limit)

    def end_offsets(self, partitions):
        self.reads.update(partition.topic for partition in partitions)
        return super().end_offsets(partitions)

    def consumer(self, topics, assignee, *, group=None):
        self.reads.update(topics)
        self.groups.add(group)
        return super().consumer(topics, assignee, group=group)


def run_briefly(target, *arguments, until, **options):
    """Runs a process of ours in a thread until it has done what we wait for."""
    with running(target, *arguments, **options) as thread:
        wait_until(until, thread)


@pytest.fixture
def watched():
    """A log with something in it for everyone, and something that nobody can use."""
    log = Watched()
    create_topics(log)
    log.create_topic("clicks")
    log.append([catalogue_message(Placement(name="p"))])
    junk = [Message(topic, b"k", b"{") for topic in (DECISIONS, OUTCOMES, INTERACTIONS, "clicks")]
    log.append([decided("e"), *junk])
    log.append([Message("clicks", b"k", b'{"e":"e"}')])
    return log


def wrote(log, *topics):
    return lambda: log.writes >= set(topics)


def join(log, directory):
    run_briefly(run_joiner, log, directory, until=wrote(log, INTERACTIONS, DEAD_LETTER))


def learn(log, directory):
    join(log, directory)
    log.watch()
    run_briefly(run_learner, log, directory, until=wrote(log, POLICIES, DEAD_LETTER))


def archive(log, directory):
    def until():
        return len([*directory.glob("*/*.parquet")]) == 4

    run_briefly(run_archive, log, directory, until=until, interval_seconds=0.01)


def ingest(log, directory):
    mapping = TopicMapping(topic="clicks", event_id="e", kind=Kind(constant="click"))
    until = wrote(log, OUTCOMES, DEAD_LETTER)
    run_briefly(run_ingest, log, directory, [mapping], until=until)


def api(log, directory):
    snapshots = Snapshots(log)
    snapshots.start()
    snapshots.stop()
    counted(log, "p", versions_of(snapshots.catalogue.dated_history("p")))
    key, _ = make_key("k", ["rank"], 0)
    log.append(key_messages("me", "created", None, key, 0))
    KeyRing(log, lambda: 0).catch_up()
    assert latest_acts(log, limit=1)
    Assignments(log, lambda: 0).catch_up()


def generator(log, directory):
    log.append([catalogue_message(GeneratorVersion(id="v", status="candidate", timestamp_ms=1))])
    VersionRegistry(log, "generator").move(rejected, "v", "nonsense")
    Rotator(log).states()


@pytest.mark.parametrize("run", [join, learn, archive, ingest, api, generator])
def test_a_process_is_let_in_to_what_it_needs_and_no_more(watched, tmp_path, run):
    watched.watch()
    run(watched, tmp_path)
    (access,) = [access for access in PROCESSES if access.process == run.__name__]
    assert watched.reads - {"clicks"} == set(access.reads)
    assert watched.writes <= set(access.writes)
    assert watched.groups - {None} == ({access.group} - {None})
    if access.group in GROUPS:
        assert set(GROUPS[access.group]) <= set(access.reads)


def test_the_archive_is_let_in_to_what_it_archives():
    (archive,) = [access for access in PROCESSES if access.process == "archive"]
    assert set(archive.reads) == set(ARCHIVED)


def test_the_rules_are_commands_for_a_shell():
    commands = acl_commands(
        "one:9092,two:9092",
        prefix="ads.",
        ingested=["the clicks"],
        principal="User:CN={process},O=shop & co",
    )
    parsed = [shlex.split(command) for command in commands]
    for words in parsed:
        assert words[:4] == ["kafka-acls", "--bootstrap-server", "one:9092,two:9092", "--add"]
        assert words[4] == "--allow-principal"
        assert words[6] == "--operation"
        assert all(name.startswith("ads.") for name in words[9::2])
    who = {words[5] for words in parsed}
    assert who == {f"User:CN={access.process},O=shop & co" for access in PROCESSES}
    ingest = [words for words in parsed if "CN=ingest" in words[5]]
    assert [words[7:] for words in ingest] == [
        ["Describe", *(word for name in TOPICS for word in ("--topic", f"ads.{name}"))],
        ["Read", "--topic", "ads.dead-letter", "--topic", "ads.the clicks"],
        ["Write", "--topic", "ads.outcomes", "--topic", "ads.dead-letter"],
        ["Read", "--group", "ads.ingest"],
    ]
