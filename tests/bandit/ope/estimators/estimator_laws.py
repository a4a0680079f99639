"""What holds of estimators. A suite inherits `EstimatorLaws`, which hold of every one, and those
of the other laws that its estimator claims.
"""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit.ope.base import Batch, Estimator
from bandit.ope.estimators import open_estimator
from tests.bandit.ope.estimators.estimator_worlds import draw, true_value

law = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)

rewards = st.floats(0.0, 1.0, width=32)
propensities = st.floats(0.0625, 1.0, width=32)
rows = st.tuples(rewards, propensities, st.floats(0.0, 1.0, width=32), rewards, rewards)
logs = st.lists(rows, min_size=2, max_size=40)


def concatenate(batches):
    """All decisions of some batches, which all come with scores or all without."""
    columns = zip(*(batch._columns() for batch in batches), strict=True)
    return Batch(**{each[0][0]: np.concatenate([part for _, part in each]) for each in columns})


def batch_of(rows):
    return Batch(*np.array(rows, dtype=np.float64).reshape(-1, 5).T)


def assert_same(one, other):
    """Equal but for rounding."""
    assert one.n == other.n
    for left, right in ((one.value, other.value), *zip(_ends(one), _ends(other), strict=True)):
        if left is None or right is None:
            assert left is right
        else:
            assert left == pytest.approx(right, rel=1e-9, abs=1e-7)


def _ends(estimate):
    interval = estimate.interval
    return (None, None) if interval is None else (interval.low, interval.high)


class _Suite:
    name: ClassVar[str]

    def new(self) -> Estimator:
        return open_estimator(self.name)

    def prepare(self, batch, seed=0):
        """The batch as this estimator wants it."""
        return batch

    def after(self, *batches):
        estimator = self.new()
        for batch in batches:
            estimator.add(batch)
        return estimator

    def world(self, n, seed, **policies):
        return self.prepare(draw(n, seed, **policies).batch, seed)


class EstimatorLaws(_Suite):
    """What holds of every estimator."""

    def test_nothing_is_said_of_nothing(self):
        estimate = self.new().get()
        assert (estimate.n, estimate.value, estimate.interval) == (0, None, None)

    @law
    @given(log=logs)
    def test_merging_is_concatenating(self, log):
        batch = self.prepare(batch_of(log))
        cut = len(batch) // 3
        parts = batch[:cut], batch[cut:]
        merged = self.after(parts[0]) + self.after(parts[1])
        assert_same(merged.get(), self.after(batch).get())
        assert_same(self.after(*parts).get(), self.after(concatenate(parts)).get())

    @law
    @given(log=logs)
    def test_merging_changes_neither_part(self, log):
        batch = self.prepare(batch_of(log))
        one, other = self.after(batch[:1]), self.after(batch[1:])
        before = one.get(), other.get()
        one + other
        assert (one.get(), other.get()) == before

    @law
    @given(log=logs, seed=st.integers(0, 99))
    def test_the_order_of_decisions_does_not_matter(self, log, seed):
        batch = self.prepare(batch_of(log))
        order = np.random.default_rng(seed).permutation(len(batch))
        assert_same(self.after(batch[order]).get(), self.after(batch).get())

    @law
    @given(log=logs)
    def test_on_policy_it_is_the_mean(self, log):
        reward, propensity, _, score, _ = np.array(log).T
        # a model that is right on average, as any with an intercept is where it was fitted
        score += reward.mean() - score.mean()
        batch = self.on_policy(Batch(reward, propensity, propensity, score, score))
        assert self.after(batch).get().value == pytest.approx(reward.mean(), abs=1e-9)

    def on_policy(self, batch):
        return batch

    @law
    @given(constant=rewards, log=logs)
    def test_a_constant_is_recovered_on_policy(self, constant, log):
        batch = batch_of(log)
        same = np.full(len(batch), constant)
        batch = self.on_policy(Batch(same, batch.propensity, batch.propensity, same, same))
        assert self.after(batch).get().value == pytest.approx(constant, abs=1e-12)

    def test_the_higher_the_level_the_wider(self):
        estimator = self.after(self.world(4000, seed=3))
        widths = []
        for level in (0.5, 0.9, 0.99):
            interval = estimator.get(level).interval
            assert interval.level == level
            widths.append(interval.high - interval.low)
        assert widths == sorted(widths)
        assert widths[0] < widths[-1]

    def test_more_decisions_tighten_the_interval(self):
        few, many = (self.after(self.world(n, seed=4)).get().interval for n in (2000, 200_000))
        assert many.high - many.low < 0.25 * (few.high - few.low)


class OwnIntervalLaws(_Suite):
    """What holds of an estimator whose interval is around its own value."""

    bounded: ClassVar[bool] = False
    """True if rewards are said to lie between 0 and 1; otherwise those seen tell."""

    @law
    @given(log=logs, binary=st.booleans())
    def test_a_value_lies_in_its_interval_and_both_where_rewards_do(self, log, binary):
        reward, *others = np.array(log).T
        reward = (reward > 0.5).astype(np.float64) if binary else reward
        value, interval = self.after(self.prepare(Batch(reward, *others))).get()[1:]
        if value is None:
            return
        told = self.bounded or len(set(reward)) == 1
        top = 1.0 if told else reward.max()
        assert 0.0 <= value <= top
        if interval is not None:
            assert 0.0 <= interval.low <= value + 1e-12
            assert value - 1e-12 <= interval.high <= top


class ConsistentLaws(_Suite):
    """What holds of an estimator that finds the truth, if the log is long enough."""

    def policies(self):
        return {}

    def truth(self):
        return true_value()

    def test_it_comes_to_the_truth(self):
        value = self.after(self.world(400_000, seed=5, **self.policies())).get().value
        assert value == pytest.approx(self.truth(), abs=0.006)


class UnbiasedLaws(_Suite):
    """What holds of an estimator whose mean is the truth at any length."""

    def test_short_logs_are_right_on_average(self):
        batch = self.world(20 * 4000, seed=6)
        values = [self.after(batch[i : i + 20]).get().value for i in range(0, len(batch), 20)]
        error = np.std(values) / np.sqrt(len(values))
        assert np.mean(values) == pytest.approx(true_value(), abs=4.0 * error)


class CoverageLaws(_Suite):
    """What holds of intervals: they cover at their level.

    The bounds are those of a count of 600 that a right interval leaves once in a thousand seeds.
    """

    n: ClassVar[int] = 1500
    least: ClassVar[float] = 0.92
    most: ClassVar[float] = 0.98

    def policies(self):
        return {}

    def truth(self):
        return true_value()

    def test_intervals_cover(self):
        batch = self.world(600 * self.n, seed=7, **self.policies())
        covered = 0
        for start in range(0, len(batch), self.n):
            interval = self.after(batch[start : start + self.n]).get(0.95).interval
            covered += self.truth() in interval
        assert self.least <= covered / 600 <= self.most
