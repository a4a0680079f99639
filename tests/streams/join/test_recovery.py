import random
import shutil
import time

import pytest

from streams.catalogue.state import catalogue_message
from streams.events import DECISIONS, INTERACTIONS, OUTCOMES, Placement
from streams.join import worker as joiner_module
from streams.logs.base import TopicPartition
from streams.logs.sqlite import SqliteLog
from tests.streams.ingest.ingesting import Crash, Fragile
from tests.streams.join.joiner_runs import (
    PARTITIONS,
    START_MS,
    append_all,
    assert_joined,
    by_source,
    expected,
    has_come_out,
    history,
    join_all,
    joining,
    letters,
    prepare,
    read,
    reasons,
    steps,
    wait_until,
)
from tests.streams.logs.patient import AwayAtTimes


@pytest.fixture
def log(empty_log):
    prepare(empty_log)
    return empty_log


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
    rows = [{"at": START_MS, "decision": {"event_id": "a", "placement": "new"}}]
    rows += [{"at": START_MS + n, "decision": {"event_id": f"b{n}"}} for n in range(3)]
    append_all(log, [*rows, {"at": START_MS + 9, "outcome": {"event_id": "b", "outcome_id": "o"}}])
    with pytest.raises(Crash):
        steps(Fragile(log, 1, Crash(), written=True), tmp_path, 1)
    assert reasons(log) == ["unknown_placement"]
    log.append([catalogue_message(Placement(name="new"))])
    join_all(log, tmp_path)
    assert sorted(reasons(log)) == ["orphan", "unknown_placement"]
    assert_joined(log)


def test_a_log_that_is_away_at_times_is_waited_for(log, tmp_path, monkeypatch):
    monkeypatch.setattr("streams.logs.wrappers.RETRY_SECONDS", 0.001)
    monkeypatch.setattr(joiner_module, "CHECKPOINT_SHARE", 0.5)
    append_all(log, history(100))
    away = AwayAtTimes(log, 1)
    wanted = expected(log)
    with joining(away, tmp_path, batch=40, checkpoint_seconds=0) as future:
        wait_until(lambda: has_come_out(log, *wanted), future)
        away.stay()
    assert_joined(log)
    assert {"append", "read", "start_offset", "end_offsets"} <= away.failed


def written(log):
    return sum(log.end_offset(TopicPartition(INTERACTIONS, n)) for n in range(PARTITIONS))


def test_killed_again_and_again_it_writes_the_same(start, tmp_path):
    """What kill -9 leaves behind is completed to exactly what an undisturbed run writes."""
    log = SqliteLog(tmp_path / "log.db")
    prepare(log)
    append_all(log, history(3000))
    log.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "calm.db")
    calm = SqliteLog(tmp_path / "calm.db")
    join_all(calm, tmp_path / "calm")

    def start_joiner():
        process = start("join", tmp_path / "log.db", tmp_path / "killed")
        assert process.stdout.readline() == "started\n"
        return process

    rng = random.Random(7)
    log = SqliteLog(tmp_path / "log.db")
    wanted = len(read(calm, INTERACTIONS))
    ends = []
    for _ in range(12):
        process = start_joiner()
        # by what is written, not by the clock: a slow machine is killed at work as well
        enough = ends[-1] + rng.randrange(wanted // 10) if ends else 0
        while written(log) < min(enough, wanted):
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.wait()
        ends.append(written(log))
    process = start_joiner()
    while len(read(log, INTERACTIONS)) < wanted or len(reasons(log)) < len(reasons(calm)):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait() == 0

    assert len(set(ends)) > 3, "it was never killed at work"
    assert by_source(log) == by_source(calm)
    assert letters(log) == letters(calm)
    assert_joined(log)
    for opened in (log, calm):
        opened.close()
