"""Scans, followers, and how far apart costly steps are kept."""

import pytest

from streams.fold import LONGEST_SECONDS, AdaptiveInterval


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_step_is_due_at_first_and_then_after_its_interval():
    clock = Clock()
    interval = AdaptiveInterval(0.1, clock, clock)
    assert interval.wait_seconds() == 0.0
    interval.run(lambda: None)
    assert interval.wait_seconds() == pytest.approx(0.1)
    clock.now += 0.2
    assert interval.wait_seconds() == 0.0


def test_a_costly_step_takes_a_twentieth_of_the_time():
    clock = Clock()
    interval = AdaptiveInterval(0.1, clock, clock)

    def step():
        clock.now += 0.02

    interval.run(step)
    assert interval.wait_seconds() == pytest.approx(0.4 - 0.02)


def test_a_step_that_had_to_wait_is_due_again_before_long():
    clock = Clock()
    interval = AdaptiveInterval(1.0, clock, clock)

    def step():
        clock.now += 20.0

    interval.run(step)
    assert interval.wait_seconds() == pytest.approx(LONGEST_SECONDS - 20.0)


def test_waiting_for_others_costs_nothing_by_a_clock_of_processor_time():
    clock, cpu_clock = Clock(), Clock()
    interval = AdaptiveInterval(0.1, clock, cpu_clock)

    def step():
        clock.now += 5.0
        cpu_clock.now += 0.001

    interval.run(step)
    assert interval.wait_seconds() == 0.0
