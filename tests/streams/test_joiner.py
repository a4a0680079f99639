import random
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from streams import joiner as joiner_module
from streams.catalogue import catalogue_message
from streams.checkpoint import Checkpoints
from streams.errors import CheckpointError, LockError, LogUnavailable, TopicError
from streams.events import (
    CATALOGUE,
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Placement,
    RewardKind,
    RewardRule,
    decode,
    encode,
)
from streams.joiner import Joiner, run_joiner
from streams.log import Message, Record, TopicPartition
from streams.memory import MemoryLog
from streams.merge import TICK
from streams.sqlite import SqliteLog
from streams.topics import create_topics
from tests.streams.joining import AFTER_ALL, catalogue_of, event_of, run

PARTITIONS = 2
START_MS = 1_000_000
RULE = RewardRule(
    window_seconds=10,
    grace_seconds=1,
    maximum=10,
    kinds={"click": RewardKind(), "sale": RewardKind(weight=2, window_seconds=60)},
)
PLACEMENTS = [
    Placement(name="p", learn="realtime", reward=RULE),
    Placement(name="q", learn="window", reward=RULE),
]


@pytest.fixture(params=["memory", "sqlite"])
def log(request, tmp_path):
    opened = MemoryLog() if request.param == "memory" else SqliteLog(tmp_path / "log.db")
    prepare(opened)
    yield opened
    opened.close()


def prepare(log):
    create_topics(log, partitions=PARTITIONS)
    log.append([catalogue_message(p)._replace(timestamp_ms=1) for p in PLACEMENTS])


def message(row):
    """A row of the conformance set as a message of history, appended at its time."""
    topic, value = event_of(row)
    key = next(iter(row[k]["event_id"] for k in ("decision", "outcome") if k in row))
    return Message(topic, key.encode(), value, timestamp_ms=row["at"])


def history(n, seed=1):
    """Rows of n decisions and what follows: in time, late, early, twice, or for nobody."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        at, event_id = START_MS + i * 20, f"event-{i}"
        decided = {"event_id": event_id, "placement": rng.choice("ppq"), "deferred": i % 7 == 0}
        rows.append(
            {"at": at + rng.choice([0, 0, 300]), "decision": decided | {"timestamp_ms": at}}
        )
        for number in range(rng.choice([0, 0, 1, 1, 2, 3])):
            happened = at + rng.choice([1, 100, 5000, 9990, 14_000, 70_000])
            outcome = {
                "event_id": rng.choice([event_id] * 9 + [f"nobody-{i}"]),
                "outcome_id": f"o{rng.choice([number, 0])}",
                "kind": rng.choice(["click", "sale", "impression", "activation"]),
                "timestamp_ms": happened,
            }
            rows.append({"at": happened + rng.choice([0, 10, 1500]), "outcome": outcome})
    return sorted(rows, key=lambda row: row["at"])


def append_all(log, rows):
    log.append([message(row) for row in rows])


def read(log, topic):
    records = []
    for partition in range(log.partitions(topic)):
        offset = 0
        while found := log.read(TopicPartition(topic, partition), offset):
            records += found
            offset = found[-1].offset + 1
    return records


def interactions(log):
    return [decode(record.value) for record in read(log, INTERACTIONS)]


def by_source(log):
    """The bytes of each source's interactions by sequence; fails if one is twice or missing."""
    found = defaultdict(dict)
    last = {}
    for record in read(log, INTERACTIONS):
        interaction = decode(record.value)
        own = found[interaction.source]
        assert interaction.sequence not in own, "written twice"
        assert interaction.sequence > last.get((interaction.source, record.partition), -1)
        last[interaction.source, record.partition] = interaction.sequence
        own[interaction.sequence] = record.value
    for own in found.values():
        assert sorted(own) == list(range(len(own))), "one is missing"
    return {source: [own[n] for n in range(len(own))] for source, own in found.items()}


def letters(log):
    """Reason, topic, partition, offset and bytes of each dead letter, in order."""
    found = []
    for record in read(log, DEAD_LETTER):
        headers = {name: value.decode() for name, value in record.headers}
        place = headers["topic"], int(headers["partition"]), int(headers["offset"])
        found.append((headers["reason"], *place, record.value))
    return sorted(found)


def reasons(log):
    return [letter[0] for letter in letters(log)]


def expected(log):
    """The interactions by source, and the letters, that the pure join makes of the log."""
    catalogue = catalogue_of([{"at": 1, "placement": msgspec.to_builtins(p)} for p in PLACEMENTS])
    by_source, letters = {}, []
    for source in range(PARTITIONS):
        records = {
            (topic, record.offset): record
            for topic in (DECISIONS, OUTCOMES)
            for record in read(log, topic)
            if record.partition == source
        }
        ticks = [
            Record(topic, source, AFTER_ALL, AFTER_ALL, b"", TICK)
            for topic in (OUTCOMES, DECISIONS)
        ]
        found, refusals = run([*records.values(), *ticks], catalogue, source=source)
        if found:
            by_source[source] = [encode(interaction) for interaction in found]
        letters += [
            (r.code, r.topic, source, r.offset, records[r.topic, r.offset].value)
            for r in refusals
            if r.code != "duplicate_outcome"
        ]
    return by_source, sorted(letters)


@contextmanager
def joining(log, directory, **options):
    """Joins in a thread; yields the future of its counts."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(run_joiner, log, directory, stop=stop, **options)
        finally:
            stop.set()


def wait_until(condition, future):
    while not condition():
        if future.done():
            pytest.fail(f"the joiner ended: {future.exception()!r}")
        time.sleep(0.005)


def join_all(log, directory, **options):
    """Joins until all has come out that must; returns the counts."""
    wanted = expected(log)
    with joining(log, directory, **options) as future:
        wait_until(lambda: has_come_out(log, *wanted), future)
    return future.result()


def has_come_out(log, wanted, wanted_letters):
    ends = [log.end_offset(TopicPartition(INTERACTIONS, n)) for n in range(PARTITIONS)]
    letters_end = log.end_offset(TopicPartition(DEAD_LETTER, 0))
    return sum(ends) >= sum(map(len, wanted.values())) and letters_end >= len(wanted_letters)


def assert_joined(log):
    wanted, wanted_letters = expected(log)
    found = by_source(log)
    assert {
        source: [encode(decode(value)) for value in found[source]] for source in found
    } == wanted
    assert letters(log) == wanted_letters


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


def steps(log, directory, n, batch=100):
    """Joins n batches, then stops as it should; returns the counts."""
    joiner = Joiner(log, directory, stop=threading.Event(), checkpoint_seconds=0)
    consumer = log.consumer((DECISIONS, OUTCOMES), joiner, group="joiner")
    try:
        for _ in range(n):
            joiner.step(consumer, batch)
    except BaseException:
        joiner.abandon()
        raise
    finally:
        consumer.close()
    return joiner.counts


def test_a_restart_goes_on_where_the_checkpoint_says(log, tmp_path):
    rows = history(300)
    append_all(log, rows)
    first = steps(log, tmp_path, 3)
    assert 0 < first.events < len(rows)
    second = join_all(log, tmp_path)
    assert first.events + second.events == len(rows)
    assert_joined(log)
    for topic in (DECISIONS, OUTCOMES):
        for place in (TopicPartition(topic, n) for n in range(PARTITIONS)):
            # What waits after the last event is a tick.
            assert log.committed("joiner", place) >= log.end_offset(place) - 2


def test_after_the_end_there_is_nothing_to_do(log, tmp_path):
    append_all(log, history(20))
    join_all(log, tmp_path)
    counts = steps(log, tmp_path, 2)
    assert (counts.events, counts.interactions, counts.dead_lettered) == (0, 0, 0)
    assert_joined(log)


def test_without_its_checkpoints_it_writes_nothing_twice(log, tmp_path):
    append_all(log, history(100))
    join_all(log, tmp_path / "checkpoints")
    counts = join_all(log, tmp_path / "others")
    assert counts.dead_lettered == 0
    assert_joined(log)


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


class Crash(Exception):
    pass


class CrashingLog:
    """A log whose appends fail at random, before or after they have written."""

    def __init__(self, log, seed):
        self._log = log
        self._random = random.Random(seed)

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, messages):
        fate = self._random.random()
        if fate < 0.15:
            raise Crash
        written = self._log.append(messages)
        if fate < 0.3:
            raise Crash
        return written


@pytest.mark.parametrize("seed", range(5))
def test_a_crash_at_any_append_loses_and_doubles_nothing(seed, log, tmp_path, monkeypatch):
    monkeypatch.setattr(joiner_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(joiner_module, "CHECKPOINT_SHARE", 0.5)
    append_all(log, history(120, seed))
    wanted = expected(log)
    crashing = CrashingLog(log, seed)
    crashes = 0
    while not has_come_out(log, *wanted):
        try:
            steps(crashing, tmp_path, 8, batch=12)
        except Crash:
            crashes += 1
    assert crashes >= 3
    assert_joined(log)


def test_a_decision_that_was_refused_stays_so_after_a_crash(log, tmp_path):
    class DiesOnce(CrashingLog):
        def append(self, messages):
            self._log.append(messages)
            raise Crash

    rows = [{"at": START_MS, "decision": {"event_id": "a", "placement": "new"}}]
    rows += [{"at": START_MS + n, "decision": {"event_id": f"b{n}"}} for n in range(3)]
    append_all(log, [*rows, {"at": START_MS + 9, "outcome": {"event_id": "b", "outcome_id": "o"}}])
    with pytest.raises(Crash):
        steps(DiesOnce(log, 0), tmp_path, 1)
    assert reasons(log) == ["unknown_placement"]
    log.append([catalogue_message(Placement(name="new"))])
    join_all(log, tmp_path)
    assert sorted(reasons(log)) == ["orphan", "unknown_placement"]
    assert_joined(log)


def test_a_dead_letter_holds_the_bytes_of_a_record_long_gone_by(log, tmp_path):
    row = {"at": START_MS, "outcome": {"event_id": "a", "outcome_id": "o", "not_ours": [1]}}
    append_all(log, [row, {"at": START_MS + 1, "decision": {"event_id": "b"}}])
    steps(log, tmp_path, 1)
    with joining(log, tmp_path) as future:
        wait_until(lambda: reasons(log) == ["orphan"], future)
    assert letters(log)[0][-1] == message(row).value


def test_an_append_is_tried_again_until_the_log_is_back(log, tmp_path, monkeypatch):
    class AwayAtTimes(CrashingLog):
        def append(self, messages):
            if self._random.random() < 0.5:
                raise LogUnavailable("away")
            return self._log.append(messages)

    monkeypatch.setattr(joiner_module, "RETRY_SECONDS", 0.001)
    append_all(log, history(100))
    join_all(AwayAtTimes(log, 1), tmp_path, batch=40)
    assert_joined(log)


def test_two_at_once_are_refused(tmp_path):
    logs = [SqliteLog(tmp_path / "log.db") for _ in range(2)]
    prepare(logs[0])
    append_all(logs[0], history(5))
    with joining(logs[0], tmp_path) as future:
        wait_until(lambda: interactions(logs[0]), future)
        with pytest.raises(LockError, match="join-0"):
            run_joiner(logs[1], tmp_path, stop=threading.Event())
    for log in logs:
        log.close()


def test_a_damaged_checkpoint_stops_the_start(log, tmp_path):
    append_all(log, history(5))
    steps(log, tmp_path, 1)
    Checkpoints(tmp_path).save("join-1", b"what is this", {})
    with pytest.raises(CheckpointError):
        run_joiner(log, tmp_path, stop=threading.Event())


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
        self._offsets |= dict.fromkeys(places, 0) | dict(self._joiner.assigned(places))

    def take(self, *numbers):
        places = [place for place in self._offsets if place.partition in numbers]
        self._joiner.revoked(places)
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
        held = max(held, *(p.merge.waiting(OUTCOMES) for p in joiner._held.values()))
    assert {place.topic for place in hands.pauses} == {OUTCOMES}
    assert held <= 250
    assert hands.paused == set()
    assert_joined(log)
    hands.take(0, 1)


def start(path, directory):
    script = Path(__file__).with_name("joiner_process.py")
    command = [sys.executable, str(script), str(path), str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert process.stdout.readline() == "joining\n"
    return process


def test_killed_again_and_again_it_writes_the_same(tmp_path):
    """What kill -9 leaves behind is completed to exactly what an undisturbed run writes."""
    log = SqliteLog(tmp_path / "log.db")
    prepare(log)
    append_all(log, history(3000))
    log.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "calm.db")
    calm = SqliteLog(tmp_path / "calm.db")
    join_all(calm, tmp_path / "calm")

    rng = random.Random(7)
    log = SqliteLog(tmp_path / "log.db")
    ends = []
    for _ in range(12):
        process = start(tmp_path / "log.db", tmp_path / "killed")
        time.sleep(rng.uniform(0.0, 0.4))
        process.kill()
        process.wait()
        process.stdout.close()
        ends.append(len(read(log, INTERACTIONS)))
    process = start(tmp_path / "log.db", tmp_path / "killed")
    wanted = len(read(calm, INTERACTIONS))
    while len(read(log, INTERACTIONS)) < wanted or len(reasons(log)) < len(reasons(calm)):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait() == 0
    process.stdout.close()

    assert len(set(ends)) > 3, "it was never killed at work"
    assert by_source(log) == by_source(calm)
    assert letters(log) == letters(calm)
    assert_joined(log)
    for opened in (log, calm):
        opened.close()
