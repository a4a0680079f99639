"""Standard errors by unit are those of the textbook, whatever the order and the parts."""

import numpy as np
import pytest
from scipy import stats

from bandit.errors import EstimateError
from bandit.ope.base import Batch, RewardRange
from bandit.ope.estimators import open_estimator
from bandit.ope.estimators.compare import BettingDifference, ValueDifference
from bandit.ope.estimators.importance import Ips, Snips
from bandit.ope.units import MOST_UNITS, FirstDecisions, RewardSupport, UnitSums, hash_units

RNG = np.random.default_rng(11)
USERS, VISITS = 60, 20
UNIT = np.repeat(hash_units([f"user {number}" for number in range(USERS)]), VISITS)
RATE = np.repeat(RNG.beta(0.5, 2.0, USERS), VISITS)
N = USERS * VISITS
REWARD = (RNG.random(N) < RATE).astype(np.float64)
PROPENSITY = RNG.choice([0.2, 0.5], N)
TARGET = RNG.choice([0.1, 0.6], N)
WEIGHT = TARGET / PROPENSITY
BATCH = Batch(REWARD, PROPENSITY, TARGET, unit=UNIT)


def by_user(values):
    return values.reshape(USERS, VISITS).sum(axis=1)


def clustered(influence):
    """The cluster-robust standard error of a mean, by its influence values."""
    sums = by_user(influence)
    return np.sqrt(USERS / (USERS - 1) * (sums**2).sum()) / N


def beta_bounds(value, error):
    """The interval of `mean_interval`, once more and with SciPy."""
    total = WEIGHT.sum()
    by_decision, by_unit = (WEIGHT**2).sum() / total**2, (by_user(WEIGHT) ** 2).sum() / total**2
    u, free = np.sqrt(by_decision * by_unit), 1.0 / by_unit - 1.0
    spread = error**2 + u**2 * (0.5 - value * (1.0 - value))
    centre = (value + u / 2.0) / (1.0 + u)
    n = centre * (1.0 - centre) / spread + 1.0
    if free < 100.0:
        n = (n - 1.0) * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, free)) ** 2 + 1.0
    return stats.beta.ppf([0.025, 0.975], centre * n, (1.0 - centre) * n)


@pytest.mark.parametrize(
    ("name", "value", "influence"),
    [
        ("ips", (WEIGHT * REWARD).mean(), WEIGHT * REWARD - (WEIGHT * REWARD).mean()),
        (
            "snips",
            (WEIGHT * REWARD).sum() / WEIGHT.sum(),
            WEIGHT * (REWARD - (WEIGHT * REWARD).sum() / WEIGHT.sum()) / WEIGHT.mean(),
        ),
    ],
)
def test_the_interval_by_unit_is_the_textbooks(name, value, influence):
    estimator = open_estimator(name)
    estimator.add(BATCH)
    found = estimator.get()
    assert found.value == pytest.approx(value, abs=1e-12)
    error = clustered(influence)
    assert error > 1.3 * influence.std() / np.sqrt(N)
    bounds = found.interval.low, found.interval.high
    assert bounds == pytest.approx(beta_bounds(value, error), abs=1e-9)


def test_differences_and_lifts_by_unit_are_the_textbooks():
    apart = ValueDifference(Snips(), Ips())
    apart.add(BATCH, Batch(REWARD, PROPENSITY, PROPENSITY, unit=UNIT))
    value, mean = (WEIGHT * REWARD).sum() / WEIGHT.sum(), REWARD.mean()
    first, second = WEIGHT * (REWARD - value) / WEIGHT.mean(), REWARD - mean
    free = (by_user(WEIGHT).sum() ** 2) / (by_user(WEIGHT) ** 2).sum() - 1.0
    t = stats.t.ppf(0.975, free)
    half = t * clustered(first - second)
    found = apart.get()
    assert found.value == pytest.approx(value - mean, abs=1e-12)
    ends = (found.interval.low, found.interval.high)
    assert ends == pytest.approx((value - mean - half, value - mean + half), abs=1e-9)
    lift = apart.lift()
    half = t * clustered(first / value - second / mean)
    log = np.log(value / mean)
    assert lift.value == pytest.approx(value / mean - 1.0, abs=1e-12)
    ends = (lift.interval.low, lift.interval.high)
    assert ends == pytest.approx((np.expm1(log - half), np.expm1(log + half)), abs=1e-9)


def test_the_bootstrap_draws_units():
    plain, resampled = open_estimator("snips"), open_estimator("snips", bootstrap=True)
    for estimator in (plain, resampled):
        estimator.add(BATCH)
    ours, theirs = plain.get().interval, resampled.get().interval
    assert theirs.high - theirs.low == pytest.approx(ours.high - ours.low, rel=0.1)


def test_parts_and_order_make_no_difference():
    whole, total = open_estimator("snips"), open_estimator("snips")
    whole.add(BATCH)
    order = np.random.default_rng(2).permutation(N)
    for part in np.array_split(order, 7):
        one = open_estimator("snips")
        one.add(BATCH[part])
        total = total + one
    found, expected = total.get(), whole.get()
    assert found.interval.low == pytest.approx(expected.interval.low, abs=1e-12)
    assert found.interval.high == pytest.approx(expected.interval.high, abs=1e-12)


def test_more_units_than_are_kept_apart_leave_the_variance_right():
    units, n = RNG.integers(0, 2**63, MOST_UNITS + 5000, dtype=np.uint64), MOST_UNITS + 5000
    values = RNG.normal(size=n)
    sums = UnitSums(1)
    sums.add(values[None], units)
    (held,), counts = sums.get()
    assert counts.sum() == n
    assert len(counts) < MOST_UNITS
    assert (held**2).sum() == pytest.approx((values**2).sum(), rel=0.05)


def test_decisions_with_and_without_units_do_not_mix():
    estimator = open_estimator("ips")
    estimator.add(BATCH)
    with pytest.raises(EstimateError, match="name all or none"):
        estimator.add(Batch(REWARD, PROPENSITY, TARGET))


def test_bets_on_units_cover_where_bets_on_decisions_are_too_bold():
    missed = {True: 0, False: 0}
    rng, users, visits = np.random.default_rng(5), 40, 100
    ones = np.ones(users * visits)
    for _ in range(40):
        rate = np.repeat(rng.choice([0.0, 1.0], users, p=[0.7, 0.3]), visits)
        reward = (rng.random(users * visits) < rate).astype(np.float64)
        unit = np.repeat(np.arange(users, dtype=np.uint64), visits)
        for named in missed:
            estimator = open_estimator("betting")
            estimator.add(Batch(reward, ones, ones, unit=unit if named else None))
            interval = estimator.get(0.95).interval
            assert interval.method == ("betting_by_unit" if named else "betting")
            missed[named] += 0.3 not in interval
    assert missed[True] <= 2
    assert missed[False] >= 10


def test_a_difference_by_bets_counts_units():
    apart, half = BettingDifference(), np.full(N, 0.5)
    apart.add(Batch(REWARD, half, half, unit=UNIT), Batch(REWARD, half, half, unit=UNIT))
    assert apart.get().interval.method == "betting_by_unit"


def test_rewards_of_both_signs_stay_within_what_was_seen_or_said():
    ones = np.ones(4)
    support = RewardSupport(RewardRange(-1.0, 1.0))
    support.add(ones, np.array([-1.0, 1.0, 1.0, 1.0]), None)
    interval = support.interval(0.5, 0.5, 0.95)
    assert (interval.method, interval.high) == ("normal", 1.0)
    assert -1.0 <= interval.low < 0.5


def test_a_first_decision_is_the_first_of_its_unit():
    first = FirstDecisions()
    assert [first.take(name) for name in "abcab"] == [True, True, True, False, False]
    again = FirstDecisions(first.to_bytes())
    assert not again.take("c")
    assert again.take("d")
