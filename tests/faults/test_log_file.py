"""The log's file moved, deleted, replaced or cut short, while it is open and while it is not."""

import shutil
import sqlite3

import pytest

from bandit.service.ops.doctor import examine
from streams.archive.backup import back_up, restore_backup
from streams.errors import LogLost, LogMoved
from streams.logs.base import Message
from streams.logs.embedded import wall_clock_ms
from streams.logs.sqlite import SqliteLog
from tests.faults.looping import RULE, assert_kept, looping, opened, refusal, traffic, until_learned
from tests.streams.logs.log_laws import read_all

IDS = [f"e{n}" for n in range(10)]


def log_findings(data):
    findings = examine({"data": data}, wall_clock_ms(), {})
    return [each for each in findings if each.check == "log" and each.state != "ok"]


def moved(path, aside):
    path.rename(aside)


def deleted(path, aside):
    aside.hardlink_to(path)  # a name by which the test brings it back
    path.unlink()


def replaced(path, aside):
    path.rename(aside)
    shutil.copy(aside, path)


@pytest.mark.parametrize(
    ("file", "taken"), [("log.db", deleted), ("log.db", replaced), ("log.db-wal", moved)]
)
def test_a_file_that_is_taken_away_takes_no_more_and_is_told(tmp_path, caplog, file, taken):
    path, aside = tmp_path / file, tmp_path / "aside"
    with looping(tmp_path) as api:
        name = api.placement("home", **RULE)
        acknowledged = traffic(api, name, IDS)
        until_learned(api, IDS)
        taken(path, aside)
        for answer in (
            api.rank(name, event_id="late"),
            api.event(name, "e0", "outcomes", {"kind": "click", "outcome_id": "late"}),
            api.client.put("/v1/placements/other", json={}),
            api.client.get("/health"),
        ):
            assert refusal(answer)[:2] == (503, "log_moved")
        message = refusal(api.client.get("/health"))[2]
        assert str(path) in caplog.text, "where it is, the server's own lines say"
        assert str(path) not in message
        assert "move it back" in message
        aside.replace(path)
        again = traffic(api, name, ["late"])
        assert again == (["late"], ["late"])
        assert api.client.get("/health").status_code == 200
        until_learned(api, ["late"])
    with opened(tmp_path) as log:
        assert_kept(log, acknowledged)
        assert_kept(log, again)


def test_a_deleted_log_is_no_new_log_to_who_starts_next(tmp_path):
    path = tmp_path / "log.db"
    with looping(tmp_path) as api:
        name = api.placement("home", **RULE)
        acknowledged = traffic(api, name, IDS)
        made = back_up(path, tmp_path / "b.db")
        for file in ("log.db", "log.db-wal", "log.db-shm"):
            (tmp_path / file).unlink()
        with pytest.raises(LogLost, match=f"{path} has 0 records, and had"):
            SqliteLog(path)
        (found,) = log_findings(tmp_path)
        assert found.state == "failure"
        assert "streams restore" in found.found
        assert not path.exists()
    assert not path.exists()
    restore_backup(made.path, path, tmp_path / "checkpoints")
    assert log_findings(tmp_path) == []
    with looping(tmp_path) as api:
        until_learned(api, IDS)
        traffic(api, name, ["new"])
        until_learned(api, ["new"])
    with opened(tmp_path) as log:
        assert_kept(log, acknowledged)


@pytest.fixture
def killed(start, tmp_path):
    """A log whose writer was killed, so that its newest records are in its write-ahead log."""
    path = tmp_path / "log.db"
    writer = start("append", path, "w")
    for line in writer.stdout:
        if int(line) == 20:
            break
    writer.kill()
    writer.wait()
    return path


def test_a_write_ahead_log_that_is_missing_is_noticed(killed, tmp_path):
    wal = tmp_path / "log.db-wal"
    kept = wal.rename(tmp_path / "kept")
    with pytest.raises(LogLost, match=r"log\.db-wal is missing.* remove .*log\.db-lock"):
        SqliteLog(killed)
    (found,) = log_findings(tmp_path)
    assert "log.db-wal is missing" in found.found
    for leftover in tmp_path.glob("log.db-wal"):
        leftover.unlink()
    kept.rename(wal)
    log = SqliteLog(killed)
    assert len(read_all(log, "t")) >= 3 * 20
    log.close()


def test_a_write_ahead_log_that_is_deleted_while_open_is_folded_in_at_the_end(tmp_path):
    logs = [SqliteLog(tmp_path / "log.db") for _ in range(2)]
    logs[0].create_topic("t")
    for log in logs * 5:
        log.append([Message("t", b"", b"v")])
    (tmp_path / "log.db-wal").unlink()
    for log in logs:
        with pytest.raises(LogMoved, match=r"log\.db-wal: there is no such file"):
            log.append([Message("t", b"", b"refused")])
        log.close()
    with opened(tmp_path) as log:
        assert [record.value for record in read_all(log, "t")] == [b"v"] * 10


def test_to_go_on_without_the_newest_is_a_choice(killed, tmp_path):
    (tmp_path / "log.db-wal").unlink()
    with pytest.raises(LogLost):
        SqliteLog(killed)
    (tmp_path / "log.db-lock").unlink()
    SqliteLog(killed).close()


def test_an_older_copy_in_its_place_is_noticed(tmp_path):
    path = tmp_path / "log.db"
    with opened(tmp_path) as log:
        log.create_topic("t")
        log.append([Message("t", b"", b"")] * 10)
    shutil.copy(path, tmp_path / "old.db")
    with opened(tmp_path) as log:
        log.append([Message("t", b"", b"")])
    shutil.copy(tmp_path / "old.db", path)
    with pytest.raises(LogLost, match=f"{path} has 10 records, and had 11"):
        SqliteLog(path)


def test_a_log_of_a_later_version_is_left_as_it_is(tmp_path):
    path = tmp_path / "log.db"
    SqliteLog(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    (found,) = log_findings(tmp_path)
    assert str(path) in found.found
    assert "upgrade this copyloop" in found.found
    assert path.read_bytes() == before


def test_a_moved_log_says_so_until_it_is_back(tmp_path):
    with opened(tmp_path) as log:
        log.create_topic("t")
        (tmp_path / "log.db").rename(tmp_path / "elsewhere.db")
        for ask in (log.time, lambda: log.append([Message("t", b"", b"")]), log.compact):
            with pytest.raises(
                LogMoved, match=r"log\.db: there is no such file any more"
            ) as caught:
                ask()
            assert caught.value.retriable
        (tmp_path / "elsewhere.db").rename(tmp_path / "log.db")
        log.append([Message("t", b"", b"")])
