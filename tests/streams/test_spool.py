import errno
import multiprocessing
import os
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import SpoolDamaged, SpoolError, SpoolFull
from streams.log import Message
from streams.spool import Spool, claimed_spool
from streams.spool_file import segment_bases, segment_path, write_mark

ROOM = 1 << 20
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


def segments(path):
    return [segment_path(path, base) for base in segment_bases(path)]


@given(groups, st.integers(1, 9), st.integers(200, 2000))
def test_what_goes_in_comes_out_in_order_whatever_the_segments(groups, limit, segment_bytes):
    with folder() as path:
        fill(path, groups, segment_bytes * 8)
        with spooling(path) as spool:
            assert spool.messages == len(flat(groups))
            assert drain(spool, limit) == flat(groups)
            assert (spool.messages, spool.size_bytes, spool.oldest_ms) == (0, 0, None)
        assert segments(path) == []


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
        with spooling(path) as spool:
            spool.append([message(1)], 99)
            assert found + drain(spool) == [*flat(groups), message(1)]


@settings(max_examples=40)
@given(groups, st.data())
def test_a_crash_at_any_byte_of_a_write_loses_nothing_that_was_written_before(groups, data):
    with folder() as path:
        fill(path, groups)
        (segment,) = segments(path)
        sound = segment.read_bytes()
        with spooling(path) as spool:
            spool.append([message(7), message(8)], 5)
        torn = segments(path)[-1].read_bytes()
        cut = data.draw(st.integers(0, len(torn) - 1))
        # a machine that loses power may have made the file longer and written none or part of it
        junk = data.draw(st.binary(max_size=8) | st.integers(0, 300).map(bytes))
        after = (torn[:cut] + junk)[: len(torn)] if junk else torn[:cut]
        if after == torn:
            return
        segments(path)[-1].unlink()
        segment.write_bytes(sound + after)
        with spooling(path) as spool:
            spool.append([message(9)], 6)
            assert drain(spool) == [*flat(groups), message(9)]


def test_damage_of_any_byte_before_the_last_group_is_told(tmp_path):
    fill(tmp_path, [[message(0)], [message(1)], [message(2)]])
    (segment,) = segments(tmp_path)
    content = segment.read_bytes()
    for place in range(len(content) * 2 // 3):
        spoilt = bytearray(content)
        spoilt[place] ^= 0x10
        segment.write_bytes(spoilt)
        with pytest.raises(SpoolDamaged, match=r"segment is damaged at byte \d+") as caught:
            Spool(tmp_path, ROOM)
        assert caught.value.code == "spool_damaged"


def test_a_segment_that_is_missing_is_told(tmp_path):
    fill(tmp_path, [[message(n)] for n in range(30)], 2000)
    first, second, *_ = segments(tmp_path)
    held = first.read_bytes()
    for gone in (second, first):
        gone.rename(tmp_path / "gone")
        with pytest.raises(SpoolDamaged, match="no message that begins at byte"):
            Spool(tmp_path, ROOM)
        (tmp_path / "gone").rename(gone)
    first.write_bytes(held[:-1])
    with pytest.raises(SpoolDamaged):
        Spool(tmp_path, ROOM)


def test_a_mark_that_is_torn_forwards_again_and_one_in_the_wrong_place_is_told(tmp_path):
    fill(tmp_path, [[message(n)] for n in range(4)])
    with spooling(tmp_path) as spool:
        spool.forwarded(spool.peek(2))
    mark = tmp_path / "forwarded"
    mark.write_bytes(mark.read_bytes()[:-1])
    with spooling(tmp_path) as spool:
        assert spool.messages == 4
        batch = spool.peek(2)
    with mark.open("rb+") as file:
        write_mark(file.fileno(), batch.end - 1)
    with pytest.raises(SpoolDamaged):
        Spool(tmp_path, ROOM)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(300, 1500), st.data())
def test_it_never_takes_more_room_than_it_may(sizes, max_bytes, data):
    with folder() as path, spooling(path, max_bytes) as spool:
        given, found = [], []
        for number, size in enumerate(sizes):
            with suppress(SpoolFull):
                spool.append([message(number, size)], number)
                given.append(message(number, size))
            assert sum(segment.stat().st_size for segment in segments(path)) <= max_bytes
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
        assert len(segments(tmp_path)) > 1
        spool.append([message(1, 100)], 2)
        assert drain(spool)[-1] == message(1, 100)


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


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [(errno.ENOSPC, SpoolFull, "spool_full"), (errno.EIO, SpoolError, "spool_failed")],
)
def test_a_disk_that_fails_takes_nothing_and_spoils_nothing(
    tmp_path, monkeypatch, number, kind, code
):
    real = os.pwrite

    def half(file, data, place):
        real(file, bytes(data)[: len(data) // 2], place)
        raise OSError(number, os.strerror(number))

    with spooling(tmp_path) as spool:
        spool.append([message(0)], 1)
        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(kind) as caught:
            spool.append([message(1, 500)], 2)
        assert caught.value.code == code
        monkeypatch.undo()
        spool.append([message(2)], 3)
        assert spool.messages == 2
    with spooling(tmp_path) as spool:
        assert drain(spool) == [message(0), message(2)]


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
