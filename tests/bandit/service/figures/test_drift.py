"""Drift: told where there is one, not where chance alone moves the rate."""

import numpy as np
import pytest

from bandit.service.figures.counts import Counts
from bandit.service.figures.drift import drift_of


def hours(rates, shown=500, seed=0):
    rng = np.random.default_rng(seed)
    clicks = [float(rng.binomial(shown, rate)) for rate in rates]
    return [Counts(n=shown, total=c, squares=c) for c in clicks]


def test_a_rate_that_halves_is_told():
    found = drift_of(hours(np.linspace(0.10, 0.05, 48)))
    assert found.drifts
    assert found.first == pytest.approx(0.1, abs=0.02)
    assert found.last == pytest.approx(0.05, abs=0.02)


def test_a_steady_rate_is_left_alone():
    told = [drift_of(hours([0.03] * 40, seed=seed)).drifts for seed in range(100)]
    assert sum(told) <= 1


def test_too_little_is_no_ground_for_a_word():
    assert drift_of([]) is None
    assert drift_of(hours([0.0] * 40)) is None
    assert drift_of(hours([0.5] * 40, shown=4)) is None
    assert drift_of(hours([0.001] * 40, shown=100)) is None, "a stretch needs ten rewards"
