"""Disks that are full, files that cannot be written, and folders that are somebody else's."""

import os
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from bandit.service.settings import Settings
from streams.archive.parquet import read_archive, run_archive
from streams.errors import LogError
from streams.events import DECISIONS
from streams.logs.base import Message
from streams.logs.sqlite import SqliteLog
from streams.spool import Spool
from streams.topics import create_topics
from tests.bandit.service.api_server import running, wait_until
from tests.bandit.service.gated_log import GatedLog
from tests.faults.looping import (
    RULE,
    assert_kept,
    looping,
    opened,
    refusal,
    traffic,
    until_learned,
)
from tests.streams.logs.log_laws import read_all

NOBODY = 65_534


def test_a_full_disk_refuses_names_what_to_do_and_goes_on_when_there_is_room(tmp_path, caplog):
    with looping(tmp_path, works=()) as api:
        name = api.placement("home", **RULE)
        acknowledged = traffic(api, name, ["before"])
        writer = api.log._writer
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")
        answers = [api.rank(name, event_id="full", context={"x": "y" * 50_000}) for _ in range(3)]
        assert {refusal(answer)[:2] for answer in answers} == {(503, "log_unavailable")}
        status, _, message = refusal(api.client.get("/health"))
        assert status == 503
        assert str(tmp_path / "log.db") in caplog.text
        assert "make room on its disk" in message
        writer.execute("PRAGMA max_page_count = 1000000")
        after = traffic(api, name, ["full"])
        assert after == (["full"], ["full"])
        assert api.client.get("/health").status_code == 200
    with opened(tmp_path) as log:
        assert_kept(log, acknowledged)
        assert_kept(log, after)


def test_a_checkpoint_that_cannot_be_written_stops_nothing_and_is_said(tmp_path, caplog):
    checkpoints = tmp_path / "checkpoints"
    in_the_way = [checkpoints / f"{name}.checkpoint.unfinished" for name in ("join-0", "learn-0")]
    for path in in_the_way:
        path.mkdir(parents=True)
    with looping(tmp_path) as api:
        name = api.placement("home", **RULE)
        acknowledged = traffic(api, name, ["a", "b"])
        until_learned(api, ["a", "b"])
    for name in ("join-0", "learn-0"):
        assert f"{checkpoints / name}.checkpoint cannot be written, make room" in caplog.text
    for path in in_the_way:
        path.rmdir()
    with looping(tmp_path) as api:
        until_learned(api, traffic(api, "home", ["c"])[1])
    assert {path.name for path in checkpoints.glob("*.checkpoint")} == {
        "join-0.checkpoint",
        "learn-0.checkpoint",
    }
    with opened(tmp_path) as log:
        assert_kept(log, acknowledged)


def test_an_archive_that_cannot_be_written_is_said_and_written_later(tmp_path, empty_log, caplog):
    create_topics(empty_log)
    empty_log.append([Message(DECISIONS, b"k", b"v")])
    in_the_way = tmp_path / DECISIONS / "000.unfinished"
    in_the_way.mkdir(parents=True)
    stop = threading.Event()
    runner = threading.Thread(
        target=run_archive,
        args=(empty_log, tmp_path),
        kwargs={"stop": stop, "interval_seconds": 0.01},
    )
    runner.start()
    try:
        wait_until(lambda: f"{tmp_path} cannot be written, make room" in caplog.text)
        in_the_way.rmdir()
        wait_until(lambda: list(read_archive(tmp_path, DECISIONS)))
    finally:
        stop.set()
        runner.join()
    assert list(read_archive(tmp_path, DECISIONS)) == read_all(empty_log, DECISIONS)


def test_a_spool_whose_file_is_gone_answers_for_nothing(tmp_path, caplog):
    log = GatedLog()
    settings = Settings(spool_after_seconds=0.05)
    with closing(Spool(tmp_path, 1 << 20)) as spool, running(log, settings, spool=spool) as api:
        name = api.placement("home")
        log.gate.clear()
        assert api.rank(name, event_id="spooled").status_code == 200
        (tmp_path / "spool.db").rename(tmp_path / "aside.db")
        status, code, message = refusal(api.rank(name, event_id="refused"))
        assert (status, code) == (503, "spool_failed")
        status, code, message = refusal(api.client.get("/health"))
        assert (status, code) == (503, "spool_failed")
        assert str(tmp_path / "spool.db") in caplog.text
        assert "move it back" in message
        (tmp_path / "aside.db").rename(tmp_path / "spool.db")
        assert api.rank(name, event_id="again").status_code == 200
        log.gate.set()
        wait_until(lambda: api.client.get("/health").json().get("status") == "ok")
        assert [d.event_id for d in api.logged(DECISIONS)] == ["spooled", "again"]


@pytest.fixture
def as_nobody():
    """The rest of the test may write what anybody may."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


def test_a_log_of_somebody_else_is_named(tmp_path, as_nobody):
    if os.geteuid() != NOBODY:
        tmp_path.chmod(0o555)
    with pytest.raises(LogError, match=rf"{tmp_path}/log\.db.*Permission denied"):
        SqliteLog(tmp_path / "log.db")


def test_a_command_that_cannot_write_says_so_without_a_traceback(tmp_path):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "streams", "schema", "--out", tmp_path / "file" / "x.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("copyloop: os_error: ")
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr
