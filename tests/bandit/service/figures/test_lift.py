"""Lift over chance and over a baseline: what it is of, and that its interval holds."""

import math

import numpy as np
import pytest

from bandit.ope.estimators.bounded import RewardRange
from bandit.service.figures.lift import LiftPlan, Lifts, floor_of, lift_plan
from streams.events import Placement, RewardRule, Safety

RATES = [0.1, 0.3, 0.6]
IDS = ["a", "b", "c"]
PMF = [0.1, 0.1, 0.8]


def plan(floor=0.3, baseline=None, since_ms=0):
    return LiftPlan(since_ms, RewardRange(), floor, baseline)


def played(lifts, n, seed=0, pmf=PMF):
    rng = np.random.default_rng(seed)
    for number in range(n):
        index = rng.choice(3, p=pmf)
        lifts.take(IDS, pmf, index, float(rng.random() < RATES[index]), number)
    return lifts


def test_the_lift_over_both_is_found():
    lifts = played(Lifts(plan(baseline="b")), 20_000)
    uniform, baseline = lifts.get()
    assert (uniform.over, baseline.over, baseline.name) == ("uniform", "baseline", "b")
    assert uniform.value == pytest.approx(0.52, abs=0.015)
    assert uniform.other == pytest.approx(1 / 3, abs=0.02)
    assert baseline.other == pytest.approx(0.3, abs=0.03)
    for lift in (uniform, baseline):
        assert lift.difference == pytest.approx(lift.value - lift.other)
        assert 0.0 < lift.low < lift.difference < lift.high


def test_both_intervals_hold_whenever_one_looks():
    missed, apart = np.zeros(2), 0.52 - 1 / 3
    for seed in range(20):
        lifts, ever = Lifts(plan()), np.zeros(2, dtype=bool)
        for part in range(8):
            (lift,) = played(lifts, 100, seed=seed * 100 + part).get()
            high = math.inf if lift.lift_high is None else lift.lift_high
            assert lift.lift_low <= lift.lift <= high
            ever[0] |= not lift.low <= apart <= lift.high
            ever[1] |= not lift.lift_low <= apart * 3 <= high
        missed += ever
    assert (missed <= 2).all()
    assert lift.lift_low > 0.1
    assert lift.lift_high < 1.6


def test_chance_has_no_lift_over_itself():
    (lift,) = played(Lifts(plan(floor=1.0)), 2000, pmf=[1 / 3] * 3).get()
    assert lift.difference == pytest.approx(0.0, abs=1e-9)
    assert lift.low <= 0.0 <= lift.high


def test_what_an_earlier_policy_decided_is_left_out():
    lifts = Lifts(plan(floor=0.3, since_ms=10))
    lifts.take(IDS, PMF, 2, 1.0, 9)
    lifts.take(IDS, [0.01, 0.01, 0.98], 2, 1.0, 10)
    lifts.take(IDS, PMF, 2, 1.5, 10)
    assert lifts.get()[0].n == 0
    assert lifts.get()[0].difference is None
    lifts.take(IDS, PMF, 2, 1.0, 10)
    assert lifts.get()[0].n == 1


def test_a_floor_narrows_the_interval_over_a_rare_baseline():
    def width(floor):
        (_, lift) = played(Lifts(plan(floor=floor, baseline="a")), 20_000).get()
        assert lift.low <= 0.52 - 0.1 <= lift.high
        return lift.high - lift.low

    assert width(0.3) < width(0.0)


def test_twice_as_many_actions_are_compared_with_a_baseline_but_not_more():
    lifts = Lifts(plan(floor=0.3, baseline="a"))
    for number in (3, 6, 7):
        ids, pmf = [*"abcdefg"[:number]], [1 / number] * number
        lifts.take(ids, pmf, 0, 1.0, 0)
    uniform, baseline = lifts.get()
    assert (uniform.n, baseline.n) == (3, 2)


def test_a_baseline_that_is_not_offered_is_not_compared_with():
    lifts = Lifts(plan(baseline="gone"))
    lifts.take(IDS, PMF, 2, 1.0, 0)
    uniform, baseline = lifts.get()
    assert (uniform.n, baseline.n) == (1, 0)


def test_the_plan_is_since_the_present_policy_and_reward():
    first = Placement(name="home", policy={"name": "uniform"})
    second = Placement(name="home", policy={"name": "floor", "epsilon": 0.2, "policy": {}})
    same = Placement(name="home", policy=second.policy, safety=Safety(baseline="a"))
    found = lift_plan([(1, first), (5, second), (9, same)])
    assert found == LiftPlan(5, RewardRange(), 0.2, "a", 602_000)
    flat = Placement(name="home", reward=RewardRule(minimum=0.0, maximum=0.0))
    assert lift_plan([(1, flat)]) is None


@pytest.mark.parametrize(
    ("spec", "floor"),
    [
        ({"name": "uniform"}, 1.0),
        ({"name": "text_thompson", "epsilon": 0.01}, 0.01),
        ({"name": "adaptive", "epsilon": 0.01}, 0.01),
        ({"name": "apprentice", "baseline": "a", "epsilon": 0.0}, 0.0),
        ({"name": "thompson"}, 0.0),
        ({"name": "newcomers", "policy": {"name": "uniform"}}, 0.0),
    ],
)
def test_a_floor_is_what_the_spec_promises(spec, floor):
    assert floor_of(spec) == floor


def test_a_lift_is_relative_and_its_difference_in_rewards():
    uniform, _ = played(Lifts(plan(baseline="b")), 2000).get()
    assert uniform.lift == pytest.approx(uniform.value / uniform.other - 1.0, abs=1e-12)
    assert uniform.difference == pytest.approx(uniform.value - uniform.other, abs=1e-12)
    nothing = Lifts(plan())
    assert [each.lift for each in nothing.get()] == [None]


def test_a_lift_over_what_may_earn_nothing_has_no_upper_bound():
    found = [played(Lifts(plan(baseline="a")), 60, seed=seed).get()[1] for seed in range(9)]
    baseline = next(lift for lift in found if lift.lift is not None)
    assert -1.0 <= baseline.lift_low <= baseline.lift
    assert baseline.lift_high is None


def test_of_a_placement_with_a_unit_the_first_decision_of_each_counts():
    lifts = Lifts(plan())
    for number in range(100):
        lifts.take(IDS, PMF, 2, 1.0, number, unit=f"u{number % 10}")
    assert lifts.get()[0].n == 10
