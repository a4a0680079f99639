import threading
from itertools import islice

import pytest

from streams.errors import TopicError
from streams.inspect import line, tail
from streams.logs.base import Message, Record
from streams.logs.embedded import MemoryLog


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
