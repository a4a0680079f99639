"""Finding by time and key, held against reading everything; and lines for a terminal."""

import threading
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import inspect
from streams.errors import TopicError
from streams.inspect import line, tail
from streams.logs.base import Message, Record, TopicPartition
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
    found = inspect.offset_at(log, TopicPartition(TOPIC, 0), at_ms)
    assert found == (expected[0] if expected else len(steps))


@given(
    steps=st.lists(st.integers(0, 3), max_size=40),
    from_ms=st.integers(990, 1130),
    length=st.integers(0, 60),
)
def test_a_key_is_found_between_two_times(steps, from_ms, length):
    log = filled(MemoryLog(), steps)
    search = inspect.by_key(
        log, TOPIC, b"3", from_ms=from_ms, until_ms=from_ms + length, limit=10_000
    )
    inside = range(from_ms, from_ms + length)
    expected = [r for r in everything(log) if r.key == b"3" and r.timestamp_ms in inside]
    assert sorted(search.records) == sorted(expected)
    assert search.complete


def test_a_search_that_reads_too_much_says_so(tmp_path):
    log = filled(SqliteLog(tmp_path / "log.db"), [1] * 50, partitions=1)
    cut = inspect.by_key(log, TOPIC, b"4", from_ms=0, until_ms=9999, limit=20)
    assert [r.value for r in cut.records] == [b"4", b"9", b"14", b"19"]
    assert not cut.complete
    assert inspect.by_key(log, TOPIC, b"4", from_ms=0, until_ms=9999, limit=50).complete
    log.close()


@given(steps=st.lists(st.integers(0, 2), max_size=40), cut=st.integers(0, 40))
def test_newest_first_goes_on_where_it_was_left(steps, cut):
    log = filled(MemoryLog(), steps)
    whole = list(inspect.newest_first(log, TOPIC, {}))
    assert sorted(whole) == sorted(everything(log))
    assert [r.timestamp_ms for r in whole] == sorted((r.timestamp_ms for r in whole), reverse=True)
    first = whole[:cut]
    ends = {}
    for record in first:
        ends[record.partition] = record.offset
    assert first + list(inspect.newest_first(log, TOPIC, ends)) == whole


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_it_reads_in_chunks(monkeypatch, chunk):
    monkeypatch.setattr(inspect, "CHUNK", chunk)
    log = filled(MemoryLog(), [1] * 20)
    assert len(list(inspect.newest_first(log, TOPIC, {}))) == 20
    assert len(inspect.by_key(log, TOPIC, b"0", from_ms=0, until_ms=9999, limit=999).records) == 4


@pytest.fixture
def log():
    log = MemoryLog(clock=iter(range(0, 10_000, 100)).__next__)
    log.create_topic("a", partitions=2)
    log.create_topic("b")
    return log


def test_it_shows_the_last_ones_of_each_partition_in_the_order_of_time(log):
    for n in range(3):
        for topic, partition in (("a", 0), ("a", 1), ("b", 0)):
            log.append([Message(topic, b"k", b"%d" % n, partition=partition)])
    lines = tail(log, ["a", "b"], stop=threading.Event(), last=2, follow=False)
    assert [text.split()[1:] for text in lines] == [
        ["a/0@1", "k", "1"],
        ["a/1@1", "k", "1"],
        ["b/0@1", "k", "1"],
        ["a/0@2", "k", "2"],
        ["a/1@2", "k", "2"],
        ["b/0@2", "k", "2"],
    ]


def test_it_follows_until_it_is_stopped(log):
    stop = threading.Event()
    lines = tail(log, ["b"], stop=stop)
    for n in range(3):
        log.append([Message("b", b"k", b"%d" % n)])
        assert [text.split()[-1] for text in islice(lines, 1)] == [f"{n}"]
    stop.set()
    assert list(lines) == []


def test_a_line_says_what_a_record_holds():
    record = Record("dead-letter", 0, 3, 0, b"k", b"x" * 50, (("reason", b"late"),))
    assert line(record, width=5)[13:] == "dead-letter/0@3 k reason=late xxxxx"


def test_a_record_cannot_disturb_the_terminal():
    text = line(Record("a", 0, 0, 0, b"\x1b[2J\xff", "ä\n".encode(), (("h", b"\r"),)))
    assert text.isprintable()
    assert text.endswith(r"\x1b[2J\xff h=\r ä\n")


def test_an_unknown_topic_is_an_error(log):
    with pytest.raises(TopicError):
        next(tail(log, ["absent"], stop=threading.Event()))
