"""A file is written whole or not at all, whichever step fails, and for its owner alone."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from streams.checkpoint import Checkpoints, exclusive
from streams.files.writing import (
    BY_UMASK,
    UNFINISHED,
    remove_unfinished,
    write_whole,
    writing_whole,
)
from streams.logs.base import Message
from streams.logs.sqlite import SqliteLog
from streams.spool import Spool


def failing(*_args, **_options):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["os.open", "os.fdopen", "os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("there", [True, False])
def test_a_step_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, there):
    path = tmp_path / "report.json"
    if there:
        write_whole(path, b"old")
    with monkeypatch.context() as here:
        here.setattr(step, failing)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, b"new")
    assert path.exists() is there
    assert list(tmp_path.iterdir()) == [path] * there
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_block_that_raises_writes_nothing(tmp_path):
    def write_half():
        with writing_whole(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_is_private(tmp_path):
    path = tmp_path / "a"
    write_whole(path, b"1")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write_whole(path, b"2")
    assert path.stat().st_mode & 0o777 == 0o640
    before = os.umask(0o022)
    write_whole(tmp_path / "asked for", b"", mode=BY_UMASK)
    os.umask(before)
    assert (tmp_path / "asked for").stat().st_mode & 0o777 == 0o644


def test_two_that_write_a_shared_path_leave_one_of_theirs(tmp_path):
    path = tmp_path / "a"
    with (
        writing_whole(path, shared=True) as one,
        writing_whole(path, shared=True) as other,
    ):
        one.write(b"one")
        other.write(b"other")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_replaced_or_removed(tmp_path):
    left = tmp_path / "sub" / f"a{UNFINISHED}"
    left.parent.mkdir()
    left.write_bytes(b"half")
    write_whole(left.with_name("a"), b"whole")
    assert not left.exists()
    left.write_bytes(b"half")
    remove_unfinished(tmp_path)
    assert [path.name for path in left.parent.iterdir()] == ["a"]


def test_log_spool_checkpoints_and_locks_are_for_their_owner_alone(tmp_path):
    data = tmp_path / "data"
    before = os.umask(0o022)
    try:
        with closing(SqliteLog(data / "log.db")) as log, closing(Spool(data / "spool", 99)):
            log.create_topic("t")
            log.append([Message("t", b"k", b"v")])
            Checkpoints(data / "checkpoints").save("join-0", b"", {})
            with exclusive(data / "checkpoints", "join-0"):
                files = [path for path in data.rglob("*") if path.is_file()]
                modes = {path.name: path.stat().st_mode & 0o077 for path in files}
    finally:
        os.umask(before)
    assert modes.keys() >= {"log.db", "log.db-wal", "log.db-shm", "spool.db", "join-0.lock"}
    assert set(modes.values()) == {0}


def test_no_other_module_replaces_or_renames_files_of_its_own():
    """Every writer goes through `streams/files/writing.py`; what is not one says why here."""
    root = Path(__file__).parents[3]
    known = {
        "streams/files/writing.py",
        "streams/archive/files.py",  # moves whole archives aside
        "generator/models/opening.py",  # a folder, whole once it is renamed
        "generator/versions/store.py",  # likewise
        "generator/demo/story.py",  # what processes say, line by line
    }
    writes = (".write_bytes(", ".write_text(", ".rename(", "os.replace(", '.open("wb")', "to_csv")
    found = {
        str(path.relative_to(root))
        for package in ("streams", "bandit", "generator")
        for path in (root / package).rglob("*.py")
        if any(call in path.read_text() for call in writes)
    }
    assert found <= known
