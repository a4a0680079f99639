import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.base import Batch
from bandit.ope.estimators.bounded import RewardRange
from bandit.ope.estimators.compare import BettingDifference, ValueDifference
from bandit.ope.estimators.doubly_robust import Dr
from bandit.ope.estimators.importance import Ips, Snips
from bandit.ope.estimators.running import RunningEstimate
from tests.bandit.ope.estimators.estimator_worlds import LOGGED, SCORES, TARGET, draw, true_value

OTHER = np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
TRUTH = true_value(TARGET) - true_value(OTHER)
MAX_WEIGHT = (np.maximum(TARGET, OTHER) / LOGGED).max()


def pair(n, seed, other=OTHER):
    """The same decisions for the policy, and for another."""
    drawn = draw(n, seed)
    batch, visitor = drawn.batch, drawn.visitor
    target = other[visitor, drawn.action]
    expected = (other * SCORES).sum(axis=1)[visitor]
    return batch, Batch(batch.reward, batch.propensity, target, batch.score, expected)


@pytest.mark.parametrize("formula", [Ips(), Snips(), Dr()], ids=["ips", "snips", "dr"])
def test_a_difference_covers_and_is_narrower_than_the_two_apart(formula):
    covered = 0
    for seed in range(300):
        one, other = pair(1000, seed)
        difference = ValueDifference(formula, formula)
        difference.add(one, other)
        covered += TRUTH in difference.get().interval
    assert 0.915 <= covered / 300 <= 0.985
    apart = 0.0
    for batch in (one, other):
        running = RunningEstimate(formula)
        running.add(batch)
        found = running.get().interval
        apart += (found.high - found.low) ** 2
    interval = difference.get().interval
    assert interval.high - interval.low < 0.5 * apart**0.5


@pytest.mark.parametrize("max_weight", [None, MAX_WEIGHT])
def test_a_betting_difference_holds_at_all_times(max_weight):
    missed = 0
    for seed in range(40):
        difference = BettingDifference(max_weight=max_weight)
        one, other = pair(2000, seed)
        intervals = []
        for start in range(0, 2000, 200):
            difference.add(one[start : start + 200], other[start : start + 200])
            intervals.append(difference.get(0.9).interval)
        missed += not all(TRUTH in interval for interval in intervals)
    assert missed <= 9


def test_a_known_largest_weight_tells_alike_policies_apart_sooner():
    one, other = pair(50_000, seed=1)
    widths = []
    for max_weight in (None, MAX_WEIGHT):
        difference = BettingDifference(max_weight=max_weight)
        difference.add(one, other)
        interval = difference.get().interval
        assert TRUTH in interval
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.5 * widths[0]


def test_a_policy_does_not_differ_from_itself():
    batch, _ = pair(2000, seed=2)
    paired = ValueDifference(Snips(), Snips())
    paired.add(batch, batch)
    assert paired.get().value == 0.0
    assert paired.get().interval is None  # nothing varied, which proves nothing


@pytest.mark.parametrize(
    "new",
    [
        lambda: ValueDifference(Snips(), Dr()),
        BettingDifference,
        lambda: BettingDifference(max_weight=MAX_WEIGHT),
    ],
)
def test_merging_is_concatenating(new):
    one, other = pair(3000, seed=3)
    whole, first, second = new(), new(), new()
    whole.add(one, other)
    first.add(one[:100], other[:100])
    second.add(one[100:], other[100:])
    merged, expected = (first + second).get(), whole.get()
    assert merged.n == expected.n == 3000
    assert merged.value == pytest.approx(expected.value)
    assert merged.interval.low == pytest.approx(expected.interval.low, abs=1e-8)
    assert merged.interval.high == pytest.approx(expected.interval.high, abs=1e-8)


def test_rewards_of_another_range_are_scaled():
    one, other = pair(4000, seed=4)
    cents = [Batch(100.0 * b.reward - 50.0, b.propensity, b.target) for b in (one, other)]
    plain, scaled = BettingDifference(), BettingDifference(reward_range=RewardRange(-50.0, 50.0))
    plain.add(one, other)
    scaled.add(*cents)
    assert scaled.get().interval.low == pytest.approx(100.0 * plain.get().interval.low)


def test_other_decisions_are_refused():
    one, other = pair(100, seed=5)
    for difference in (ValueDifference(Ips(), Ips()), BettingDifference()):
        with pytest.raises(EstimateError, match="same decisions"):
            difference.add(one, other[:50])


def test_nothing_is_said_of_nothing():
    for difference in (ValueDifference(Ips(), Ips()), BettingDifference()):
        assert difference.get() == (0, None, None)
