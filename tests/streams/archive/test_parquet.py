import random
import threading
import time
from contextlib import closing, suppress
from functools import partial

import pyarrow.dataset
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.archive.parquet import (
    ARCHIVED,
    ArchiveCounts,
    archive_files,
    read_archive,
    restore,
    run_archive,
    write_file,
)
from streams.checkpoint import exclusive
from streams.errors import ArchiveError, LockError, LogUnavailable
from streams.events import CATALOGUE, DECISIONS, OUTCOMES, POLICIES
from streams.files.writing import UNFINISHED
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.streams.ingest.ingesting import running, wait_until
from tests.streams.logs.log_laws import read_all
from tests.streams.logs.patient import AwayAtTimes


def new_log(partitions=2):
    log = MemoryLog()
    create_topics(log, partitions=partitions)
    return log


def archive_once(log, directory, **options):
    """Archives all that is there, as a run that is stopped at once does."""
    stop = threading.Event()
    stop.set()
    run_archive(log, directory, stop=stop, **options)


def outcomes(numbers):
    return [Message(OUTCOMES, b"event-%d" % n, b'{"n": %d}' % n) for n in numbers]


def archived(directory, topic):
    return list(read_archive(directory, topic))


fields = st.tuples(
    st.binary(max_size=4) | st.just(b"event"),
    st.binary(max_size=20) | st.just('{"ä": "\u2028"}'.encode()),
    st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2).map(tuple),
    st.integers(0, 2**42),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sent=st.lists(fields, max_size=20), more=st.lists(fields, max_size=5))
def test_the_archive_and_what_is_restored_from_it_equal_the_log(tmp_path_factory, sent, more):
    directory = tmp_path_factory.mktemp("archive")
    log = new_log()
    log.append([Message(CATALOGUE, b"", b"{}", partition=0)])
    for batch in (sent, more):
        log.append([Message(DECISIONS, *message) for message in batch])
        archive_once(log, directory)
    restored = new_log()
    assert restore(directory, restored) == 1 + len(sent) + len(more)
    for topic in ARCHIVED:
        assert archived(directory, topic) == read_all(log, topic) == read_all(restored, topic)


def test_it_runs_again_without_writing_anything_twice(tmp_path):
    log = new_log()
    log.append(outcomes(range(10)))
    for _ in range(2):
        archive_once(log, tmp_path)
    assert len(archive_files(tmp_path, OUTCOMES)) == 2
    assert archived(tmp_path, OUTCOMES) == read_all(log, OUTCOMES)


def test_a_file_holds_so_many_rows_and_is_named_after_them(tmp_path):
    log = new_log(partitions=1)
    log.append(outcomes(range(25)))
    for _ in range(3):
        archive_once(log, tmp_path, rows_per_file=10)
    files = archive_files(tmp_path, OUTCOMES)
    assert [(f.partition, f.first, f.last) for f in files] == [(0, 0, 9), (0, 10, 19), (0, 20, 24)]
    assert archived(tmp_path, OUTCOMES) == read_all(log, OUTCOMES)


def test_it_follows_the_log_until_it_is_stopped(tmp_path):
    log = new_log()
    with running(run_archive, log, tmp_path, interval_seconds=0.01) as thread:
        for numbers in (range(5), range(5, 10)):
            log.append(outcomes(numbers))
            wanted = read_all(log, OUTCOMES)
            wait_until(lambda wanted=wanted: archived(tmp_path, OUTCOMES) == wanted, thread)


def test_a_full_file_does_not_wait_for_the_interval_and_the_rest_for_the_end(tmp_path):
    log = new_log(partitions=1)
    log.append(outcomes(range(15)))
    options = {"interval_seconds": 3600.0, "rows_per_file": 10}
    with running(run_archive, log, tmp_path, **options) as thread:
        wait_until(lambda: archive_files(tmp_path, OUTCOMES), thread)
        assert [f.last for f in archive_files(tmp_path, OUTCOMES)] == [9]
    assert [f.last for f in archive_files(tmp_path, OUTCOMES)] == [9, 14]


def test_snapshots_of_policies_are_left_out(tmp_path):
    log = new_log()
    log.append([Message(POLICIES, b"home", b"{}"), *outcomes([1])])
    archive_once(log, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [OUTCOMES]


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_9_leaves_nothing_out_and_nothing_twice(start, tmp_path, seed):
    path, directory = tmp_path / "log.db", tmp_path / "archive"
    log = SqliteLog(path)
    create_topics(log, partitions=2)
    log.append(outcomes(range(6000)))
    archiver = start("archive", path, directory)
    assert archiver.stdout.readline() == "started\n"
    time.sleep(random.Random(seed).uniform(0.0, 0.15))
    archiver.kill()
    archiver.communicate()
    log.append(outcomes(range(100)))
    before = archived(directory, OUTCOMES)
    assert len(before) == len(set(before))
    archive_once(log, directory)
    assert archived(directory, OUTCOMES) == read_all(log, OUTCOMES)
    log.close()


def test_a_file_that_was_not_finished_does_not_count(tmp_path):
    log = new_log(partitions=1)
    log.append(outcomes(range(5)))
    (tmp_path / OUTCOMES).mkdir()
    (tmp_path / OUTCOMES / "000.unfinished").write_bytes(b"PAR1 half a file")
    archive_once(log, tmp_path)
    assert archived(tmp_path, OUTCOMES) == read_all(log, OUTCOMES)


def test_a_log_that_is_away_at_times_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("streams.logs.wrappers.RETRY_SECONDS", 0.001)
    log = new_log()
    log.append(outcomes(range(50)))
    away = AwayAtTimes(log, seed=4)
    options = {"interval_seconds": 0.01, "rows_per_file": 20}
    # A call that failed just before `stay` is not made again once the archive is to stop.
    with suppress(LogUnavailable), running(run_archive, away, tmp_path, **options) as thread:
        wait_until(lambda: len(archived(tmp_path, OUTCOMES)) == 50, thread)
        away.stay()
    assert sorted(archived(tmp_path, OUTCOMES)) == sorted(read_all(log, OUTCOMES))
    assert {"partitions", "read", "start_offset", "end_offset"} <= away.failed


def test_one_process_at_a_time_archives(tmp_path):
    with exclusive(tmp_path, "archive"), pytest.raises(LockError):
        archive_once(new_log(), tmp_path)


def test_reports_read_it_as_it_is(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    log = new_log()
    log.append([*outcomes(range(10)), Message(OUTCOMES, b"\xff", b"\xff\x00")])
    archive_once(log, tmp_path)
    query = f"""SELECT count(*), sum((value->>'n')::int), count(value_bytes), min(key)
                FROM '{tmp_path}/{OUTCOMES}/*.parquet'"""
    assert duckdb.sql(query).fetchall() == [(11, 45, 1, "event-0")]


def rows_of(folder):
    """The rows that other programs see in a folder of the archive; all see the same."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    count = pyarrow.dataset.dataset(folder).count_rows()
    assert len(pandas.read_parquet(folder)) == count
    return count


def test_others_read_its_folders_while_it_is_written_and_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("streams.archive.parquet.ROWS_PER_GROUP", 5)
    log = new_log(partitions=1)
    log.append(outcomes(range(10)))
    archive_once(log, tmp_path)
    log.append(outcomes(range(12)))
    read, seen = log.read, []

    def looked_at(*args, **options):
        unfinished = [path for path in tmp_path.rglob("*") if path.name.endswith(UNFINISHED)]
        seen.append((len(unfinished), rows_of(tmp_path / OUTCOMES), rows_of(tmp_path)))
        return read(*args, **options)

    monkeypatch.setattr(log, "read", looked_at)
    archive_once(log, tmp_path)
    assert (1, 10, 10) in seen
    # A kill leaves what was being written, and the lock.
    (tmp_path / OUTCOMES / f".000{UNFINISHED}").write_bytes(b"PAR1 half a file")
    assert (rows_of(tmp_path), rows_of(tmp_path / OUTCOMES)) == (22, 22)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [OUTCOMES]


def test_an_archive_of_the_first_versions_is_taken_up_and_its_lock_removed(tmp_path):
    (tmp_path / "archive.lock").touch()
    log = new_log(partitions=1)
    log.append(outcomes(range(5)))
    archive_once(log, tmp_path)
    assert rows_of(tmp_path) == 5


def cut(data, keep):
    return data[: int(len(data) * keep)]


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damaged", [partial(cut, keep=0.5), partial(cut, keep=0.999), flipped])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, damaged):
    log = new_log(partitions=1)
    log.append(
        [*outcomes(range(1000)), Message(OUTCOMES, b"k", random.Random(1).randbytes(90_000))]
    )
    archive_once(log, tmp_path)
    (file,) = archive_files(tmp_path, OUTCOMES)
    file.path.write_bytes(damaged(file.path.read_bytes()))
    with pytest.raises(ArchiveError, match=file.path.name):
        archived(tmp_path, OUTCOMES)


def test_files_that_overlap_are_an_error(tmp_path):
    log = new_log(partitions=1)
    log.append(outcomes(range(10)))
    partition = TopicPartition(OUTCOMES, 0)
    for offset, rows in ((0, 6), (5, 5)):
        write_file(log, tmp_path, partition, offset, rows=rows, counts=ArchiveCounts())
    with pytest.raises(ArchiveError, match="offset 5"):
        archived(tmp_path, OUTCOMES)


def test_where_there_is_no_archive_it_says_so(tmp_path):
    with pytest.raises(ArchiveError, match="absent"):
        archived(tmp_path / "absent", OUTCOMES)
    with pytest.raises(ArchiveError):
        restore(tmp_path / "absent", MemoryLog())
    assert archived(tmp_path, OUTCOMES) == []


def test_a_log_that_has_records_is_not_restored_into(tmp_path):
    log = new_log()
    log.append(outcomes(range(5)))
    archive_once(log, tmp_path)
    before = read_all(log, OUTCOMES)
    with pytest.raises(ArchiveError, match="already has records"):
        restore(tmp_path, log)
    with pytest.raises(ArchiveError, match="3 partitions"):
        restore(tmp_path, new_log(partitions=3))
    assert read_all(log, OUTCOMES) == before


def test_a_new_log_is_laid_out_as_the_archived_one_was(tmp_path):
    log = new_log(partitions=4)
    log.append([Message(OUTCOMES, b"k", b"{}", partition=1)])
    archive_once(log, tmp_path)
    restored = MemoryLog()
    restore(tmp_path, restored)
    assert restored.partitions(OUTCOMES) == restored.partitions(DECISIONS) == 4


def fill(log, start_ms, count=10):
    """Appends outcomes with times of their own, which is what tells two histories apart."""
    log.append(
        [m._replace(timestamp_ms=start_ms + n) for n, m in enumerate(outcomes(range(count)))]
    )


@pytest.mark.parametrize("count", [4, 10, 30], ids=["shorter", "as long", "longer"])
def test_an_archive_of_another_history_is_put_aside_and_begun_anew(tmp_path, caplog, count):
    log = new_log()
    fill(log, 1000)
    archive_once(log, tmp_path)
    old = archived(tmp_path, OUTCOMES)
    restored = new_log()
    fill(restored, 5000, count)
    archive_once(restored, tmp_path)
    assert archived(tmp_path, OUTCOMES) == read_all(restored, OUTCOMES)
    (aside,) = tmp_path.glob("before-*")
    assert archived(aside, OUTCOMES) == old
    assert "another history" in caplog.text
    archive_once(restored, tmp_path)
    assert list(tmp_path.glob("before-*")) == [aside]


def test_a_log_that_went_on_from_an_older_copy_is_another_history(tmp_path):
    log, copy = new_log(), new_log()
    fill(log, 1000)
    fill(copy, 1000)
    fill(log, 2000)
    archive_once(log, tmp_path)
    fill(copy, 3000, 20)
    archive_once(copy, tmp_path)
    assert archived(tmp_path, OUTCOMES) == read_all(copy, OUTCOMES)


def test_a_log_that_was_restored_from_the_archive_goes_on_with_it(tmp_path):
    log, again = new_log(), new_log()
    fill(log, 1000)
    archive_once(log, tmp_path)
    restore(tmp_path, again)
    fill(again, 2000)
    archive_once(again, tmp_path)
    assert archived(tmp_path, OUTCOMES) == read_all(again, OUTCOMES)
    assert not list(tmp_path.glob("before-*"))


@pytest.mark.parametrize("which", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize("how", ["deleted", "cut", "another's"])
def test_a_file_that_is_gone_or_damaged_is_written_again(tmp_path, which, how):
    log = new_log(partitions=1)
    log.append(outcomes(range(25)))
    for _ in range(3):
        archive_once(log, tmp_path, rows_per_file=10)
    files = archive_files(tmp_path, OUTCOMES)
    path = files[which].path
    match how:
        case "deleted":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-20])
        case _:
            path.write_bytes(files[which - 1].path.read_bytes())
    archive_once(log, tmp_path, rows_per_file=10)
    assert archive_files(tmp_path, OUTCOMES) == files
    assert archived(tmp_path, OUTCOMES) == read_all(log, OUTCOMES)


def test_a_file_that_is_deleted_while_it_runs_is_written_again(tmp_path):
    log = new_log(partitions=1)
    log.append(outcomes(range(5)))
    with running(run_archive, log, tmp_path, interval_seconds=0.01) as thread:
        wait_until(lambda: archived(tmp_path, OUTCOMES), thread)
        log.append(outcomes(range(5)))
        wait_until(lambda: len(archive_files(tmp_path, OUTCOMES)) == 2, thread)
        archive_files(tmp_path, OUTCOMES)[0].path.unlink()
        wait_until(lambda: archived(tmp_path, OUTCOMES) == read_all(log, OUTCOMES), thread)


def test_a_reader_refuses_an_archive_that_lacks_a_file_in_the_middle(tmp_path, caplog):
    log = new_log(partitions=1)
    log.append(outcomes(range(25)))
    for _ in range(3):
        archive_once(log, tmp_path, rows_per_file=10)
    first, middle, last = archive_files(tmp_path, OUTCOMES)
    middle.path.unlink()
    with pytest.raises(ArchiveError, match="offsets 10 to 19 are missing"):
        archived(tmp_path, OUTCOMES)
    first.path.unlink()
    assert len(archived(tmp_path, OUTCOMES)) == last.last - last.first + 1
    assert "offsets 0 to 19 are missing" in caplog.text


def test_offsets_that_the_log_has_dropped_are_no_gap(tmp_path):
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        create_topics(log)
        log.append(outcomes(range(2)))
        archive_once(log, tmp_path)
        log.append(outcomes(range(4)))
        log.delete_before(TopicPartition(OUTCOMES, 0), 4)
        for _ in range(2):
            archive_once(log, tmp_path)
    assert [record.offset for record in archived(tmp_path, OUTCOMES)] == [0, 1, 4, 5]


def test_only_the_owner_may_read_what_is_archived(tmp_path):
    log = new_log(partitions=1)
    log.append(outcomes(range(5)))
    archive_once(log, tmp_path / "archive")
    files = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
