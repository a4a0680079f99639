import os
import random
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import LogError, LogUnavailable
from streams.logs.base import Message, Shared, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.opening import open_log
from streams.logs.sqlite import SqliteLog
from streams.logs.sqlite_file import FairLock, connect
from tests.streams.logs.log_laws import Follower, LogLaws, poll_until, read_all
from tests.streams.processes import BATCH, batch


class TestSqliteLog(LogLaws):
    @pytest.fixture
    def log(self, tmp_path):
        log = SqliteLog(tmp_path / "log.db")
        yield log
        log.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


@pytest.fixture
def log(path):
    log = SqliteLog(path)
    log.create_topic("t", partitions=2)
    yield log
    log.close()


def values_of(log, name):
    return [r.value for r in read_all(log, "t") if r.key == name.encode()]


def batches_of(name, count):
    return [message.value for n in range(count) for message in batch(name, n)]


# Several processes


def test_processes_append_at_once_and_nothing_is_lost(start, log, path):
    names = ["first", "second", "third"]
    appenders = [start("append", path, name, "40") for name in names]
    for _ in range(40):
        log.append(batch("here", 0))
    assert [appender.communicate() and appender.returncode for appender in appenders] == [0, 0, 0]
    for name in names:
        assert values_of(log, name) == batches_of(name, 40)
    for number in range(2):
        records = log.read(TopicPartition("t", number), 0, limit=10_000)
        assert [r.offset for r in records] == list(range(len(records)))
        assert [r.timestamp_ms for r in records] == sorted(r.timestamp_ms for r in records)
    assert len(read_all(log, "t")) == 4 * 40 * BATCH


@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_outlives_kill_9(start, log, path, seed):
    wait_seconds = random.Random(seed).uniform(0.0, 0.06)
    appenders = {name: start("append", path, name) for name in ("first", "second")}
    acknowledged = {name: appender.stdout.readline() for name, appender in appenders.items()}
    time.sleep(wait_seconds)
    for name, appender in appenders.items():
        appender.kill()
        lines = appender.communicate()[0].split("\n")
        # What stands after the last newline was cut off by the kill.
        acknowledged[name] = int([acknowledged[name].strip(), *lines[:-1]][-1]) + 1
    for name, count in acknowledged.items():
        kept = values_of(log, name)
        assert kept == batches_of(name, len(kept) // BATCH)
        assert count <= len(kept) // BATCH <= count + 1
    log.append([Message("t", b"after", b"")])
    assert values_of(log, "after") == [b""]


def test_a_poll_sees_what_another_process_appends(start, log, path):
    consumer = log.consumer(["t"], Follower())
    assert consumer.poll(0.0) == []
    appender = start("append", path, "other", "2")
    records = poll_until(consumer, 2 * BATCH)
    appender.communicate()
    consumer.close()
    assert [r.value for r in records] == batches_of("other", 2)


def test_what_was_written_is_there_when_opened_again(path):
    log = SqliteLog(path)
    log.create_topic("t", partitions=2)
    log.append([Message("t", b"k", b"v", (("h", b"1"),))])
    log.store_commits("g", {TopicPartition("t", 1): 17})
    before = read_all(log, "t")
    log.close()
    again = SqliteLog(path)
    assert read_all(again, "t") == before
    assert again.committed("g", TopicPartition("t", 1)) == 17
    again.close()


def test_a_topic_that_another_process_made_is_found(log, path):
    other = SqliteLog(path)
    other.create_topic("new", partitions=3)
    other.close()
    assert log.partitions("new") == 3


def test_every_commit_is_synced(path):
    database = connect(path, 1.0)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    database.close()


# Compact topics


def test_a_compact_topic_does_not_grow_with_what_was_replaced(log, path):
    log.create_topic("snapshots", compact=True)
    snapshot = bytes(500_000)
    for n in range(40):
        log.append([Message("snapshots", b"%d" % (n % 2), snapshot)])
    partition = TopicPartition("snapshots", 0)
    assert [r.offset for r in log.read(partition, 0)] == [38, 39]
    assert log.end_offset(partition) == 40
    assert sum(os.path.getsize(f) for f in path.parent.iterdir()) < 8_000_000


def test_a_part_that_values_share_is_kept_once(log, path):
    part = os.urandom(100_000)
    for number in range(50):
        value = b"%02d" % number + part
        log.append([Message("t", b"", value, shared=Shared(part, start=2))] * 2)
    # as does whoever opens it next, who knows nothing of it yet
    other = SqliteLog(path)
    other.append([Message("t", b"", b"xx" + part, shared=Shared(part, start=2))])
    other.close()
    assert len(read_all(log, "t")) == 101
    assert {len(r.value) for r in read_all(log, "t")} == {100_002}
    log.close()
    assert path.stat().st_size < 400_000


def test_a_shared_part_goes_with_the_append_that_brought_it(log):
    part = os.urandom(1000)
    shared = Message("t", b"k", part, shared=Shared(part, start=0))
    with pytest.raises(LogError):
        log.append([shared, Message("t", b"k", object())])
    log.append([shared])
    assert [r.value for r in read_all(log, "t")] == [part]


def test_a_shared_part_of_another_threads_append_that_fails_is_not_used(log, monkeypatch):
    log.create_topic("compact", compact=True)
    inserting, one_done = threading.Event(), threading.Event()
    held = log._lock.held

    @contextmanager
    def leaves_late():
        with held():
            yield
        # The lock is free now, though the append of this thread goes on.
        if threading.current_thread() is threading.main_thread():
            other.start()
            inserting.wait(30)

    def fail(*_):
        inserting.set()
        one_done.wait(30)
        raise sqlite3.OperationalError("broken on purpose")

    def append_in_vain():
        with suppress(LogError):
            log.append([sent("compact")])

    def sent(topic, part=b"p" * 1000):
        return Message(topic, b"k", part, shared=Shared(part, start=0))

    monkeypatch.setattr(log._lock, "held", leaves_late)
    monkeypatch.setattr(log, "_drop_older", fail)
    other = threading.Thread(target=append_in_vain)
    log.append([sent("t", b"q" * 1000)])
    one_done.set()
    other.join()
    monkeypatch.undo()
    log.append([sent("t"), sent("t", b"r" * 1000)])
    assert {r.value for r in read_all(log, "t")} == {letter * 1000 for letter in (b"p", b"q", b"r")}


def test_many_shared_parts_are_forgotten_and_found_again(log, monkeypatch):
    monkeypatch.setattr("streams.logs.shared_parts.REMEMBERED_BYTES", 2500)
    parts = [os.urandom(1000) for _ in range(5)]
    sent = [Message("t", b"k", part, shared=Shared(part, start=0)) for part in parts * 2]
    for message in sent:
        log.append([message])
    assert [r.value for r in read_all(log, "t")] == parts * 2
    ((kept,),) = log._reader.execute("SELECT count(*) FROM shared")
    assert kept == 5


def test_a_log_of_the_layout_before_is_taken_over(log, path):
    log.append([Message("t", b"k", b"old")])
    log.close()
    database = connect(path, 1.0)
    for statement in (
        "DROP TABLE shared",
        "ALTER TABLE records DROP COLUMN shared_id",
        "ALTER TABLE records DROP COLUMN shared_at",
        "PRAGMA user_version = 1",
    ):
        database.execute(statement)
    database.close()
    again = SqliteLog(path)
    part = os.urandom(1000)
    again.append([Message("t", b"k", part, shared=Shared(part, start=0))])
    assert [r.value for r in read_all(again, "t")] == [b"old", part]
    again.close()


operations = st.lists(
    st.tuples(
        st.sampled_from(["plain", "compact"]),
        st.lists(
            st.tuples(st.binary(max_size=1), st.binary(max_size=3), st.none() | st.integers(0, 99)),
            max_size=4,
        ),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(operations=operations)
def test_it_agrees_with_the_log_in_memory(tmp_path_factory, operations):
    sqlite_log = SqliteLog(tmp_path_factory.mktemp("log") / "log.db", clock=lambda: 50)
    logs = [MemoryLog(clock=lambda: 50), sqlite_log]
    for log in logs:
        log.create_topic("plain", partitions=2)
        log.create_topic("compact", partitions=2, compact=True)
    for topic, sent in operations:
        batch = [Message(topic, key, value, (), ms) for key, value, ms in sent]
        assert logs[0].append(batch) == logs[1].append(batch)
    for topic in ("plain", "compact"):
        assert read_all(logs[0], topic) == read_all(logs[1], topic)
        for partition in (TopicPartition(topic, n) for n in range(2)):
            assert logs[0].start_offset(partition) == logs[1].start_offset(partition)
            assert logs[0].end_offset(partition) == logs[1].end_offset(partition)
    sqlite_log.close()


# What can go wrong


def test_the_url_opens_it_and_makes_its_folders(tmp_path):
    log = open_log(f"sqlite:///{tmp_path}/new/folder/log.db")
    assert (tmp_path / "new/folder/log.db").exists()
    log.close()


def test_a_file_that_is_no_database_is_refused(path):
    path.write_text("minutes of a meeting\n" * 100)
    with pytest.raises(LogError, match="not a database"):
        SqliteLog(path)
    assert path.read_text().startswith("minutes")


def test_the_database_of_another_program_is_refused_and_left_as_it_is(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE accounts (id INTEGER)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(LogError, match="not a copyloop log"):
        SqliteLog(path)
    assert path.read_bytes() == before


def test_the_log_of_a_newer_copyloop_is_refused(log, path):
    database = connect(path, 1.0)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LogError, match="upgrade"):
        SqliteLog(path)


def test_a_path_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "log.db", tmp_path):
        with pytest.raises(LogError, match=str(path)):
            SqliteLog(path)


def test_a_log_that_others_keep_busy_says_so_and_works_later(log, path):
    hasty = SqliteLog(path, patience_seconds=0.05)
    lock = FairLock(path, patience_seconds=1.0)
    with lock.held(), pytest.raises(LogUnavailable) as caught:
        hasty.append([Message("t", b"k", b"v")])
    assert caught.value.retriable
    assert read_all(hasty, "t") == []
    hasty.append([Message("t", b"k", b"v")])
    assert len(read_all(hasty, "t")) == 1
    hasty.close()
    lock.close()


def test_a_tool_that_holds_the_database_makes_it_busy_too(log, path):
    hasty = SqliteLog(path, patience_seconds=0.05)
    tool = sqlite3.connect(path, isolation_level=None)
    tool.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="locked"):
        hasty.append([Message("t", b"k", b"v")])
    tool.execute("ROLLBACK")
    hasty.append([Message("t", b"k", b"v")])
    hasty.close()
    tool.close()


def test_a_full_disk_writes_nothing_and_can_be_retried(log, path):
    writer = log._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    big = Message("t", b"k", bytes(200_000))
    with pytest.raises(LogUnavailable, match="full"):
        log.append([Message("t", b"k", b"small"), big])
    assert read_all(log, "t") == []
    writer.execute("PRAGMA max_page_count = 1000000")
    log.append([big])
    assert [r.value for r in read_all(log, "t")] == [big.value]


def test_an_append_that_fails_half_way_writes_nothing(log):
    with pytest.raises(LogError):
        log.append([Message("t", b"k", b"v"), Message("t", b"k", object())])
    assert read_all(log, "t") == []
    assert log.append([Message("t", b"k", b"v")])[0].offset == 0


def open_files(folder):
    """The names of the folder's files that this process has open, and of no others."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(Path(os.readlink(entry)))
    return {each.name for each in found if each.parent == folder}


def test_a_closed_log_keeps_no_file_open(path):
    log = SqliteLog(path)
    assert path.name in open_files(path.parent)
    log.close()
    assert open_files(path.parent) == set()


def test_a_closed_log_says_so(log):
    log.close()
    log.close()
    for ask in (
        lambda: log.append([Message("t", b"k", b"v")]),
        lambda: log.read(TopicPartition("t", 0), 0),
        lambda: log.create_topic("u"),
    ):
        with pytest.raises(LogError, match="closed"):
            ask()


def test_closing_while_others_write_does_not_wait_for_ever(log, path):
    hasty = SqliteLog(path, patience_seconds=0.05)
    lock = FairLock(path, patience_seconds=1.0)
    with lock.held():
        hasty.close()
    lock.close()
    log.append([Message("t", b"k", b"v")])
