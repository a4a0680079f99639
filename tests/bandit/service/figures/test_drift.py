"""Drift of creatives as figures tell it: from buckets, in rewards, and not too early."""

import math

import pytest

from bandit.ope.estimators.bounded import RewardRange
from bandit.service.figures.counts import HOUR_MS, MINUTE_MS, Bucket, Counts, PlacementCounts
from bandit.service.figures.fold import Series, creative_drift, series_of
from tests.bandit.service.figures.test_tally import interaction


def shown(rates, step_ms, each=40):
    """A tally of a creative that earned so often in each stretch."""
    tally = PlacementCounts()
    for number, rate in enumerate(rates):
        for showing in range(each):
            reward = float(showing < rate * each)
            tally.add(interaction(reward, at_ms=number * step_ms + showing), 1)
    return tally


@pytest.mark.parametrize("step_ms", [MINUTE_MS, HOUR_MS, 24 * HOUR_MS])
def test_a_rate_that_falls_is_told_with_since_when(step_ms):
    rates = [0.5] * 12 + [0.1] * 12
    found = creative_drift(series_of(shown(rates, step_ms), RewardRange(), 0), "a")
    assert found.drift.drifts
    assert found.since_ms == 12 * step_ms
    assert (found.before, found.after) == pytest.approx((0.5, 0.1))


def test_a_steady_rate_is_left_alone():
    found = creative_drift(series_of(shown([0.3] * 30, HOUR_MS), RewardRange(), 0), "a")
    assert not found.drift.drifts


def test_rewards_that_may_still_come_are_waited_for():
    tally = shown([0.5] * 12 + [0.0] * 12, HOUR_MS)
    assert creative_drift(series_of(tally, RewardRange(), 0), "a").drift.drifts
    waited = series_of(tally, RewardRange(), 12 * HOUR_MS)
    assert len(waited.starts_ms) == 11
    assert not creative_drift(waited, "a").drift.drifts


def test_rates_are_told_in_rewards():
    tally = shown([0.5] * 12 + [0.1] * 12, HOUR_MS)
    found = creative_drift(series_of(tally, RewardRange(-1.0, 3.0), 0), "a")
    assert (found.before, found.after) == pytest.approx((0.5, 0.1))


def test_what_was_shown_once_has_no_drift():
    assert creative_drift(series_of(shown([0.5], HOUR_MS), RewardRange(), 0), "a") is None
    assert creative_drift(series_of(PlacementCounts(), RewardRange(), 0), "a") is None


@pytest.mark.parametrize("hours", [24, 48])
def test_a_daily_cycle_is_no_drift_and_a_fall_beyond_it_is(hours):
    rates = [0.05 * (1 + 0.2 * math.sin(math.tau * hour / 24)) for hour in range(hours)]

    def series(rates):
        stretches = []
        for hour, rate in enumerate(rates):
            counts = Counts(n=10_000, total=round(10_000 * rate), squares=round(10_000 * rate))
            stretches.append([Bucket(hour * HOUR_MS, creatives={"a": counts})])
        starts = [hour * HOUR_MS for hour in range(len(rates))]
        return Series(starts, stretches, RewardRange(), HOUR_MS)

    assert not creative_drift(series(rates), "a").drift.drifts
    half = hours // 2
    fallen = [rate * (0.3 if hour >= half else 1.0) for hour, rate in enumerate(rates)]
    found = creative_drift(series(fallen), "a")
    assert found.drift.drifts
    assert abs(found.since_ms - half * HOUR_MS) <= HOUR_MS
