import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.checks.diagnostics import Calibrating
from bandit.ope.estimators.importance import Snips
from bandit.ope.reports.report import drift
from bandit.ope.reports.trends import BUCKETS, REST, SEGMENTS, BySegment, ByTime
from tests.bandit.ope.estimators.estimator_worlds import draw

START_MS = 1_750_000_000_000


def by_time(batch, times):
    trend = ByTime(Snips())
    trend.add(batch, times)
    return trend


def test_however_long_a_log_is_its_stretches_are_few_and_hold_all_of_it():
    batch = draw(5000, seed=1).batch
    times = START_MS + np.sort(np.random.default_rng(1).integers(0, 30 * 86_400_000, 5000))
    whole = by_time(batch, times.astype(np.float64)).get()
    assert BUCKETS / 2 - 1 <= len(whole) <= BUCKETS
    assert sum(part.n for part in whole) == 5000
    starts = [int(part.label) for part in whole]
    assert starts == sorted(starts)
    first = times < starts[1]
    weight, reward = batch.weight[first], batch.reward[first]
    assert whole[0].n == first.sum()
    assert whole[0].value == pytest.approx((weight * reward).sum() / weight.sum())
    assert whole[0].logged == pytest.approx(reward.mean())


@pytest.mark.parametrize("size", [1, 700, 2500])
def test_batches_and_parts_make_no_difference_to_time(size):
    batch = draw(2500, seed=2).batch
    times = START_MS + 60_000.0 * np.random.default_rng(2).permutation(2500)
    trend = ByTime(Snips())
    for start in range(0, 2500, size):
        rows = slice(start, start + size)
        trend.add(batch[rows], times[rows])
    whole = by_time(batch, times)
    merged = by_time(batch[:900], times[:900]) + by_time(batch[900:], times[900:])
    for other in (trend, merged):
        assert [(p.label, p.n) for p in other.get()] == [(p.label, p.n) for p in whole.get()]
        for mine, theirs in zip(other.get(), whole.get(), strict=True):
            assert mine.value == pytest.approx(theirs.value)


def test_each_segment_has_its_own_value():
    drawn = draw(4000, seed=3)
    labels = [("young", "old")[visitor] for visitor in drawn.visitor]
    halves = [BySegment(Snips()) for _ in range(2)]
    halves[0].add(drawn.batch[:1500], labels[:1500])
    halves[1].add(drawn.batch[1500:], labels[1500:])
    found = {part.label: part for part in (halves[0] + halves[1]).get()}
    assert list(found) == ["old", "young"]
    for number, label in enumerate(("young", "old")):
        mine = drawn.visitor == number
        weight, reward = drawn.batch.weight[mine], drawn.batch.reward[mine]
        assert found[label].n == mine.sum()
        assert found[label].value == pytest.approx((weight * reward).sum() / weight.sum())


def test_too_many_segments_are_put_together():
    n = 3 * SEGMENTS
    half = np.full(n, 0.5)
    segments = BySegment(Snips())
    segments.add(Batch(np.ones(n), half, half), [str(number) for number in range(n)])
    parts = segments.get()
    assert len(parts) == SEGMENTS + 1
    assert (parts[0].label, parts[0].n) == (REST, n - SEGMENTS)


def steps(rates):
    rng, trend = np.random.default_rng(4), ByTime(Snips())
    for day, rate in enumerate(rates):
        half = np.full(800, 0.5)
        reward = (rng.random(800) < rate).astype(np.float64)
        trend.add(Batch(reward, half, half), np.full(800, START_MS + 86_400_000.0 * day))
    return trend.get()


def test_a_value_that_changed_is_told_and_noise_is_not():
    assert drift(steps([0.1] * 10)) is None
    assert "changed over time" in drift(steps([0.05] * 5 + [0.15] * 5))
    assert drift(steps([0.1])) is None


def calibrated(score, reward):
    calibrating = Calibrating()
    for start in range(0, len(score), 500):
        calibrating.add(score[start : start + 500], reward[start : start + 500])
    return calibrating.get()


def test_a_right_model_is_found_right_and_a_wrong_one_is_told():
    rng = np.random.default_rng(5)
    rate = rng.uniform(0.05, 0.5, 20_000)
    reward = (rng.random(20_000) < rate).astype(np.float64)
    right = calibrated(rate, reward)
    assert right.slope == pytest.approx(1.0, abs=0.1)
    assert 0.0 in right.bias_interval
    assert "what was earned" in right.words
    assert sum(one.n for one in right.bins) == 20_000
    assert [one.score for one in right.bins] == sorted(one.score for one in right.bins)
    assert all(one.score == pytest.approx(one.reward, abs=0.05) for one in right.bins)
    assert "expects less than was earned, by 0.1" in calibrated(rate - 0.1, reward).words
    bold = rate.mean() + 4.0 * (rate - rate.mean())
    assert "claims to know more" in calibrated(bold, reward).words
    assert "helps no estimate" in calibrated(np.full(20_000, reward.mean()), reward).words


def test_of_nothing_there_is_no_calibration():
    assert Calibrating().get() is None
