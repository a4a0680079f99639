"""The learner as it runs: what it publishes and saves, refuses, and resumes."""

import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.learning.fold import PartitionFold
from bandit.learning.worker import GROUP, LearnCounts, Learner, run_learner
from bandit.policies import open_policy, parse_policy
from bandit.policy import policy_version
from streams.checkpoint import Checkpoints
from streams.errors import CheckpointError, LockError
from streams.events import DEAD_LETTER, INTERACTIONS, POLICIES, Tick, decode, encode
from streams.fold import AdaptiveInterval, scan_topic
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.logs.sqlite_file import FairLock
from streams.topics import create_topics
from tests.bandit.histories import (
    PARTITION,
    SPECS,
    THOMPSON,
    VW,
    VW_TEXT,
    decision,
    folded,
    interaction,
    interaction_message,
    live,
    lived,
    new_log,
    placement,
    put,
)
from tests.bandit.service.api_server import wait_until as until
from tests.streams.logs.patient import AwayAtTimes
from tests.streams.test_fold import Clock

UNIFORM = {"name": "uniform"}


@contextmanager
def learning(log, directory, **options):
    """A learner in a thread, stopped cleanly at the end."""
    stop = threading.Event()
    options["stop"] = stop
    thread = threading.Thread(target=run_learner, args=(log, directory), kwargs=options)
    thread.start()
    try:
        yield
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(timeout=60)


def published(log, name="home"):
    """The last snapshot of the placement in the log, None if there is none."""
    found = None
    for record in scan_topic(log, POLICIES):
        if record.key == name.encode():
            found = decode(record.value)
    return found


def undisturbed(log, name="home"):
    """The snapshot that one uninterrupted fold of the log leads to."""
    return folded(log).placements[name].snapshot(name, 0)


def dead_letters(log):
    return [dict(r.headers) for r in log.read(TopicPartition(DEAD_LETTER, 0), 0)]


def a_learner(log, directory, *, clock=time.monotonic, publish_seconds=0.0):
    learner = new_learner(log, directory, clock=clock, publish_seconds=publish_seconds)
    starts = learner.assigned([PARTITION])
    return learner, starts[PARTITION]


def new_learner(log, directory, *, clock=time.monotonic, publish_seconds=0.0):
    publishing, saving = (AdaptiveInterval(each, clock) for each in (publish_seconds, 1.0))
    return Learner(log, directory, stop=threading.Event(), publishing=publishing, saving=saving)


@SPECS
def test_what_is_published_is_the_fold_of_the_log(spec, tmp_path):
    log = new_log(placement(policy=spec))
    with learning(log, tmp_path):
        live(log, placement(policy=spec), 40, seed=1)
        until(lambda: published(log) == undisturbed(log))
    assert log.committed(GROUP, PARTITION) == 40


def test_stopping_and_starting_resumes_where_it_was(tmp_path):
    log = new_log(placement())
    live(log, placement(), 10, seed=1)
    with learning(log, tmp_path):
        until(lambda: published(log) is not None)
    saved = Checkpoints(tmp_path).load("learn-0")
    assert saved.offsets[PARTITION] == 10
    live(log, placement(), 10, seed=2, first=10)
    with learning(log, tmp_path):
        until(lambda: published(log) == undisturbed(log))


@settings(deadline=None, max_examples=25)
@given(
    policy=st.sampled_from(["thompson", VW_TEXT]),
    steps=st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["go on", "save", "crash"]))),
)
def test_crashes_anywhere_change_nothing(tmp_path_factory, policy, steps):
    directory = tmp_path_factory.mktemp("checkpoints")
    clock = Clock()
    log = new_log(placement(policy=parse_policy(policy)))
    log.append(lived(policy, 30, seed=5))
    learner, position = a_learner(log, directory, clock=clock)
    for n, then in [*steps, (1000, "save")]:
        records = log.read(PARTITION, position, limit=n)
        learner.step(records)
        position += len(records)
        clock.now += 10
        if then == "save":
            learner.partitions.save_due()
        if then == "crash":
            learner.partitions.abandon()
            learner, position = a_learner(log, directory, clock=clock)
    learner.partitions.abandon()
    expected = undisturbed(log)
    assert published(log) == expected
    saved = PartitionFold.from_bytes(Checkpoints(directory).load("learn-0").state)
    assert saved.placements["home"].snapshot("home", 0) == expected


def test_a_crash_between_saving_and_publishing_still_publishes(tmp_path):
    log = new_log(placement())
    live(log, placement(), 5, seed=1)
    learner, _ = a_learner(log, tmp_path, publish_seconds=60.0)
    learner.step(log.read(PARTITION, 0, limit=1))
    learner.step(log.read(PARTITION, 1))
    assert learner.partitions.save_due() == {PARTITION: 5}
    assert published(log) != undisturbed(log), "the second batch is not due yet"
    learner.partitions.abandon()
    resumed, position = a_learner(log, tmp_path)
    resumed.step(log.read(PARTITION, position))
    assert published(log) == undisturbed(log)


def test_what_cannot_be_learned_goes_to_the_dead_letters_and_the_rest_is_learned(tmp_path):
    log = new_log(placement(policy=VW))
    fresh = open_policy(VW)
    unreadable = decision("e0", open_policy(THOMPSON), "v", context={"deep": [[None]]})
    unknown = decision("e1", fresh, "v", placement="elsewhere")
    corrected = decision("e2", fresh, "v")
    good = decision("e3", fresh, "v")
    log.append(
        [
            interaction_message(interaction(unreadable, 0, 1.0)),
            interaction_message(interaction(unknown, 1, 1.0)),
            interaction_message(interaction(corrected, 2, 1.0, status="corrected", previous=0.0)),
            Message(INTERACTIONS, b"home", b"no JSON"),
            Message(INTERACTIONS, b"home", encode(Tick())),
            interaction_message(interaction(good, 3, 1.0)),
        ]
    )
    with learning(log, tmp_path):
        until(lambda: published(log) is not None)
    expected = open_policy(VW)
    expected.learn(good, 1.0)
    assert published(log).version == policy_version(expected.to_bytes(), 6)
    letters = log.read(TopicPartition(DEAD_LETTER, 0), 0)
    assert [letter.value for letter in letters] == [
        record.value for record in log.read(PARTITION, 0, limit=5)
    ]
    reasons = [value.decode() for letter in dead_letters(log) for value in letter.values()]
    for code in (
        "features_invalid",
        "placement_unknown",
        "not_correctable",
        "schema_error",
        "not_an_interaction",
    ):
        assert code in reasons


def test_a_dead_letter_is_written_once_however_often_its_record_is_read_again(tmp_path):
    log = new_log(placement())
    log.append([Message(INTERACTIONS, b"home", b"no JSON") for _ in range(3)])
    clock = Clock()
    learner, _ = a_learner(log, tmp_path, clock=clock)
    learner.step(log.read(PARTITION, 0, limit=1))
    learner.partitions.save_due()
    learner.step(log.read(PARTITION, 1, limit=1))
    for _ in range(2):
        learner.partitions.abandon()
        learner, position = a_learner(log, tmp_path, clock=clock)
        assert position == 1
        learner.step(log.read(PARTITION, position))
    assert [letter["offset"] for letter in dead_letters(log)] == [b"0", b"1", b"2"]


def test_a_dead_letter_is_written_once_although_a_crash_comes_before_its_record_again(tmp_path):
    log = new_log(placement())
    log.append([Message(INTERACTIONS, b"home", b"no JSON") for _ in range(3)])
    learner, _ = a_learner(log, tmp_path)
    learner.step(log.read(PARTITION, 0))
    learner.partitions.abandon()
    for n in range(3):
        learner, position = a_learner(log, tmp_path, clock=Clock())
        assert position == n
        learner.step(log.read(PARTITION, position, limit=1))
        assert learner.partitions.save_due()
        learner.partitions.abandon()
    assert [letter["offset"] for letter in dead_letters(log)] == [b"0", b"1", b"2"]


def test_a_change_of_policy_folds_the_placement_anew_and_leaves_the_others_be(tmp_path):
    log = new_log(placement(), placement("aside"))
    live(log, placement(), 20, seed=1)
    live(log, placement("aside"), 5, seed=2, first=20)
    with learning(log, tmp_path):
        until(lambda: published(log) == undisturbed(log))
        aside = published(log, "aside")
        put(log, placement(policy=VW))
        until(lambda: published(log).spec == VW)
        live(log, placement(policy=VW), 5, seed=3, first=25)
        until(lambda: published(log) == undisturbed(log))
    assert published(log, "aside") == aside


def test_a_change_of_policy_while_the_learner_was_down_is_seen_when_it_starts(tmp_path):
    log = new_log(placement())
    live(log, placement(), 20, seed=1)
    with learning(log, tmp_path):
        until(lambda: published(log) == undisturbed(log))
    put(log, placement(policy=VW))
    with learning(log, tmp_path):
        until(lambda: published(log).spec == VW)
    assert published(log) == undisturbed(log)


def test_a_policy_that_cannot_be_leaves_the_old_one_learning(tmp_path, caplog):
    log = new_log(placement())
    live(log, placement(), 5, seed=1)
    with learning(log, tmp_path):
        until(lambda: published(log) == undisturbed(log))
        before = published(log)
        put(log, placement(policy={"name": "no such policy"}))
        live(log, placement(), 5, seed=2, first=5)
        until(lambda: published(log).offset == 10)
    assert published(log).spec == before.spec
    assert "keeps its policy" in caplog.text


def test_a_change_back_before_the_new_policy_is_ready_keeps_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr("bandit.learning.worker.BATCH", 4)
    log = new_log(placement())
    live(log, placement(), 20, seed=1)
    learner, _ = a_learner(log, tmp_path)
    learner.step(log.read(PARTITION, 0))
    before = published(log)
    put(log, placement(policy=UNIFORM))
    learner.step([])
    assert learner.wait_seconds() == 0.0, "it does not wait with a fold under way"
    put(log, placement())
    for _ in range(10):
        learner.step([])
    assert published(log) == before == undisturbed(log)


def test_publishing_keeps_to_its_pace(tmp_path):
    clock = Clock()
    log = new_log(placement())
    live(log, placement(), 10, seed=1)
    learner, _ = a_learner(log, tmp_path, clock=clock, publish_seconds=0.1)
    offsets = []
    for number, record in enumerate(log.read(PARTITION, 0)):
        clock.now = 100.0 + number * 0.04
        learner.step([record])
        offsets.append(published(log).offset)
    assert offsets == [1, 1, 1, 4, 4, 4, 7, 7, 7, 10]


def test_a_log_that_is_busy_is_waited_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("streams.logs.wrappers.RETRY_SECONDS", 0.01)
    log = SqliteLog(tmp_path / "log.db", patience_seconds=0.01)
    create_topics(log)
    put(log, placement())
    live(log, placement(), 5, seed=1)
    learner, position = a_learner(log, tmp_path)
    lock = FairLock(tmp_path / "log.db", patience_seconds=1.0)
    with lock.held():
        step = threading.Thread(target=learner.step, args=(log.read(PARTITION, position),))
        step.start()
        until(lambda: "trying again" in caplog.text)
        assert published(log) is None
    step.join(timeout=30)
    assert published(log) == undisturbed(log)
    learner.partitions.abandon()
    lock.close()
    log.close()


def test_a_log_that_is_away_at_times_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("streams.logs.wrappers.RETRY_SECONDS", 0.001)
    log = new_log(placement())
    away = AwayAtTimes(log, seed=3)
    with learning(away, tmp_path):
        live(log, placement(), 50, seed=1)
        wanted = undisturbed(log)
        log.append([Message(INTERACTIONS, b"home", b"no json")])
        end = log.end_offset(PARTITION)
        until(lambda: log.committed(GROUP, PARTITION) == end)
        away.stay()
    assert published(log).version == wanted.version
    assert [letter["offset"] for letter in dead_letters(log)] == [b"%d" % (end - 1)]
    assert {"append", "read", "start_offset", "end_offsets"} <= away.failed


def test_a_second_learner_on_the_same_checkpoints_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("streams.partition_worker.TAKEOVER_SECONDS", 0.05)
    log = new_log(placement())
    lock = tmp_path / "learn-0.lock"
    with learning(log, tmp_path):
        # who holds the lock writes its process id into it, and not before
        until(lambda: lock.exists() and lock.read_text())
        with pytest.raises(LockError, match="already running"):
            a_learner(log, tmp_path)


def test_a_checkpoint_of_another_log_is_refused(tmp_path):
    log = new_log(placement())
    live(log, placement(), 5, seed=1)
    with learning(log, tmp_path):
        until(lambda: published(log) is not None)
    with pytest.raises(CheckpointError, match="belongs to another log"):
        run_learner(new_log(placement()), tmp_path, stop=threading.Event())


def test_partitions_can_be_taken_over_from_another_learner(tmp_path):
    log = new_log(placement(), placement("aside"), partitions=2)
    live(log, placement(), 10, seed=1)
    live(log, placement("aside"), 10, seed=2)
    both = [TopicPartition(INTERACTIONS, 0), TopicPartition(INTERACTIONS, 1)]
    # A clock that stands: every step is due, whatever the one before cost.
    one, other = (new_learner(log, tmp_path, clock=Clock()) for _ in range(2))
    starts = one.assigned(both)
    for partition in both:
        one.step(log.read(partition, starts[partition], limit=4))
    handed_over = one.revoked(both[1:])
    assert other.assigned(both[1:]) == handed_over
    one.step(log.read(both[0], 4))
    other.step(log.read(both[1], handed_over[both[1]]))
    assert {published(log, name).offset for name in ("home", "aside")} == {10}


def test_a_learner_counts_what_it_folds_refuses_publishes_and_folds_anew(tmp_path):
    log, counts = new_log(placement()), LearnCounts()
    live(log, placement(), 12, seed=1)
    log.append([Message(INTERACTIONS, b"home", b"no JSON")])
    with learning(log, tmp_path, counts=counts):
        until(lambda: counts.snapshots > 0)
        assert (counts.interactions, counts.refused, counts.refolds) == (12, 1, 0)
        put(log, placement(policy=UNIFORM))
        until(lambda: counts.refolds == 1)
    assert (counts.interactions, counts.refused) == (12, 1), "folded anew is not read anew"
    assert counts.snapshots == log.end_offset(TopicPartition(POLICIES, 0)) >= 2
