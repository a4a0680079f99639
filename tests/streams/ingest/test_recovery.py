"""Whatever crashes, whoever else reads: each record of a team's topic counts once."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from streams.catalogue.state import catalogue_message
from streams.checkpoint import Checkpoints
from streams.dead_letters import find_dead_letter, read_dead_letters, replay
from streams.errors import CheckpointError, LockError, LogUnavailable
from streams.events import INTERACTIONS, Placement, RewardKind, RewardRule, decode
from streams.ingest.worker import run_ingest
from streams.join.worker import run_joiner
from streams.logs.base import TopicPartition
from streams.logs.sqlite import SqliteLog
from tests.streams.ingest.ingesting import (
    CLICKS,
    QUICKLY,
    Crash,
    Fragile,
    caught_up,
    click,
    ingest_all,
    outcomes,
    read,
    running,
    wait_until,
    with_clicks,
    write,
)
from tests.streams.join.joiner_runs import decided


@pytest.fixture
def log(empty_log):
    return with_clicks(empty_log)


@pytest.mark.parametrize("saving", [{"checkpoint_seconds": 0}, {}], ids=["saving", "not saving"])
@pytest.mark.parametrize("written", [True, False], ids=["written", "not written"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_crash_loses_nothing_and_lays_nothing_aside_twice(log, tmp_path, n, written, saving):
    rows = [b"{%d" % i if i % 3 == 0 else click(i) for i in range(60)]
    write(log, *rows)
    # Once at n, then at the very next append, with nothing saved in between.
    for appends in (n, 1):
        fragile = Fragile(log, appends, Crash(), written=written)
        with pytest.raises(Crash):
            run_ingest(fragile, tmp_path, [CLICKS], stop=threading.Event(), batch=10, **saving)
    ingest_all(log, tmp_path)
    letters = Counter(letter.value for letter in read_dead_letters(log))
    assert letters == Counter(row for row in rows if isinstance(row, bytes))
    by_id = {o.outcome_id: o.event_id for o in outcomes(log)}
    assert sorted(by_id.values()) == sorted(r["e"] for r in rows if isinstance(r, dict))


def test_it_waits_for_a_log_that_is_out_of_reach(log, tmp_path, monkeypatch):
    monkeypatch.setattr("streams.logs.wrappers.RETRY_SECONDS", 0.01)
    write(log, click(1))
    ingest_all(Fragile(log, 1, LogUnavailable("away"), written=False), tmp_path)
    assert [o.event_id for o in outcomes(log)] == ["e-1"]


def test_one_process_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("streams.partition_worker.TAKEOVER_SECONDS", 0.05)
    logs = [SqliteLog(tmp_path / "log.db") for _ in range(2)]
    with_clicks(logs[0])
    write(logs[0], click(1))
    with running(run_ingest, logs[0], tmp_path, [CLICKS], **QUICKLY) as thread:
        wait_until(lambda: caught_up(logs[0]), thread)
        with pytest.raises(LockError):
            run_ingest(logs[1], tmp_path, [CLICKS], stop=threading.Event())
    for log in logs:
        log.close()


def test_a_checkpoint_of_another_log_is_refused(log, tmp_path):
    Checkpoints(tmp_path).save("ingest-clicks-1", b"", {TopicPartition("clicks", 1): 99})
    with pytest.raises(CheckpointError, match="99, beyond the end 0"):
        run_ingest(log, tmp_path, [CLICKS], stop=threading.Event())


def test_killed_again_and_again_it_loses_nothing(tmp_path):
    log = with_clicks(SqliteLog(tmp_path / "log.db"))
    rows = [b"{%d" % i if i % 50 == 0 else click(i) for i in range(3000)]
    mapping = tmp_path / "clicks.yaml"
    mapping.write_text("topic: clicks\nevent_id: e\nkind: t\n")
    command = [sys.executable, "-m", "streams", "ingest", "--data", str(tmp_path)]
    for start in range(0, 3000, 1000):
        write(log, *rows[start : start + 1000])
        before = len(outcomes(log))
        process = subprocess.Popen([*command, "--mapping", str(mapping)], stderr=subprocess.PIPE)
        while process.poll() is None and len(outcomes(log)) == before:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
    ingest_all(log, tmp_path / "checkpoints")
    letters = Counter(letter.value for letter in read_dead_letters(log))
    assert letters == Counter(row for row in rows if isinstance(row, bytes))
    assert {o.event_id for o in outcomes(log)} == {r["e"] for r in rows if isinstance(r, dict)}
    log.close()


def test_the_command_ends_when_asked_to(tmp_path):
    data = tmp_path / "data"
    log = with_clicks(SqliteLog(data / "log.db"))
    write(log, click(1))
    mapping = tmp_path / "clicks.toml"
    mapping.write_text('topic = "clicks"\nevent_id = "e"\nkind = "t"\n')
    command = [sys.executable, "-m", "streams", "ingest", "--data", str(data)]
    process = subprocess.Popen([*command, "--mapping", str(mapping)], stderr=subprocess.PIPE)
    while process.poll() is None and not outcomes(log):
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert caught_up(log)
    log.close()


def last_rewards(log):
    found = dict.fromkeys(("e-0", "e-1", "e-2", "e-3"), 0.0)
    for record in read(log, INTERACTIONS):
        interaction = decode(record.value)
        found[interaction.decision.event_id] = interaction.reward
    return found


def test_from_the_teams_topic_to_the_reward_each_counts_once(log, tmp_path):
    """Read twice, mended, sent again twice: a click is a click, and a sale its value."""
    rule = RewardRule(
        kinds={"click": RewardKind(), "sale": RewardKind()}, maximum=100, window_seconds=600
    )
    log.append([catalogue_message(Placement(name="p", reward=rule))])
    log.append([decided(f"e-{n}") for n in range(4)])
    write(log, click(0), click(1, "buy", v="49.90"), b'{"t":"click","e":"e-2"')
    ingest_all(log, tmp_path / "first")
    # Whoever has neither checkpoints nor the group's commits reads it all a second time.
    forgetful = Forgetful(log)
    with running(run_ingest, forgetful, tmp_path / "second", [CLICKS]) as thread:
        wait_until(lambda: len(outcomes(log)) == 4, thread)
    (letter, *_) = read_dead_letters(log)
    for _ in range(2):
        replay(log, [find_dead_letter(log, letter.id)], value=letter.value + b"}")
    ingest_all(log, tmp_path / "first")
    # Whatever counts by the time that these do was before them.
    write(log, *(click(n, "buy", v=10) for n in range(4)))
    ingest_all(log, tmp_path / "first")
    expected = {"e-0": 11.0, "e-1": 59.9, "e-2": 11.0, "e-3": 10.0}
    with running(run_joiner, log, tmp_path / "join") as thread:
        wait_until(lambda: all(r >= 10 for r in last_rewards(log).values()), thread)
    assert last_rewards(log) == expected


class Forgetful:
    """A log that knows of no commits."""

    def __init__(self, log):
        self._log = log

    def committed(self, group, partition):
        return None

    def __getattr__(self, name):
        return getattr(self._log, name)
