import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.base import Batch
from bandit.ope.estimators.bounded import BernsteinIps, BettingIps, RewardRange
from tests.bandit.ope.estimators.estimator_worlds import LOGGED, TARGET, draw, true_value

MAX_WEIGHT = float((TARGET / LOGGED).max())


def after(estimator, *batches):
    for batch in batches:
        estimator.add(batch)
    return estimator


@pytest.mark.parametrize("max_weight", [None, MAX_WEIGHT])
def test_looking_all_the_time_still_covers(max_weight):
    missed = 0
    for seed in range(100):
        estimator, batch = BettingIps(max_weight=max_weight), draw(2000, seed).batch
        for start in range(0, 2000, 200):
            estimator.add(batch[start : start + 200])
            if true_value() not in estimator.get(0.9).interval:
                missed += 1
                break
    assert missed <= 19


def test_a_known_largest_weight_lowers_the_upper_bound_for_rare_rewards():
    batch = draw(30_000, seed=1).batch
    rare = Batch(batch.reward * (np.arange(30_000) % 20 == 0), batch.propensity, batch.target)
    free, bound = BettingIps(), BettingIps(max_weight=MAX_WEIGHT)
    assert after(bound, rare).get().interval.high < 0.8 * after(free, rare).get().interval.high


def test_it_holds_when_the_log_learned_as_it_went():
    missed = 0
    for seed in range(60):
        rng, means = np.random.default_rng(seed), np.full(2, 0.5)
        estimator, pmf = BettingIps(), np.full(2, 0.5)
        for _ in range(40):
            action = (rng.random(25) > pmf[0]).astype(int)
            reward = (rng.random(25) < np.array([0.3, 0.5])[action]).astype(np.float64)
            estimator.add(Batch(reward, pmf[action], np.array([1.0, 0.0])[action]))
            means += [0.1 * reward[action == a].sum() - 0.03 * (action == a).sum() for a in (0, 1)]
            pmf = np.where(means == means.max(), 0.9, 0.1)
            pmf = pmf / pmf.sum()
        missed += 0.3 not in estimator.get(0.9).interval
    assert missed <= 12


def test_weights_that_cannot_be_right_give_no_interval():
    ones = np.ones(2000)
    # every action at half the propensity it really had: weights of 2, always
    batch = Batch(np.tile([0.0, 1.0], 1000), ones / 4, ones / 2)
    estimate = after(BettingIps(), batch).get()
    assert estimate.interval is None
    assert estimate.value == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [BettingIps, BernsteinIps])
def test_a_reward_outside_of_the_range_is_refused(kind):
    one = np.ones(1)
    with pytest.raises(EstimateError, match=r"a reward of 2\.0; .* 0\.0 to 1\.0"):
        kind().add(Batch(2.0 * one, one, one))


def test_a_weight_above_the_largest_is_refused():
    one = np.ones(1)
    with pytest.raises(EstimateError, match="a weight of 4 is above max_weight, 2"):
        BettingIps(max_weight=2.0).add(Batch(one, one / 4, one))


@pytest.mark.parametrize("kind", [BettingIps, BernsteinIps])
def test_rewards_of_another_range_are_scaled(kind):
    batch = draw(3000, seed=2).batch
    moved = Batch(10.0 * batch.reward - 3.0, batch.propensity, batch.target)
    plain = after(kind(), batch).get().interval
    scaled = after(kind(reward_range=RewardRange(-3.0, 7.0)), moved).get().interval
    assert scaled.low == pytest.approx(10.0 * plain.low - 3.0)
    assert scaled.high == pytest.approx(10.0 * plain.high - 3.0)


def test_those_of_different_ranges_cannot_be_added_up():
    for kind in (BettingIps, BernsteinIps):
        with pytest.raises(EstimateError, match="differ"):
            kind() + kind(reward_range=RewardRange(0.0, 2.0))
