"""What is counted, by itself."""

import numpy as np
import pytest

from bandit.ope.estimators.bounded import RewardRange
from bandit.service.figures.counts import (
    HOUR_MS,
    MAX_VALUES,
    MINUTE_MS,
    PlacementCounts,
    exploration,
    read_interactions,
)
from bandit.service.figures.lift import LiftPlan
from streams.events import Action, Interaction, Outcome, encode
from tests.bandit.decisions import a_decision


def interaction(
    reward, previous=None, at_ms=0, context=None, index=0, delays=(), status="provisional"
):
    actions, told = (Action("a"), Action("b")), {"context": context or {}, "version": "v@1"}
    decision = a_decision("e", actions, (0.75, 0.25), index, at_ms=at_ms, **told)
    outcomes = tuple(
        Outcome(event_id="e", outcome_id=f"o{n}", kind="click", timestamp_ms=at_ms + delay_ms)
        for n, delay_ms in enumerate(delays)
    )
    event = Interaction(
        source=0, sequence=0, decision=decision, reward=reward, status=status,
        timestamp_ms=at_ms, previous_reward=previous, outcomes=outcomes,
    )  # fmt: skip
    (seen,) = read_interactions(encode(event))
    return seen


def counted(*interactions):
    """A tally of these, each taken in a millisecond after the one before."""
    tally = PlacementCounts()
    for at_ms, each in enumerate(interactions, start=1):
        tally.add(each, at_ms)
    return tally


def test_a_correction_replaces_a_reward_and_counts_no_showing():
    corrections = interaction(1.0, previous=0.0), interaction(0.5, previous=1.0)
    tally = counted(interaction(0.0), *corrections)
    assert (tally.all.n, tally.all.total, tally.all.squares) == (1, 0.5, 0.25)
    (minute,) = tally.buckets(MINUTE_MS, 0, 2**53)
    assert minute.changed_ms == 3
    assert minute.creatives["a"].expected == 0.75
    assert minute.creatives["b"].n == 0


def wilson(rate, n, z=1.959963984540054):
    centre, scale = rate + z * z / (2 * n), 1 + z * z / n
    half = z * (rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5
    return pytest.approx(((centre - half) / scale, (centre + half) / scale), abs=1e-9)


@pytest.mark.parametrize("clicks", [0, 1, 2, 3])
def test_a_band_lies_where_rates_do(clicks):
    tally = counted(*(interaction(float(number < clicks)) for number in range(3)))
    assert tally.all.band() == wilson(clicks / 3, 3)
    low, high = tally.all.band()
    assert 0.0 <= low < high <= 1.0


def test_a_band_lies_in_the_placements_range_and_has_a_width_where_nothing_varied():
    tally = counted(*(interaction(2.0) for _ in range(30)))
    tally.plan(None, None, (-1.0, 5.0))
    low, high = tally.all.band(tally.scale)
    assert -1.0 < low < 2.0 < high < 5.0
    assert counted().all.band() == (None, None)


def test_a_band_counts_users_where_a_unit_is_named():
    rng, shown = np.random.default_rng(1), []
    for user in range(40):
        rate = rng.beta(0.5, 1.5)
        clicks = (rng.random(50) < rate).astype(float)
        shown += [interaction(float(each), context={"user": f"u{user}"}) for each in clicks]
    plain, by_user = PlacementCounts(), PlacementCounts()
    by_user.plan(None, None, unit="context.user")
    for each in shown:
        plain.add(each, 1)
        by_user.add(each, 1)
    totals = np.array([each.reward for each in shown]).reshape(40, 50).sum(axis=1)
    n, mean = 2000, totals.sum() / 2000
    cluster = 40 / 39 * ((totals - 50 * mean) ** 2).sum() / n**2
    design = cluster / (mean * (1 - mean) / n)
    assert design > 4
    assert by_user.scale.design == pytest.approx(design, rel=1e-9)
    assert by_user.all.band(by_user.scale) == wilson(mean, n / design)
    assert plain.all.band(plain.scale) == wilson(mean, n)


def test_old_buckets_are_let_go():
    tally = counted(*(interaction(0.0, at_ms=hour * HOUR_MS) for hour in range(24 * 40)))
    hours = list(tally.buckets(HOUR_MS, 0, 2**53))
    assert len(hours) == 24 * 30
    assert hours[-1].start_ms == (24 * 40 - 1) * HOUR_MS
    assert tally.all.n == 24 * 40


def test_segments_are_bounded():
    tally = PlacementCounts()
    for number in range(500):
        context = {f"f{number % 50}": f"v{number}", "big": "x" * 99, "flag": True, "n": 1}
        tally.add(interaction(0.0, context=context), 1)
    assert "big" not in tally.segments
    assert "n" not in tally.segments
    assert len(tally.segments) <= 20
    assert all(len(values) <= MAX_VALUES for values in tally.segments.values())
    assert tally.segments["flag"]["true"]["a"].n == 500


def test_delays_count_every_outcome_once():
    tally = counted(
        interaction(0.0),
        interaction(1.0, previous=0.0, delays=[900]),
        interaction(2.0, previous=1.0, delays=[900, 70_000]),
    )
    counts = tally.delays["click"]
    assert sum(counts) == 2
    assert counts[0] == 1


def test_exploration_is_counted_once_a_showing():
    assert exploration([1.0]) == (0.0, 0.0)
    assert exploration([0.25] * 4) == pytest.approx((1.0, 0.75))
    tally = counted(interaction(0.0), interaction(1.0, previous=0.0))
    (minute,) = tally.buckets(MINUTE_MS, 0, 2**53)
    assert minute.explored == pytest.approx(0.25)
    assert minute.entropy == pytest.approx(exploration([0.75, 0.25])[0])


def test_who_saw_it_often_is_told_apart():
    tally = PlacementCounts()
    tally.plan(None, "user.seen")
    for times in (0, 1, 1, 3, 4, 7, 400):
        tally.add(interaction(1.0, context={"user": {"seen": {"a": times, "b": 99}}}), 1)
    for odd in ({}, {"user": 3}, {"user": {"seen": {"b": 5}}}, {"user": {"seen": {"a": "no"}}}):
        tally.add(interaction(0.0, context=odd), 1)
    assert [counts.n for counts in tally.fatigue] == [2, 2, 0, 2, 1, 1]
    assert [counts.total for counts in tally.fatigue] == [1, 2, 0, 2, 1, 1]


def test_only_closed_decisions_count_for_a_lift():
    tally = PlacementCounts()
    tally.plan(LiftPlan(0, RewardRange(), 0.5, None), None)
    tally.add(interaction(0.0), 1)
    tally.add(interaction(1.0, previous=0.0, status="corrected"), 2)
    assert tally.lifts.get()[0].n == 0
    tally.add(interaction(1.0, previous=1.0, status="closed"), 3)
    assert tally.lifts.get()[0].n == 1
