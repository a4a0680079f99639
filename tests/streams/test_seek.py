"""Finding by time and key, held against reading everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import inspect as seek
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog

TOPIC = "found"


def filled(log, steps, partitions=2):
    """Records of keys 0 to 4, each this many milliseconds after the one before."""
    log.create_topic(TOPIC, partitions=partitions)
    now_ms = 1000
    for number, step in enumerate(steps):
        now_ms += step
        log.append([Message(TOPIC, b"%d" % (number % 5), b"%d" % number, timestamp_ms=now_ms)])
    return log


def everything(log):
    return [
        record
        for number in range(log.partitions(TOPIC))
        for record in log.read(TopicPartition(TOPIC, number), 0, limit=10_000)
    ]


@given(steps=st.lists(st.integers(0, 3), max_size=40), at_ms=st.integers(990, 1130))
def test_a_time_is_found_by_halving(steps, at_ms):
    log = filled(MemoryLog(), steps, partitions=1)
    expected = [r.offset for r in everything(log) if r.timestamp_ms >= at_ms]
    found = seek.offset_at(log, TopicPartition(TOPIC, 0), at_ms)
    assert found == (expected[0] if expected else len(steps))


@given(
    steps=st.lists(st.integers(0, 3), max_size=40),
    from_ms=st.integers(990, 1130),
    length=st.integers(0, 60),
)
def test_a_key_is_found_between_two_times(steps, from_ms, length):
    log = filled(MemoryLog(), steps)
    search = seek.by_key(log, TOPIC, b"3", from_ms=from_ms, until_ms=from_ms + length, limit=10_000)
    inside = range(from_ms, from_ms + length)
    expected = [r for r in everything(log) if r.key == b"3" and r.timestamp_ms in inside]
    assert sorted(search.records) == sorted(expected)
    assert search.complete


def test_a_search_that_reads_too_much_says_so(tmp_path):
    log = filled(SqliteLog(tmp_path / "log.db"), [1] * 50, partitions=1)
    cut = seek.by_key(log, TOPIC, b"4", from_ms=0, until_ms=9999, limit=20)
    assert [r.value for r in cut.records] == [b"4", b"9", b"14", b"19"]
    assert not cut.complete
    assert seek.by_key(log, TOPIC, b"4", from_ms=0, until_ms=9999, limit=50).complete
    log.close()


@given(steps=st.lists(st.integers(0, 2), max_size=40), cut=st.integers(0, 40))
def test_newest_first_goes_on_where_it_was_left(steps, cut):
    log = filled(MemoryLog(), steps)
    whole = list(seek.newest_first(log, TOPIC, {}))
    assert sorted(whole) == sorted(everything(log))
    assert [r.timestamp_ms for r in whole] == sorted((r.timestamp_ms for r in whole), reverse=True)
    first = whole[:cut]
    ends = {}
    for record in first:
        ends[record.partition] = record.offset
    assert first + list(seek.newest_first(log, TOPIC, ends)) == whole


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_it_reads_in_chunks(monkeypatch, chunk):
    monkeypatch.setattr(seek, "CHUNK", chunk)
    log = filled(MemoryLog(), [1] * 20)
    assert len(list(seek.newest_first(log, TOPIC, {}))) == 20
    assert len(seek.by_key(log, TOPIC, b"0", from_ms=0, until_ms=9999, limit=999).records) == 4
