import pytest

from streams.events import DEAD_LETTER, DECISIONS, OUTCOMES, decode
from streams.join.machine import Join
from streams.join.partition import (
    IDLE_SECONDS,
    OVERDUE_MS,
    TICK,
    JoinCounts,
    JoinedPartition,
)
from streams.join.written import JoinWritten
from streams.logs.base import Record
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.streams.join.joining import catalogue_of, event_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
START_MS = 1_000_000
WINDOW_MS = 10_000
PLACEMENT = {
    "name": "p",
    "learn": "realtime",
    "reward": {"window_seconds": WINDOW_MS / 1000, "grace_seconds": 0},
}


class Partition:
    """One partition under a clock that only the test moves."""

    def __init__(self):
        log = MemoryLog()
        create_topics(log)
        self.log = log
        self.counts = JoinCounts()
        join = Join(0, catalogue_of([{"at": 0, "placement": PLACEMENT}]))
        self.joined = JoinedPartition(join, {}, JoinWritten(0, {}), self.counts)
        self.now_ms = START_MS
        self.offsets = {DECISIONS: 0, OUTCOMES: 0}

    def add(self, topic, value, headers=()):
        record = Record(topic, 0, self.offsets[topic], self.now_ms, b"e", value, headers)
        self.offsets[topic] += 1
        self.joined.add(record, self.now_ms / 1000)
        return self.joined.advance(self.log)

    def decide(self, event_id, **more):
        decision = {"event_id": event_id, **more}
        return self.add(*event_of({"at": self.now_ms, "decision": decision}))

    def click(self, event_id, headers=(), **more):
        outcome = {"event_id": event_id, "outcome_id": "o", **more}
        return self.add(*event_of({"at": self.now_ms, "outcome": outcome}), headers)

    def ticks(self):
        """The sides that get a tick now; they get it a millisecond later."""
        sides = [m.topic for m in self.joined.ticks(self.now_ms / 1000, self.now_ms)]
        self.now_ms += 1
        for side in sides:
            self.add(side, TICK)
        return sides


@pytest.fixture
def partition():
    return Partition()


def idle(partition, ms):
    """All the ticks while nothing happens for so long."""
    end_ms = partition.now_ms + ms
    sides = []
    while partition.now_ms < end_ms:
        sides += partition.ticks()
    return sides


IDLE_MS = int(IDLE_SECONDS * 1000)


def test_steady_traffic_needs_no_ticks(partition):
    sides = []
    for number in range(200):
        partition.decide(f"e{number}")
        sides += idle(partition, IDLE_MS // 3)
        partition.click(f"e{number}")
        sides += idle(partition, IDLE_MS // 3)
    assert sides == [OUTCOMES], "one at the very start, when nothing had come from that side"


def test_a_side_that_holds_up_the_other_is_moved_on_by_one_tick(partition):
    partition.decide("a")
    partition.click("a")
    assert idle(partition, WINDOW_MS // 2) == [DECISIONS]


def test_what_comes_after_a_quiet_time_waits_for_nothing_but_its_tick(partition):
    partition.decide("a")
    idle(partition, 1000)
    partition.click("a")
    partition.now_ms += 1
    assert partition.ticks() == [DECISIONS]
    assert partition.counts.interactions == 2


def test_ticks_alone_call_for_no_ticks(partition):
    partition.add(OUTCOMES, TICK)
    partition.add(DECISIONS, TICK)
    assert idle(partition, WINDOW_MS) == []


def test_a_window_that_ends_in_silence_is_closed_by_ticks_of_both_sides(partition):
    partition.decide("a")
    assert idle(partition, 1000) == [OUTCOMES]
    assert idle(partition, WINDOW_MS + OVERDUE_MS - 1100) == []
    assert idle(partition, 2 * WINDOW_MS) == [DECISIONS, OUTCOMES]
    assert partition.counts.closed == 1
    assert partition.counts.default_rate == 1.0


def test_a_quiet_side_costs_a_tick_an_idle_time_at_most(partition):
    for number in range(100):
        partition.decide(f"e{number}")
        partition.now_ms += 2
        partition.ticks()
    assert 0 < partition.counts.ticks <= 100 * 3 // IDLE_MS + 1


def test_offsets_are_those_of_what_waits(partition):
    partition.decide("a")
    partition.click("a")
    partition.click("a")
    places = {place.topic: offset for place, offset in partition.joined.offsets().items()}
    assert places == {DECISIONS: 1, OUTCOMES: 0}


def test_interactions_carry_their_decisions_trace_in_a_header(partition):
    partition.decide("a", traceparent=TRACE)
    partition.decide("b")
    messages = partition.click("a") + partition.click("b")
    partition.now_ms += 1
    messages += partition.add(OUTCOMES, TICK) + partition.add(DECISIONS, TICK)
    headers = {decode(m.value).decision.event_id: m.headers for m in messages}
    assert headers == {"a": (("traceparent", TRACE.encode()),), "b": ()}


@pytest.mark.parametrize(
    ("headers", "field", "kept"),
    [
        ((("traceparent", TRACE.encode()),), None, TRACE),
        ((("ce_traceparent", TRACE.encode()),), None, TRACE),
        ((("traceparent", TRACE.encode()),), "its own", "its own"),
        ((("traceparent", b"nonsense"), ("shop", b"\xff")), None, None),
    ],
)
def test_an_outcome_keeps_the_trace_of_its_records_header(partition, headers, field, kept):
    partition.decide("a")
    partition.now_ms += 1
    partition.click("a", headers, traceparent=field)
    partition.now_ms += 1
    partition.add(OUTCOMES, TICK)
    (message,) = partition.add(DECISIONS, TICK)
    (outcome,) = decode(message.value).outcomes
    assert outcome.traceparent == kept


def test_an_outcome_of_an_unknown_kind_is_counted_and_laid_aside_once(partition):
    partition.decide("a")
    partition.now_ms += 1
    partition.click("a", kind="clik")
    partition.click("a", outcome_id="seen", kind="impression")
    partition.now_ms += 1
    written = partition.decide("b")
    (letter,) = [message for message in written if message.topic == DEAD_LETTER]
    headers = dict(letter.headers)
    assert headers["reason"] == b"unknown_kind"
    assert b"'clik'" in headers["error"]
    assert partition.counts.refused == 1
    assert partition.counts.dead_lettered == 1
