import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.ope.betting import Bets

TIMES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def after(values):
    bets = Bets()
    bets.add(np.asarray(values, dtype=np.float64))
    return bets


@pytest.mark.parametrize("heavy", [False, True])
def test_a_mean_is_rarely_refuted_at_any_time(heavy):
    rng = np.random.default_rng(1)
    refuted = 0
    for _ in range(300):
        # of mean 1 both; the heavy one is what weights look like
        values = rng.pareto(2.5, 1000) * 1.5 if heavy else rng.exponential(1.0, 1000)
        bets = Bets()
        lows = []
        for start, end in zip((0, *TIMES), TIMES, strict=False):
            bets.add(values[start:end])
            lows.append(bets.lower(0.1))
        refuted += max(lows) > 1.0
    assert refuted <= 45  # 10 % of 300, and three standard deviations


def test_a_wrong_mean_is_refuted_in_time():
    rng = np.random.default_rng(2)
    rare = (rng.random(20_000) < 0.02) * 5.0
    assert 0.08 < after(rare).lower(0.025) < 0.1


def test_it_is_no_weaker_than_the_known_best_stake_but_for_its_price():
    # for clicks at a known rate the best constant stake is known in closed form
    n, rate, other = 5000, 0.1, 0.085
    clicks = np.zeros(n)
    clicks[: int(n * rate)] = 1.0
    best = n * (rate * np.log(rate / other) + (1 - rate) * np.log((1 - rate) / (1 - other)))
    price = best - after(clicks).log_wealth(other)
    assert 0.0 < price < np.log(33)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(0.0, 50.0), min_size=1, max_size=50), alpha=st.floats(0.01, 0.5))
def test_the_lower_bound_is_below_the_mean(values, alpha):
    assert 0.0 <= after(values).lower(alpha) <= np.mean(values) * (1 + 1e-9)


def test_adding_up_is_having_seen_all():
    values = np.random.default_rng(3).exponential(1.0, 200_000)
    whole = after(values)
    merged = after(values[:1000]) + after(values[1000:])
    assert merged.n == whole.n
    assert merged.lower(0.05) == pytest.approx(whole.lower(0.05), rel=1e-9)


def test_large_values_are_bet_on_as_small_ones_are():
    values = np.random.default_rng(4).exponential(1.0, 4000)
    assert after(100.0 * values).lower(0.05) == pytest.approx(
        100.0 * after(values).lower(0.05), rel=0.02
    )
