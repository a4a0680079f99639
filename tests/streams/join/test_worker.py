import threading
import time
from uuid import uuid4

import pytest

from streams.catalogue.state import catalogue_message
from streams.checkpoint import Checkpoints
from streams.errors import CheckpointError, LockError, TopicError
from streams.events import (
    CATALOGUE,
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Placement,
    RewardRule,
    encode,
)
from streams.join import worker as joiner_module
from streams.join.worker import Joiner, run_joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.streams.join.joiner_runs import (
    PLACEMENTS,
    START_MS,
    append_all,
    assert_joined,
    expected,
    has_come_out,
    history,
    interactions,
    join_all,
    joining,
    letters,
    message,
    prepare,
    read,
    reasons,
    steps,
    wait_until,
)


@pytest.fixture
def log(empty_log):
    prepare(empty_log)
    return empty_log


def test_end_to_end(log, tmp_path):
    append_all(log, history(300))
    join_all(log, tmp_path / "checkpoints")
    assert_joined(log)

    found = interactions(log)
    assert {interaction.source for interaction in found} == {0, 1}
    assert {interaction.status for interaction in found} == {"provisional", "corrected", "closed"}
    assert {"late", "orphan", "not_activated"} <= set(reasons(log))


def test_a_decision_is_carried_as_it_came(log, tmp_path):
    row = {"at": START_MS, "decision": {"event_id": "a", "context": {"z": 1}, "not_ours": [1.50]}}
    spaced = message(row)._replace(value=message(row).value.replace(b",", b" ,  "))
    log.append([spaced])
    with joining(log, tmp_path) as future:
        wait_until(lambda: len(interactions(log)) == 2, future)
    assert all(spaced.value in record.value for record in read(log, INTERACTIONS))


def test_windows_close_when_all_is_quiet(log, tmp_path):
    now_ms = int(time.time() * 1000)
    rule = RewardRule(window_seconds=0.3, grace_seconds=0)
    log.append([catalogue_message(Placement(name="quick", learn="window", reward=rule))])
    quick = {"placement": "quick"}
    rows = [{"at": now_ms, "decision": {"event_id": f"e{n}"} | quick} for n in range(5)]
    with joining(log, tmp_path) as future:
        append_all(log, rows)
        wait_until(lambda: len(interactions(log)) == 5, future)
    assert {interaction.status for interaction in interactions(log)} == {"closed"}
    assert future.result().default_rate == 1.0


POISON = [
    b"no json",
    b"",
    b"\xff\xfe",
    b'{"type":"nothing"}',
    encode(PLACEMENTS[0]),
    b'{"type":"outcome","event_id":"a","outcome_id":"o","kind":"k","timestamp_ms":1,"v":99}',
    b'{"type":"outcome","event_id":"a","outcome_id":"o","kind":"k","timestamp_ms":1e30}',
    b'{"type":"decision","context":' + b"[" * 100_000,
    b'{"type":"decision","event_id":"a","placement":"p","timestamp_ms":1,"context":{},"actions":'
    b'[{"id":"x"},{"id":"y"}],"pmf":[1e308,1e308],"index":0,"policy_version":"v"}',
]


@pytest.mark.parametrize("topic", [DECISIONS, OUTCOMES, CATALOGUE])
def test_poison_is_laid_aside_and_the_rest_is_joined(topic, log, tmp_path):
    poison = [value for value in POISON if topic != CATALOGUE or b"placement" not in value[:20]]
    append_all(log, [{"at": START_MS, "decision": {"event_id": "a"}}])
    log.append([Message(topic, b"a", value, (("mine", b"1"),)) for value in poison])
    for _ in range(2):
        with joining(log, tmp_path) as future:
            wait_until(lambda: len(reasons(log)) >= len(poison), future)
            wait_until(lambda: len(interactions(log)) == 2, future)

    assert [letter[-1] for letter in sorted(letters(log), key=lambda x: x[3])] == poison
    assert set(reasons(log)) == {"schema_error", "schema_version_unknown"}
    for record in read(log, DEAD_LETTER):
        headers = dict(record.headers)
        assert (record.key, headers["mine"], headers["topic"]) == (b"a", b"1", topic.encode())
        original = TopicPartition(topic, int(headers["partition"]))
        assert log.read(original, int(headers["offset"]))[0].value == record.value
        assert headers["error"]


def test_an_event_in_the_wrong_topic_is_laid_aside(log, tmp_path):
    decision = message({"at": START_MS, "decision": {"event_id": "a"}})
    outcome = message({"at": START_MS, "outcome": {"event_id": "b", "outcome_id": "o"}})
    log.append([decision._replace(topic=OUTCOMES), outcome._replace(topic=DECISIONS)])
    with joining(log, tmp_path) as future:
        wait_until(lambda: len(reasons(log)) == 2, future)
    assert reasons(log) == ["schema_error", "schema_error"]
    assert interactions(log) == []


def test_a_dead_letter_holds_the_bytes_of_a_record_long_gone_by(log, tmp_path):
    row = {"at": START_MS, "outcome": {"event_id": "a", "outcome_id": "o", "not_ours": [1]}}
    append_all(log, [row, {"at": START_MS + 1, "decision": {"event_id": "b"}}])
    steps(log, tmp_path, 1)
    with joining(log, tmp_path) as future:
        wait_until(lambda: reasons(log) == ["orphan"], future)
    assert letters(log)[0][-1] == message(row).value


def test_two_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("streams.partition_worker.TAKEOVER_SECONDS", 0.05)
    logs = [SqliteLog(tmp_path / "log.db") for _ in range(2)]
    prepare(logs[0])
    append_all(logs[0], history(5))
    with joining(logs[0], tmp_path) as future:
        wait_until(lambda: interactions(logs[0]), future)
        with pytest.raises(LockError, match="join-0"):
            run_joiner(logs[1], tmp_path, stop=threading.Event())
    for log in logs:
        log.close()


def test_it_begins_without_a_checkpoint_that_cannot_be_read(log, tmp_path, caplog):
    append_all(log, history(40))
    join_all(log, tmp_path)
    Checkpoints(tmp_path).save("join-1", b"what is this", {})
    steps(log, tmp_path, 3)
    assert_joined(log)
    assert "not the state of a join" in caplog.text
    assert (tmp_path / "join-1.checkpoint.damaged").exists()


def test_a_checkpoint_of_another_log_stops_the_start(log, tmp_path):
    append_all(log, history(5))
    steps(log, tmp_path, 1)
    other = MemoryLog()
    prepare(other)
    with pytest.raises(CheckpointError, match="belongs to another log"):
        run_joiner(other, tmp_path, stop=threading.Event())


def test_unequal_partitions_stop_the_start(tmp_path):
    log = MemoryLog()
    log.create_topic(OUTCOMES, partitions=3)
    create_topics(log, partitions=2)
    with pytest.raises(TopicError, match="equally many"):
        run_joiner(log, tmp_path, stop=threading.Event())


class Hands:
    """A consumer whose partitions are given and taken by hand."""

    def __init__(self, log, joiner):
        self._log, self._joiner = log, joiner
        self._offsets = {}
        self.paused = set()
        self.pauses = []

    def give(self, *numbers):
        places = [TopicPartition(topic, n) for n in numbers for topic in (DECISIONS, OUTCOMES)]
        self._offsets |= dict.fromkeys(places, 0) | dict(self._joiner.partitions.assigned(places))

    def take(self, *numbers):
        places = [place for place in self._offsets if place.partition in numbers]
        self._joiner.partitions.revoked(places)
        for place in places:
            del self._offsets[place]

    def poll(self, timeout_seconds, *, limit):
        records = []
        for place in self._offsets.keys() - self.paused:
            found = self._log.read(place, self._offsets[place], limit=limit)
            if found:
                self._offsets[place] = found[-1].offset + 1
                records += found
        return records

    def pause(self, places):
        self.paused.update(places)
        self.pauses += places

    def resume(self, places):
        self.paused.difference_update(places)

    def commit(self, offsets):
        assert offsets.keys() <= self._offsets.keys()


def test_partitions_move_between_joiners(log, tmp_path):
    append_all(log, history(300))
    wanted = expected(log)
    joiners = [Joiner(log, tmp_path, stop=threading.Event()) for _ in range(2)]
    one, other = (Hands(log, joiner) for joiner in joiners)
    one.give(0, 1)
    joiners[0].step(one, 40)
    one.take(1)
    other.give(1)
    joiners[0].step(one, 40)
    joiners[1].step(other, 40)
    one.take(0)
    other.give(0)
    one.give()
    while not has_come_out(log, *wanted):
        joiners[1].step(other, 40)
    other.take(0, 1)
    assert_joined(log)


def test_a_side_that_runs_ahead_is_paused(tmp_path, monkeypatch):
    monkeypatch.setattr(joiner_module, "WAITING_LIMIT", 200)
    log = MemoryLog()
    prepare(log)
    rows = [{"at": START_MS + n, "decision": {"event_id": f"e{n}"}} for n in range(2000)]
    late = START_MS + 5000
    rows += [{"at": late, "outcome": {"event_id": f"e{n}", "outcome_id": "o"}} for n in range(2000)]
    append_all(log, rows)
    joiner = Joiner(log, tmp_path, stop=threading.Event())
    hands = Hands(log, joiner)
    hands.give(0, 1)
    held = 0
    wanted = expected(log)
    while not has_come_out(log, *wanted):
        joiner.step(hands, 50)
        held = max(held, *(p.merge.waiting(OUTCOMES) for p in joiner.partitions))
    assert {place.topic for place in hands.pauses} == {OUTCOMES}
    assert held <= 250
    assert hands.paused == set()
    assert_joined(log)
    hands.take(0, 1)


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("collected")
def test_the_broker_crashes_while_it_is_joined_and_nothing_is_lost_or_doubled(
    kafka_broker, tmp_path
):
    from streams.logs.kafka import KafkaLog

    log = KafkaLog(kafka_broker.bootstrap, prefix=f"joiner-{uuid4().hex[:8]}.")
    prepare(log)
    append_all(log, history(600))
    wanted = expected(log)
    ends = [TopicPartition(INTERACTIONS, n) for n in (0, 1)]
    with joining(log, tmp_path / "checkpoints", batch=50, checkpoint_seconds=0.1) as future:
        wait_until(lambda: any(map(log.end_offset, ends)), future)
        kafka_broker.kill()
        kafka_broker.start()
        assert not has_come_out(log, *wanted), "it was over before the crash"
        wait_until(lambda: has_come_out(log, *wanted), future)
    assert_joined(log)
    with joining(log, tmp_path / "checkpoints") as future:
        time.sleep(1.0)
    assert future.result().interactions == 0
    assert_joined(log)
    log.close()
