"""Slates against the truth of a small page: two slots, three creatives, none shown twice."""

from itertools import permutations

import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.estimators import SLATES, slate_formula
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.estimators.slates import Slates

PAGES = list(permutations(range(3), 2))
LOGGED, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
FIRST, SECOND = np.array([0.3, 0.2, 0.5]), np.array([0.1, 0.3, 0.2])


def slot_probabilities(pmf):
    """Of both slots on each page: the second is drawn from what the first left."""
    return np.array([[pmf[a], pmf[b] / (1.0 - pmf[a])] for a, b in PAGES])


def rates(*, shadow):
    """What each page's slots earn; with a shadow, a good first slot takes from the second."""
    return np.array([[FIRST[a], SECOND[b] * (1.0 - shadow * FIRST[a])] for a, b in PAGES])


def truth(*, shadow):
    return float((slot_probabilities(TARGET).prod(axis=1)[:, None] * rates(shadow=shadow)).sum())


def draw(n, seed, *, shadow=0.0):
    rng = np.random.default_rng(seed)
    logged, target = slot_probabilities(LOGGED), slot_probabilities(TARGET)
    page = rng.choice(len(PAGES), n, p=logged.prod(axis=1))
    reward = (rng.random((n, 2)) < rates(shadow=shadow)[page]).astype(np.float64)
    return Slates(reward, logged[page], target[page])


def after(name, *slates):
    estimator = RunningEstimate(slate_formula(name, 2))
    for slate in slates:
        estimator.add(slate)
    return estimator


@pytest.mark.parametrize("name", ["slate_snips", "slate_cascade"])
@pytest.mark.parametrize("shadow", [0.0, 0.9])
def test_those_that_allow_for_earlier_slots_come_to_the_truth(name, shadow):
    found = after(name, draw(200_000, 1, shadow=shadow)).get(0.999)
    assert truth(shadow=shadow) in found.interval
    assert found.value == pytest.approx(truth(shadow=shadow), abs=0.01)


def test_independent_slots_are_right_where_slots_are_independent():
    rng = np.random.default_rng(3)
    pmf, other = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    shown = rng.integers(0, 2, (200_000, 2))
    reward = (rng.random((200_000, 2)) < np.array([0.2, 0.4])[shown]).astype(np.float64)
    slates = Slates(reward, pmf[shown], other[shown])
    expected = 2 * float(other @ [0.2, 0.4])
    for name in SLATES:
        assert after(name, slates).get().value == pytest.approx(expected, abs=0.02), name


def test_fewer_assumptions_cost_width():
    slates = draw(20_000, 4)
    widths = []
    for name in ("slate_snips", "slate_cascade", "slate_independent"):
        interval = after(name, slates).get().interval
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths, reverse=True)


def test_intervals_of_the_cascade_cover():
    slates = draw(300 * 1000, 5, shadow=0.5)
    covered = 0
    for start in range(0, len(slates), 1000):
        interval = after("slate_cascade", slates[start : start + 1000]).get(0.95).interval
        covered += truth(shadow=0.5) in interval
    assert 0.915 <= covered / 300 <= 0.985


@pytest.mark.parametrize("name", SLATES)
def test_adding_up_is_having_seen_all(name):
    slates = draw(3000, 6)
    merged = (after(name, slates[:1000]) + after(name, slates[1000:])).get()
    assert merged.value == pytest.approx(after(name, slates).get().value, abs=1e-12)


@pytest.mark.parametrize("name", SLATES)
def test_with_one_slot_it_is_snips(name):
    slates = draw(3000, 7)
    one = Slates(slates.reward[:, :1], slates.propensity[:, :1], slates.target[:, :1])
    estimator = RunningEstimate(slate_formula(name, 1))
    estimator.add(one)
    weight = one.weight[:, 0]
    expected = (weight * one.reward[:, 0]).sum() / weight.sum()
    assert estimator.get().value == pytest.approx(expected)


@pytest.mark.parametrize("name", SLATES)
def test_a_slot_that_is_not_there_changes_nothing(name):
    slates = draw(3000, 8)
    ones = np.ones((3000, 1))
    wider = Slates(
        np.hstack((slates.reward, 0.0 * ones)),
        np.hstack((slates.propensity, ones)),
        np.hstack((slates.target, ones)),
    )
    estimator = RunningEstimate(slate_formula(name, 3))
    estimator.add(wider)
    assert estimator.get().value == pytest.approx(after(name, slates).get().value)


def test_each_slot_has_a_value_of_its_own():
    formula, estimator = slate_formula("slate_cascade", 2), after("slate_cascade", draw(200_000, 9))
    slots = [formula.slot(estimator.sums.mean, number).value for number in (0, 1)]
    pages = slot_probabilities(TARGET).prod(axis=1)
    assert slots == pytest.approx((pages[:, None] * rates(shadow=0.0)).sum(axis=0), abs=0.01)
    assert sum(slots) == pytest.approx(estimator.get().value)


def test_a_page_as_one_decision():
    slates = draw(10, 10)
    whole = slates.whole()
    np.testing.assert_allclose(whole.weight, slates.weight.prod(axis=1))
    np.testing.assert_allclose(whole.reward, slates.reward.sum(axis=1))


def test_slates_that_cannot_be_are_refused():
    ones = np.ones((2, 2))
    for slates, words in [
        ((np.ones(2), np.ones(2), np.ones(2)), "expected three of the same"),
        ((ones, 0.0 * ones, ones), "propensity is not above 0"),
        ((ones, ones, 2.0 * ones), "target is not from 0 to 1"),
        ((ones * np.nan, ones, ones), "not finite"),
    ]:
        with pytest.raises(EstimateError, match=words):
            Slates(*slates)
    with pytest.raises(EstimateError, match="one of: slate_snips"):
        slate_formula("magic", 2)
