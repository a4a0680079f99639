"""Scans, threads that follow a log, and how far apart costly steps are kept."""

import threading

import pytest

from streams.errors import LogUnavailable
from streams.fold import (
    LONGEST_SECONDS,
    AdaptiveInterval,
    Follower,
    batches,
    ends,
    history,
    partitions,
    scan,
    scan_topic,
)
from streams.logs.base import Message, Record, TopicPartition
from streams.logs.embedded import MemoryLog

PLACE = TopicPartition("t", 0)


class Gaps:
    """A partition with every third offset only, as a compacted one may have."""

    def read(self, partition, offset, *, limit):
        found = [n for n in range(0, 30, 3) if n >= offset][:limit]
        return [Record(*partition, n, 0, b"", b"%d" % n) for n in found]

    def start_offset(self, partition):
        return 0


def numbered(*counts):
    log = MemoryLog()
    log.create_topic("t", partitions=len(counts))
    for number, count in enumerate(counts):
        log.append([Message("t", b"", b"%d" % n, partition=number) for n in range(count)])
    return log


@pytest.mark.parametrize("limit", [1, 4, 1000])
@pytest.mark.parametrize(("start", "end"), [(None, None), (4, 21), (4, 20), (0, 0), (29, None)])
def test_a_scan_has_each_record_between_its_offsets_once(start, end, limit):
    found = [record.offset for record in scan(Gaps(), PLACE, start, end=end, limit=limit)]
    last = 30 if end is None else end
    assert found == [n for n in range(0, 30, 3) if (start or 0) <= n < last]
    assert all(batches(Gaps(), PLACE, start, end=end, limit=limit))


def test_a_topic_is_scanned_again_from_where_it_was_left():
    log, offsets = numbered(2, 3), {}
    assert [record[1:3] for record in scan_topic(log, "t", offsets)] == [
        *((0, n) for n in range(2)),
        *((1, n) for n in range(3)),
    ]
    log.append([Message("t", b"", b"new", partition=1)])
    assert [record.value for record in scan_topic(log, "t", offsets)] == [b"new"]
    assert offsets == ends(log, "t") == dict(zip(partitions(log, "t"), (2, 4), strict=True))


def test_an_offset_has_moved_on_by_the_time_its_record_is_there():
    offsets = {}
    for record in scan_topic(numbered(3), "t", offsets):
        assert offsets == {PLACE: record.offset + 1}


def test_history_ends_where_the_log_did_and_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr("streams.fold.BATCH", 2)
    log, told = numbered(3, 2), []
    found = []
    for records in history(log, "t", lambda *far: told.append(far)):
        log.append([Message("t", b"", b"later", partition=0)])
        found += [record.value for record in records]
    assert found == [b"0", b"1", b"2", b"0", b"1"]
    assert told == [("t", 2, 5), ("t", 3, 5), ("t", 5, 5)]


def test_a_follower_goes_on_after_the_log_was_away(monkeypatch, caplog):
    monkeypatch.setattr("streams.fold.RETRY_SECONDS", 0.001)
    looks, resets, done = [], [], threading.Event()

    def look():
        looks.append(len(looks))
        if len(looks) in (2, 3, 5):
            raise LogUnavailable("away")
        if len(looks) == 6:
            done.set()

    follower = Follower("things", look, reset=lambda: resets.append(len(looks)))
    assert not follower.following
    follower.start()
    assert done.wait(30)
    follower.stop()
    assert not follower.following
    assert resets[:3] == [2, 3, 5]
    assert len(resets) == 4, "and once at the end"
    assert caplog.text.count("things are not followed for now: away") == 2, "once each time"


def test_a_look_can_be_the_last():
    follower = Follower("things", lambda: follower.ending.set())
    follower.start()
    follower._thread.join(30)
    assert not follower.following


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("interval_seconds", "took_seconds", "period_seconds"),
    [(0.1, 0.0, 0.1), (0.1, 0.02, 20 * 0.02), (1.0, 20.0, LONGEST_SECONDS)],
    ids=["its interval", "a costly step: 20 times its cost", "a step that had to wait"],
)
def test_a_step_is_due_at_first_and_then_after(interval_seconds, took_seconds, period_seconds):
    clock = Clock()
    interval = AdaptiveInterval(interval_seconds, clock, clock)
    assert interval.wait_seconds() == 0.0

    def step():
        clock.now += took_seconds

    interval.run(step)
    assert interval.wait_seconds() == pytest.approx(period_seconds - took_seconds)
    clock.now += LONGEST_SECONDS
    assert interval.wait_seconds() == 0.0


def test_waiting_for_others_costs_nothing_by_a_clock_of_processor_time():
    clock, cpu_clock = Clock(), Clock()
    interval = AdaptiveInterval(0.1, clock, cpu_clock)

    def step():
        clock.now += 5.0
        cpu_clock.now += 0.001

    interval.run(step)
    assert interval.wait_seconds() == 0.0
