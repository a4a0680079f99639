"""The drift check keeps to its rate of false alarms over all looks, and finds what changed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import EstimateError
from bandit.ope.drift import TimeBucket, drift_of, drift_of_all

RUNS = 150
STRETCHES = 40


def series(rng, rates, showings):
    """One stretch for each of the rates."""
    return [TimeBucket(showings, float(rng.binomial(showings, rate))) for rate in rates]


def ever_drifts(stretches, alpha):
    """Whether any look says so, one after each stretch."""
    looks = (drift_of(stretches[:upto], alpha=alpha) for upto in range(2, len(stretches) + 1))
    return any(look.drifts for look in looks)


@pytest.mark.parametrize(("rate", "showings"), [(0.5, 30), (0.02, 500)])
def test_false_alarms_over_all_looks_stay_below_alpha(rate, showings):
    rng, alpha = np.random.default_rng(1), 0.2
    alarms = sum(ever_drifts(series(rng, [rate] * STRETCHES, showings), alpha) for _ in range(RUNS))
    # By Ville's inequality at most 30 of 150 are to be expected.
    assert alarms <= alpha * RUNS


def test_rewards_between_0_and_1_raise_no_more_alarms_than_clicks():
    rng, alpha = np.random.default_rng(2), 0.2
    alarms = 0
    for _ in range(RUNS):
        rewards = rng.beta(0.3, 0.7, size=(STRETCHES, 30))
        alarms += ever_drifts([TimeBucket(30, float(row.sum())) for row in rewards], alpha)
    assert alarms <= alpha * RUNS


@pytest.mark.parametrize(("before", "after"), [(0.02, 0.04), (0.04, 0.02), (0.3, 0.4)])
def test_a_change_is_found_where_it_was(before, after):
    rng = np.random.default_rng(3)
    rates = [before] * 20 + [after] * 10
    found = drift_of(series(rng, rates, 1000))
    assert found.drifts
    assert abs(found.since - 20) <= 2
    assert found.before == pytest.approx(before, rel=0.15)
    assert found.after == pytest.approx(after, rel=0.15)


def test_the_mean_of_e_values_under_no_change_is_at_most_1():
    rng = np.random.default_rng(4)
    evidence = [math.exp(drift_of(series(rng, [0.1] * 5, 50)).log_evidence) for _ in range(2000)]
    standard_error = np.std(evidence) / math.sqrt(len(evidence))
    assert np.mean(evidence) <= 1.0 + 3.0 * standard_error


@given(
    st.lists(
        st.integers(0, 50).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=8
    )
)
def test_any_counts_give_a_finite_answer_or_none(counts):
    found = drift_of([TimeBucket(*each) for each in counts])
    if sum(n > 0 for n, _ in counts) < 2:
        assert found is None
    else:
        assert math.isfinite(found.log_evidence)
        assert 0 < found.since < len(counts)
        assert 0.0 <= found.before <= 1.0
        assert 0.0 <= found.after <= 1.0


def test_turned_around_rewards_are_as_telling():
    stretches = [TimeBucket(200, 20), TimeBucket(300, 25), TimeBucket(100, 40)]
    turned = [TimeBucket(each.n, each.n - each.total) for each in stretches]
    assert drift_of(turned).log_evidence == pytest.approx(drift_of(stretches).log_evidence)


def test_of_many_creatives_one_that_drifts_is_enough():
    steady = drift_of([TimeBucket(1000, 20)] * 6)
    fallen = drift_of([TimeBucket(1000, 60)] * 3 + [TimeBucket(1000, 20)] * 3)
    evidence, drifts = drift_of_all([steady] * 20 + [fallen])
    assert drifts
    assert evidence < fallen.log_evidence
    assert drift_of_all([steady] * 20) == (pytest.approx(steady.log_evidence), False)
    assert drift_of_all([]) == (-math.inf, False)


@pytest.mark.parametrize("wrong", [TimeBucket(10, 11), TimeBucket(10, -1), TimeBucket(-1, 0)])
def test_what_cannot_be_rewards_is_refused(wrong):
    with pytest.raises(EstimateError, match=r"bucket 1 has .* each must be from 0 to 1"):
        drift_of([TimeBucket(10, 5), wrong])
