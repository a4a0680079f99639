"""Delays that differ by creative must not decide which one wins."""

import numpy as np
import pytest

from tests.bandit.slow_conversions import BEST, CREATIVES, run

DAY = 2880
DAYS = {"window": 5, "realtime": 5, "on click": 2}


@pytest.fixture(scope="module")
def runs():
    return {how: run(how, days * DAY, seed=1) for how, days in DAYS.items()}


@pytest.mark.parametrize("how", ["window", "realtime"])
def test_the_creative_that_converts_most_wins_though_it_converts_last(runs, how):
    assert np.mean(runs[how][-DAY:]) > 0.9


def test_who_counts_only_what_comes_soon_settles_for_another(runs):
    """The control: without the wait, or the correction, the same loop is wrong for good."""
    assert np.mean(runs["on click"][-DAY:]) < 0.05


def test_in_real_time_it_is_found_while_the_window_has_hardly_passed(runs):
    """The window is two days: until then, who waits for it knows nothing."""
    assert np.mean(runs["window"][: 2 * DAY]) == pytest.approx(1 / len(CREATIVES))
    assert np.mean(runs["realtime"][: 2 * DAY]) > 0.4


def test_the_best_creative_is_the_slowest():
    assert max(CREATIVES, key=lambda name: CREATIVES[name].rate) == BEST
    assert max(CREATIVES, key=lambda name: CREATIVES[name].median_seconds) == BEST
