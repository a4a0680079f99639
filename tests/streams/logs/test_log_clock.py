"""The log's time, whatever the machine's clock does."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.logs.log_clock import SLEWED_MS, LogClock, LogTime, Moment
from streams.logs.sqlite import SqliteLog

YEAR_MS = 365 * 86_400_000


class Machine:
    """A clock that people set, and one that they cannot."""

    def __init__(self):
        self.wall_ms = 1_800_000_000_000
        self.elapsed_seconds = 0.0
        self.clock = self.another()
        self.latest = Moment(0, 0)

    def another(self):
        return LogClock(lambda: self.wall_ms, lambda: self.elapsed_seconds)

    def passes(self, ms):
        self.wall_ms += ms
        self.elapsed_seconds += ms / 1000

    def append(self, clock=None):
        clock = clock or self.clock
        asked = clock.ask(self.latest)
        self.latest = clock.appended(self.latest, asked, asked.moment.log_ms)
        return self.latest.log_ms


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(-YEAR_MS, YEAR_MS)), max_size=30))
def test_it_never_goes_back_and_a_clock_that_is_set_back_costs_no_more_than_time(steps):
    machine = Machine()
    before = machine.append()
    for passed_ms, set_by_ms in steps:
        machine.passes(passed_ms)
        machine.wall_ms = max(machine.wall_ms + set_by_ms, 0)
        now = machine.append()
        assert now >= before
        # As the clock shows, or else on by no more than what passed.
        assert now == machine.wall_ms or now - before <= passed_ms + 1
        before = now


def test_a_thread_that_asks_while_another_appends_costs_the_log_no_time():
    machine = Machine()
    machine.wall_ms += 10 * YEAR_MS
    machine.append()
    machine.wall_ms -= 10 * YEAR_MS
    before = machine.append()
    asked = machine.clock.ask(machine.latest)
    told = []
    for _ in range(20):  # the append takes two seconds to be durable
        machine.passes(100)
        told.append(machine.clock.after(machine.latest).log_ms)
    # It is appended, and not noted yet.
    noted = machine.clock.appended(machine.latest, asked, asked.moment.log_ms)
    told.append(machine.clock.after(machine.latest).log_ms)
    machine.latest = noted
    machine.passes(500)
    told.append(machine.clock.after(machine.latest).log_ms)
    assert told == sorted(told)
    assert told[-1] - before == pytest.approx(2500, abs=2)


def test_past_a_jump_it_goes_on_by_what_passes_in_every_process():
    machine = Machine()
    others = [machine.another(), machine.another()]
    machine.append()
    machine.wall_ms += 10 * YEAR_MS
    jumped = machine.append()
    machine.wall_ms -= 10 * YEAR_MS
    for n in range(300):
        machine.passes(10)
        machine.append(others[n % 2])
    # The 10 ms in which it was set back are lost.
    assert machine.latest.log_ms - jumped == 2990


def test_the_time_that_appends_take_is_not_lost():
    machine = Machine()
    machine.latest = Moment(machine.wall_ms + 10 * YEAR_MS, machine.wall_ms)
    ahead_ms = machine.append() - machine.wall_ms
    for _ in range(100):
        machine.passes(30)
        asked = machine.clock.ask(machine.latest)
        machine.passes(20)  # until it is on the disk
        machine.latest = machine.clock.appended(machine.latest, asked, asked.moment.log_ms)
    machine.passes(30)
    assert machine.append() - machine.wall_ms == pytest.approx(ahead_ms, abs=1)


def test_a_clock_that_is_behind_for_a_moment_leaves_nothing():
    machine = Machine()
    machine.append()
    machine.wall_ms -= 50 * YEAR_MS
    machine.passes(1000)
    machine.append()
    machine.wall_ms += 50 * YEAR_MS
    machine.passes(1000)
    assert machine.append() == machine.wall_ms


def test_a_clock_that_is_set_to_and_fro_while_it_is_behind_counts_what_passed():
    machine = Machine()
    machine.latest = Moment(machine.wall_ms + 10 * YEAR_MS, machine.wall_ms)
    first = machine.append()
    for _ in range(5):
        machine.wall_ms -= YEAR_MS
        machine.append()
        machine.wall_ms += YEAR_MS
        machine.passes(100)
        machine.append()
    assert machine.latest.log_ms - first == pytest.approx(500, abs=5)


def test_a_small_difference_goes_by_itself():
    machine = Machine()
    machine.append()
    machine.wall_ms -= SLEWED_MS // 2
    for _ in range(1000):
        machine.passes(1999)
        machine.append()
    ahead_ms = machine.latest.log_ms - machine.wall_ms
    assert ahead_ms == pytest.approx(SLEWED_MS // 2 - 1000 * 1999 // 2, abs=1000)
    for _ in range(1000):
        machine.passes(1999)
        machine.append()
    assert machine.latest.log_ms == machine.wall_ms


@pytest.mark.parametrize(
    ("time", "told"),
    [
        (LogTime(10_000, 5_000), None),
        (LogTime(70_000, 10_000), "60 s ahead .* catches up in 120 s by itself"),
        (LogTime(SLEWED_MS + 1, 0), "streams clock --accept"),
        (LogTime(SLEWED_MS + 1, 0, accepted_ms=SLEWED_MS), None),
        (LogTime(2 * SLEWED_MS, 0, accepted_ms=SLEWED_MS), "streams clock --accept"),
    ],
)
def test_a_disagreement_says_what_to_do(time, told):
    if told is None:
        assert time.disagreement is None
    else:
        assert re.search(told, time.disagreement)


@pytest.fixture(params=["memory", "sqlite"])
def open_with(request, tmp_path):
    logs = []

    def opened_with(clock):
        in_memory = request.param == "memory"
        logs.append(
            MemoryLog(clock=clock) if in_memory else SqliteLog(tmp_path / "log.db", clock=clock)
        )
        return logs[-1]

    yield opened_with
    for log in logs:
        log.close()


@pytest.fixture
def opened(open_with):
    wall = [1_800_000_000_000]
    return open_with(lambda: wall[0]), wall


def test_all_topics_of_a_log_have_one_time(opened):
    log, wall = opened
    for topic in ("one", "other"):
        log.create_topic(topic, partitions=2)
    wall[0] += 10 * YEAR_MS
    (jumped,) = log.append([Message("one", b"k", b"", partition=0)])
    wall[0] -= 10 * YEAR_MS
    (after,) = log.append([Message("other", b"k", b"", partition=1)])
    assert after.timestamp_ms == jumped.timestamp_ms
    told = log.time()
    assert (told.log_ms, told.wall_ms) == (jumped.timestamp_ms, wall[0])
    # History that is written back moves nothing.
    log.append([Message("one", b"k", b"", timestamp_ms=5, partition=1)])
    assert log.time() == told


def test_an_accepted_difference_stays_so(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    log.create_topic("t")
    log.append([Message("t", b"k", b"", timestamp_ms=log.time().log_ms + YEAR_MS)])
    assert log.time().disagreement is not None
    assert log.accept_time().disagreement is None
    log.close()
    log = SqliteLog(tmp_path / "log.db")
    assert log.time().disagreement is None
    log.append([Message("t", b"k", b"", timestamp_ms=log.time().log_ms + YEAR_MS)])
    assert log.time().disagreement is not None, "another jump is another difference"
    log.close()


def test_a_clock_that_ticks_while_it_is_read_is_no_difference(open_with):
    ticks = itertools.count(1_800_000_000_000)
    log = open_with(lambda: next(ticks))
    log.create_topic("t")
    assert log.time().ahead_ms == 0
    log.append([Message("t", b"k", b"")])
    assert log.time().ahead_ms == 0
