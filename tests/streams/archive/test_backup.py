"""Backups of a log in use, and logs that are made of them."""

import json
import os
import subprocess
import threading
from contextlib import closing
from itertools import count

import pytest
from typer.testing import CliRunner

from streams.archive.backup import BEFORE_RESTORE, back_up, restore_archive, restore_backup
from streams.archive.parquet import run_archive
from streams.checkpoint import Checkpoints, exclusive
from streams.commands.log import app as streams
from streams.errors import ArchiveError, BackupError, LockError, LogLost
from streams.events import DECISIONS, OUTCOMES
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.logs.sqlite_file import connect
from streams.topics import create_topics
from tests.streams.logs.log_laws import read_all

AT = TopicPartition(DECISIONS, 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "log.db"


@pytest.fixture
def log(path):
    log = SqliteLog(path)
    create_topics(log, partitions=2)
    log.append([Message(DECISIONS, b"%d" % n, b"v" * 300) for n in range(500)])
    yield log
    log.close()


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new" / "log.db"


def everything(log):
    return [read_all(log, topic) for topic in (DECISIONS, OUTCOMES)]


def restored(backup, path):
    made = restore_backup(backup, path, path.parent / "checkpoints")
    with closing(SqliteLog(path)) as log:
        return made, everything(log)


def test_a_backup_has_all_that_was_acknowledged_while_others_write(log, path, tmp_path, new):
    stop, written = threading.Event(), []

    def write():
        for number in count():
            if stop.is_set():
                return
            log.append([Message(OUTCOMES, b"%d" % number, b"{}", partition=0)])
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            pass
        before = len(written)
        made = back_up(path, tmp_path / "b.db")
    finally:
        stop.set()
        writer.join()
    again, (decisions, outcomes) = restored(made.path, new)
    assert [r.key for r in outcomes] == [b"%d" % n for n in range(len(outcomes))]
    assert before <= len(outcomes) <= len(written)
    assert len(decisions) == 500
    assert (again.records, again.sha256) == (made.records, made.sha256)
    assert made.records == 500 + len(outcomes)


def test_backups_and_restored_logs_are_their_owners_alone(log, path, tmp_path, new):
    before = os.umask(0)
    try:
        made = back_up(path, tmp_path / "made" / "b.db")
        restored(made.path, new)
    finally:
        os.umask(before)
    for file in (made.path, new):
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_checksum_is_one_that_sha256sum_checks(log, path, tmp_path):
    back_up(path, tmp_path / "b.db")
    command = ["sha256sum", "-c", "b.db.sha256"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert {each.name for each in tmp_path.iterdir()} == {"data", "b.db", "b.db.sha256"}


def test_a_backup_replaces_nothing_and_leaves_nothing_where_it_fails(log, path, tmp_path):
    (tmp_path / "b.db").write_text("mine")
    with pytest.raises(BackupError, match=r"b\.db exists"):
        back_up(path, tmp_path / "b.db")
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(path, tmp_path / "b.db" / "c.db")
    assert {each.name for each in tmp_path.iterdir()} == {"data", "b.db"}


@pytest.mark.parametrize("at", [0, 30_000, -1])
def test_a_backup_with_one_flipped_byte_is_refused(log, path, tmp_path, new, at):
    made = back_up(path, tmp_path / "b.db")
    data = bytearray(made.path.read_bytes())
    data[at] ^= 1
    made.path.write_bytes(data)
    with pytest.raises(BackupError, match=r"b\.db is damaged"):
        restored(made.path, new)
    assert not new.parent.exists()


def test_without_its_checksum_a_backup_is_still_looked_through(log, path, tmp_path, new):
    made = back_up(path, tmp_path / "b.db")
    (tmp_path / "b.db.sha256").unlink()
    assert restored(made.path, new)[1] == everything(log)
    new.unlink()
    made.path.write_bytes(made.path.read_bytes()[:-8192])
    with pytest.raises(BackupError, match=r"b\.db cannot be used"):
        restored(made.path, new.with_name("other.db"))
    made.path.write_text("minutes of a meeting\n" * 100)
    with pytest.raises(BackupError, match=r"b\.db cannot be used: .*not a database"):
        restored(made.path, new.with_name("other.db"))


def test_a_newer_copyloops_backup_is_refused(log, path, tmp_path, new):
    made = back_up(path, tmp_path / "b.db")
    (tmp_path / "b.db.sha256").unlink()
    with closing(connect(made.path, 1.0)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(BackupError, match="upgrade this copyloop"):
        restored(made.path, new)


@pytest.mark.parametrize("there", ["log.db", "log.db-wal"])
def test_nothing_is_restored_over_a_log(log, path, tmp_path, new, there):
    made = back_up(path, tmp_path / "b.db")
    new.parent.mkdir()
    (new.parent / there).write_text("mine")
    with pytest.raises(BackupError, match=f"{there} exists"):
        restored(made.path, new)
    assert (new.parent / there).read_text() == "mine"


def test_what_was_derived_from_the_log_before_is_put_aside(log, path, tmp_path):
    made = back_up(path, tmp_path / "b.db")
    checkpoints = path.parent / "checkpoints"
    Checkpoints(checkpoints).save("join-0", b"", {AT: 700})
    log.append([Message(DECISIONS, b"", b"")] * 300)
    log.close()
    path.unlink()
    with exclusive(checkpoints, "join-0"), pytest.raises(LockError, match="join-0"):
        restored(made.path, path)
    assert not path.exists()
    restored(made.path, path)
    assert Checkpoints(checkpoints).load("join-0") is None
    assert (checkpoints / f"join-0.checkpoint{BEFORE_RESTORE}").exists()


def test_a_log_that_is_lost_says_so_until_it_is_restored(log, path, tmp_path):
    made = back_up(path, tmp_path / "b.db")
    log.close()
    path.unlink()
    with pytest.raises(LogLost, match=r"had 500: .*streams restore"):
        SqliteLog(path)
    assert not path.exists(), "no new log takes its place"
    restored(made.path, path)


def test_an_archive_is_restored_whole_or_not_at_all(log, path, tmp_path, new):
    stop = threading.Event()
    stop.set()
    archive = path.parent / "archive"
    run_archive(log, archive, stop=stop)
    made = restore_archive(archive, new, new.parent / "checkpoints")
    assert made.records == 500
    with closing(SqliteLog(new)) as again:
        assert everything(again) == everything(log)
    (file,) = (archive / DECISIONS).glob("000-*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=str(file)):
        restore_archive(archive, new.with_name("other.db"), new.parent / "checkpoints")
    assert {each.name for each in new.parent.iterdir()} >= {"log.db"}
    assert not new.with_name("other.db").exists()


def test_the_commands(log, path, tmp_path):
    def run(*words):
        done = CliRunner().invoke(streams, [*map(str, words)])
        return done.stdout + str(done.exception or "")

    at = ("--data", path.parent)
    assert "500" in run("backup", tmp_path / "b.db", *at)
    assert "no log at" in run("backup", tmp_path / "c.db", "--data", tmp_path / "none")
    assert "is no SQLite log" in run("backup", tmp_path / "c", "--log", "kafka://h:1")
    assert "exists" in run("restore", tmp_path / "b.db", *at)
    assert "500" in run("restore", tmp_path / "b.db", "--data", tmp_path / "new")
    assert (tmp_path / "new" / "log.db").exists()
    log.append([Message(OUTCOMES, b"", b"", timestamp_ms=log.time().log_ms + 10**10)])
    (shown,) = json.loads(run("clock", *at, "--format", "json"))
    assert shown["ahead"] == pytest.approx(10**7, abs=60)
    assert shown["accepted"] == 0.0
    (shown,) = json.loads(run("clock", "--accept", *at, "--format", "json"))
    assert shown["accepted"] == shown["ahead"]
