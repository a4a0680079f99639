"""Every interval lies where its value can, and has a width where nothing varied."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from bandit.distributions import beta_quantile, student_quantile
from bandit.ope.base import Batch
from bandit.ope.estimators import open_estimator
from bandit.ope.intervals import (
    Support,
    jeffreys,
    mean_band,
    mean_interval,
    ratio_interval,
    student,
)

shares = st.floats(0.0, 1.0)


@given(st.floats(-0.5, 1.5), st.floats(0.0, 2.0), st.floats(1e-6, 1.0), st.floats(0.5, 1e6))
def test_an_interval_of_a_mean_lies_in_the_range_and_has_a_width(value, error, unit, free):
    found = mean_interval(value, error, Support(-2.0, 3.0, unit, free), 0.95)
    assert -2.0 <= found.low < found.high <= 3.0


@pytest.mark.parametrize(("successes", "n"), [(0, 30), (30, 30), (1, 200), (100, 1000), (14, 18)])
def test_of_equal_weights_it_is_jeffreys(successes, n):
    rate = successes / n
    error = math.sqrt(rate * (1.0 - rate) / n)
    found = mean_interval(rate, error, Support(0.0, 1.0, 1.0 / n, 1e9), 0.95)
    a, b = successes + 0.5, n - successes + 0.5
    low, high = stats.beta.ppf([0.025, 0.975], a, b)
    # the half decisions are weighed the same to the first order in 1/n
    width = high - low
    assert found.low == pytest.approx(low if successes else 0.0, abs=0.06 * width)
    assert found.high == pytest.approx(high if successes < n else 1.0, abs=0.06 * width)
    exact = jeffreys(rate, n, 0.95)
    assert exact.low == pytest.approx(low if successes else 0.0, rel=1e-9)
    assert exact.high == pytest.approx(high if successes < n else 1.0, rel=1e-9)


@pytest.mark.parametrize("rate", [0.002, 0.01, 0.1])
def test_rare_rewards_of_unequal_weights_are_covered(rate):
    rng, n, held, logs = np.random.default_rng(8), 1000, 0, 400
    for _ in range(logs):
        # the policy is the log's own on average, and takes rare actions 16 times as readily
        propensity = rng.choice([0.8, 0.2], n, p=[0.8, 0.2])
        target = np.where(propensity == 0.8, 0.2, 0.8)
        reward = (rng.random(n) < rate).astype(np.float64)
        estimator = open_estimator("snips")
        estimator.add(Batch(reward, propensity, target))
        held += rate in estimator.get().interval
    # 380 are expected; of a right interval 365 or fewer come once in a thousand seeds
    assert held > 365


@example(2, 1.0, 5e-324)
@given(st.integers(1, 500), shares, shares)
def test_a_band_of_counts_lies_in_the_range(n, share, size):
    total, squares = n * share * size, n * share * size * size
    low, high = mean_band(n, total, squares, 0.0, 1.0)
    assert 0.0 <= low < high <= 1.0
    assert low - 1e-9 <= total / n <= high + 1e-9


@pytest.mark.parametrize("free", [1.0, 4.0, 29.5, 250.0])
def test_quantiles_are_those_of_scipy(free):
    assert student_quantile(0.95, free) == pytest.approx(stats.t.ppf(0.975, free), rel=1e-9)
    for a, b in ((0.5, 3.0), (12.0, 900.0), (0.01, 5.0), (2e4, 3e5)):
        expected = stats.beta.ppf([0.025, 0.975], a, b)
        found = [beta_quantile(share, a, b) for share in (0.025, 0.975)]
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-300)


def test_few_degrees_of_freedom_widen_and_a_ratio_stays_above_minus_1():
    few, many = (student(0.0, 1.0, 0.95, free=free).high for free in (4.0, 1e6))
    assert few == pytest.approx(2.776, abs=1e-3)
    assert many == pytest.approx(1.96, abs=1e-3)
    found = ratio_interval(0.02, 0.01, 2.0, 0.95, free=1e6)
    assert -1.0 < found.low < 1.0 < found.high
