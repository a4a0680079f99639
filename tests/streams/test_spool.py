import multiprocessing
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import LogUnavailable, SpoolDamaged, SpoolError, SpoolFull
from streams.logs.base import Message
from streams.spool import FILE, Spool, _pack, claimed_spool, spooled

ROOM = 1 << 20
OLD = Path(__file__).parent / "old_spool"
"""What the version before the SQLite layout left: `0` with its first four messages forwarded and a
write that a crash cut off, `1` with one message of another process."""
MEMORY = Path("/dev/shm")

messages = st.builds(
    Message,
    st.sampled_from(["decisions", "outcomes"]),
    st.binary(max_size=8),
    st.binary(max_size=40),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2).map(tuple),
    st.none() | st.integers(0, 1 << 45),
    st.none() | st.integers(0, 9),
    shared=st.none(),
)
groups = st.lists(st.lists(messages, min_size=1, max_size=4), min_size=1, max_size=8)


def message(number, size=10):
    return Message("decisions", b"%d" % number, b"x" * size)


@contextmanager
def folder():
    # in memory where there is such a place: a hundred examples sync a thousand times
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as path:
        yield Path(path)


@contextmanager
def spooling(path, max_bytes=ROOM):
    with closing(Spool(path, max_bytes)) as spool:
        yield spool


def fill(path, groups, max_bytes=ROOM):
    with spooling(path, max_bytes) as spool:
        for number, group in enumerate(groups):
            spool.append(group, 1000 + number)


def fill_up(spool):
    while True:
        spool.append([message(0, 100)], 1)


def drain(spool, limit=3):
    found = []
    while spool.messages:
        batch = spool.peek(limit)
        found += batch.messages
        spool.forwarded(batch)
    return found


def flat(groups):
    return [message for group in groups for message in group]


def size_of(path):
    return sum(file.stat().st_size for file in path.iterdir())


@given(groups, st.integers(1, 9))
def test_what_goes_in_comes_out_in_order(groups, limit):
    with folder() as path:
        fill(path, groups)
        with spooling(path) as spool:
            assert spool.messages == len(flat(groups))
            assert drain(spool, limit) == flat(groups)
            assert (spool.messages, spool.size_bytes, spool.oldest_ms) == (0, 0, None)


@settings(max_examples=40)
@given(groups, st.data())
def test_what_was_forwarded_stays_so_and_the_rest_comes_after_a_restart(groups, data):
    with folder() as path:
        found = []
        with spooling(path, 3000) as spool:
            for number, group in enumerate(groups):
                spool.append(group, number)
                if data.draw(st.booleans()):
                    batch = spool.peek(2)
                    found += batch.messages
                    spool.forwarded(batch)
            told = spool.messages, spool.size_bytes, spool.oldest_ms
        with spooling(path) as spool:
            assert (spool.messages, spool.size_bytes, spool.oldest_ms) == told
            spool.append([message(1)], 99)
            assert found + drain(spool) == [*flat(groups), message(1)]


@settings(max_examples=40)
@given(groups, st.data())
def test_a_crash_at_any_byte_of_a_write_loses_nothing_that_was_written_before(groups, data):
    with folder() as path, folder() as crashed:
        with spooling(path) as spool:
            for number, group in enumerate(groups):
                spool.append(group, number)
            sound = (path / f"{FILE}-wal").stat().st_size
            spool.append([message(7), message(8)], 50)
            torn = (path / f"{FILE}-wal").read_bytes()
            shutil.copy(path / FILE, crashed)
        cut = data.draw(st.integers(sound, len(torn) - 1))
        # a machine that loses power may have made the file longer and written none or part of it
        junk = data.draw(st.binary(max_size=8) | st.integers(0, 300).map(bytes))
        (crashed / f"{FILE}-wal").write_bytes((torn[:cut] + junk)[: len(torn)])
        with spooling(crashed) as spool:
            spool.append([message(9)], 60)
            found = drain(spool)
        # The write is there as a whole or not at all; it was never answered for.
        assert found in (
            [*flat(groups), message(9)],
            [*flat(groups), message(7), message(8), message(9)],
        )


def test_damage_of_any_byte_of_a_message_is_told(tmp_path):
    fill(tmp_path, [[message(0)], [message(1, 40)], [message(2)]])
    content = (tmp_path / FILE).read_bytes()
    packed = _pack(message(1, 40))
    place = content.index(packed)
    for at in (0, *range(place, place + len(packed))):
        spoilt = bytearray(content)
        spoilt[at] ^= 0x10
        (tmp_path / FILE).write_bytes(spoilt)
        with pytest.raises(SpoolDamaged, match=r"move .* away to go on") as caught:
            Spool(tmp_path, ROOM)
        assert caught.value.code == "spool_damaged"


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(300, 1500), st.data())
def test_it_never_holds_more_than_it_may(sizes, max_bytes, data):
    with folder() as path, spooling(path, max_bytes) as spool:
        given, found = [], []
        for number, size in enumerate(sizes):
            with suppress(SpoolFull):
                spool.append([message(number, size)], number)
                given.append(message(number, size))
            assert spool.size_bytes <= max_bytes
            if data.draw(st.booleans()):
                batch = spool.peek(1)
                found += batch.messages
                spool.forwarded(batch)
        assert found + drain(spool) == given


def test_room_comes_back_as_it_is_forwarded(tmp_path):
    with spooling(tmp_path, 4000) as spool:
        with pytest.raises(SpoolFull) as caught:
            fill_up(spool)
        assert (caught.value.code, caught.value.retriable) == ("spool_full", True)
        full = spool.messages
        while spool.messages > full // 2:
            spool.forwarded(spool.peek(1))
        spool.append([message(1, 100)], 2)
        assert drain(spool)[-1] == message(1, 100)


def test_an_empty_spool_gives_the_disk_its_room_back(tmp_path):
    with spooling(tmp_path) as spool:
        for number in range(50):
            spool.append([message(number, 10_000)], 1)
        assert size_of(tmp_path) > 500_000
        drain(spool)
        assert size_of(tmp_path) < 200_000
        assert b"xxxxxxxx" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_the_oldest_is_told_with_its_time(tmp_path):
    with spooling(tmp_path) as spool:
        assert spool.oldest_seconds(5) == 0
        spool.append([message(0)], 1000)
        spool.append([message(1)], 3000)
        assert spool.oldest_seconds(4000) == 3
        spool.forwarded(spool.peek(1))
        assert spool.oldest_seconds(4000) == 1
    with spooling(tmp_path) as spool:
        assert spool.oldest_ms == 3000


def test_a_full_disk_takes_nothing_and_spoils_nothing(tmp_path):
    with spooling(tmp_path) as spool:
        spool.append([message(0)], 1)
        database = spool._log._writer
        ((pages,),) = database.execute("PRAGMA page_count")
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(SpoolFull, match="make room on that disk") as caught:
            spool.append([message(1, 100_000)], 2)
        assert caught.value.code == "spool_full"
        database.execute("PRAGMA max_page_count = 1000000")
        spool.append([message(2)], 3)
        assert spool.messages == 2
    with spooling(tmp_path) as spool:
        assert drain(spool) == [message(0), message(2)]


def test_a_disk_that_fails_is_told(tmp_path, monkeypatch):
    cause = sqlite3.OperationalError("disk I/O error")
    cause.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE

    def fail(messages):
        raise LogUnavailable("disk I/O error") from cause

    with spooling(tmp_path) as spool:
        monkeypatch.setattr(spool._log, "append", fail)
        with pytest.raises(SpoolError, match="disk I/O error") as caught:
            spool.append([message(1)], 2)
        assert (caught.value.code, spool.messages) == ("spool_failed", 0)


def hold(directory, ready, done):
    with claimed_spool(directory, ROOM) as spool:
        spool.append([message(1)], 1)
        ready.set()
        done.wait(60)


def test_a_process_has_a_spool_of_its_own_and_takes_up_what_a_dead_one_left(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(60)
    with claimed_spool(tmp_path, ROOM) as spool:
        assert spool.directory == tmp_path / "1"
        spool.append([message(2)], 2)
    other.kill()
    other.join()
    with claimed_spool(tmp_path, 1) as spool:
        assert spool.directory == tmp_path / "0"
        assert (spool.messages, spool.oldest_ms) == (2, 1)
        assert drain(spool) == [message(1), message(2)]
    with claimed_spool(tmp_path, ROOM) as spool:
        assert spool.messages == 0


def test_what_waits_is_told_while_others_hold_it_or_an_earlier_version_left_it(tmp_path):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    assert len(list(spooled(tmp_path))) == 13
    with claimed_spool(tmp_path, ROOM) as spool:
        spool.append([message(1)], 1)
        found = list(spooled(tmp_path))
    assert [place for place, _ in found] == [tmp_path / "0"] * 14
    assert found[-1][1] == message(1)
    assert list(spooled(tmp_path / "absent")) == []


# A spool of the layout before


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(OLD, tmp_path / "spool")


def old_segments(directory):
    return sorted(directory.glob("*.segment"))


def test_what_an_earlier_version_left_is_taken_over(old):
    with claimed_spool(old, ROOM) as spool:
        assert (spool.messages, spool.oldest_ms) == (13, 1_700_000_000_002)
        found = drain(spool)
    assert [m.key for m in found] == [*(b"e-%d" % n for n in range(4, 16)), b"one"]
    assert [m.topic for m in found[:3]] == ["outcomes", "outcomes", "decisions"]
    assert found[1] == Message("outcomes", b"e-5", b'{"n":5}' * 12, (("traceparent", b"00-aa"),))
    assert [m.timestamp_ms for m in found[2:4]] == [1_700_000_000_006] * 2
    assert [m.partition for m in found[4:6]] == [2, 2]
    assert [file.name for file in (old / "0").iterdir() if "spool.db" not in file.name] == []
    with claimed_spool(old, ROOM) as spool:
        assert spool.messages == 0


def test_damage_of_what_an_earlier_version_left_is_told(old):
    segment = old_segments(old / "0")[0]
    content = segment.read_bytes()
    for place in range(0, len(content), 7):
        spoilt = bytearray(content)
        spoilt[place] ^= 0x10
        segment.write_bytes(spoilt)
        with pytest.raises(SpoolDamaged, match=r"damaged at byte 532") as caught:
            Spool(old / "0", ROOM)
        assert caught.value.code == "spool_damaged"


@pytest.mark.parametrize("gone", [0, 1])
def test_a_segment_of_an_earlier_version_that_is_missing_is_told(old, gone):
    old_segments(old / "0")[gone].unlink()
    with pytest.raises(SpoolDamaged, match="damaged at byte"):
        Spool(old / "0", ROOM)


def test_a_mark_of_an_earlier_version_that_is_torn_forwards_all_that_is_there(old):
    mark = old / "0" / "forwarded"
    mark.write_bytes(mark.read_bytes()[:-1])
    with spooling(old / "0") as spool:
        assert spool.messages == 12


def test_an_upgrade_that_is_killed_forwards_twice_and_loses_nothing(old, monkeypatch):
    monkeypatch.setattr("streams.spool.remove_old", lambda directory: None)
    with spooling(old / "0") as spool:
        assert spool.messages == 12
    monkeypatch.undo()
    with spooling(old / "0") as spool:
        keys = [m.key for m in drain(spool)]
    assert keys == [b"e-%d" % n for n in range(4, 16)] * 2
