"""A step keeps its distance, and a costly one a greater distance."""

import pytest

from bandit.service.pace import LONGEST_SECONDS, Pace


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_step_is_due_at_first_and_then_after_its_interval():
    clock = Clock()
    pace = Pace(0.1, clock, clock)
    assert pace.wait_seconds() == 0.0
    pace.run(lambda: None)
    assert pace.wait_seconds() == pytest.approx(0.1)
    clock.now += 0.2
    assert pace.wait_seconds() == 0.0


def test_a_costly_step_takes_a_twentieth_of_the_time():
    clock = Clock()
    pace = Pace(0.1, clock, clock)

    def step():
        clock.now += 0.02

    pace.run(step)
    assert pace.wait_seconds() == pytest.approx(0.4 - 0.02)


def test_a_step_that_had_to_wait_is_due_again_before_long():
    clock = Clock()
    pace = Pace(1.0, clock, clock)

    def step():
        clock.now += 20.0

    pace.run(step)
    assert pace.wait_seconds() == pytest.approx(LONGEST_SECONDS - 20.0)


def test_waiting_for_others_costs_nothing_by_a_clock_of_processor_time():
    clock, cpu_clock = Clock(), Clock()
    pace = Pace(0.1, clock, cpu_clock)

    def step():
        clock.now += 5.0
        cpu_clock.now += 0.001

    pace.run(step)
    assert pace.wait_seconds() == 0.0
