import json

import numpy as np
import pytest
from scipy import stats

from benchmarks.segment_world import DAY_MS, START_MS, SegmentWorld

N = 400


def test_the_same_seed_is_the_same_market_in_any_order():
    one, other = SegmentWorld(3), SegmentWorld(3)
    visits = [one.visit(number) for number in range(0, 4 * N, 7)]
    forwards = [one.respond(visit, one.creatives(visit)[visit.number % 20]) for visit in visits]
    backwards = [
        other.respond(visit, other.creatives(visit)[visit.number % 20])
        for visit in (other.visit(visit.number) for visit in reversed(visits))
    ]
    assert forwards == backwards[::-1]
    assert [visit.context for visit in visits] == [other.visit(v.number).context for v in visits]


def test_another_seed_is_another_market():
    rates = [SegmentWorld(seed).rates(*_first(SegmentWorld(seed))) for seed in range(3)]
    assert len({tuple(of_seed.tolist()) for of_seed in rates}) == 3


def _first(world):
    visit = world.visit(0)
    return visit, world.creatives(visit)


def test_new_creatives_come_and_the_oldest_go_every_day():
    world = SegmentWorld(1, live=5, new_per_day=2, visits_per_day=10)
    days = [[action.id for action in world.creatives(world.visit(10 * day))] for day in range(3)]
    assert days[1] == [*days[0][2:], "creative-5", "creative-6"]
    assert days[2][:3] == days[1][2:]
    assert world.creatives(world.visit(10)) is world.creatives(world.visit(19))


def test_segments_of_a_pair_have_opposite_tastes():
    world = SegmentWorld(2)
    visit, actions = _first(world)
    rates = [np.log(world.rates(visit._replace(segment=s), actions)) for s in range(4)]
    correlations = np.corrcoef(rates)
    assert correlations[0, 2] < -0.3
    assert correlations[1, 3] < -0.3


def test_tastes_drift_and_what_is_not_told_to_drift_stays():
    for drift, least, most in ((0.0, 0.999, 1.0), (0.3, -1.0, 0.5)):
        world = SegmentWorld(4, drift=drift)
        visit, actions = _first(world)
        later = visit._replace(timestamp_ms=visit.timestamp_ms + 8 * DAY_MS)
        rates = world.rates(visit, actions), world.rates(later, actions)
        assert least <= np.corrcoef(rates)[0, 1] <= most + 1e-12


def test_a_context_tells_the_segment_and_the_time():
    world = SegmentWorld(5)
    for number in range(0, 8000, 999):
        visit = world.visit(number)
        context = json.loads(bytes(visit.context))
        assert context["user"]["segment"] == f"s{visit.segment}"
        assert context["hour"] == (visit.timestamp_ms - START_MS) // 3_600_000 % 24


def test_the_context_is_worth_reading():
    """The best for each visit has well above the rate of the best for all, and that of any."""
    world = SegmentWorld(6)
    visits = [world.visit(number) for number in range(0, 2000, 10)]
    rates = np.array([world.rates(visit, world.creatives(visit)) for visit in visits])
    assert rates.max(axis=1).mean() > 1.25 * rates.mean(axis=0).max() > 1.25 * rates.mean()


def test_reported_conversions_are_the_rate_less_what_is_lost():
    world = SegmentWorld(7, lost=0.25, drift=0.0, visits_per_day=20_000, base_rate=0.2)
    visits = [world.visit(number) for number in range(6000)]
    shown = [(visit, world.creatives(visit)[visit.number % 20]) for visit in visits]
    expected = 0.75 * sum(world.rate(*each) for each in shown)
    reported = sum(world.respond(*each) is not None for each in shown)
    assert abs(reported - expected) < 4 * np.sqrt(expected)


def test_some_creatives_convert_later_than_others():
    world = SegmentWorld(8, base_rate=0.2, visits_per_day=20_000, delay_hours=2.0)
    visits = [world.visit(number) for number in range(6000)]
    delays = [
        [delay for visit in visits if (delay := world.respond(visit, action)) is not None]
        for action in _first(world)[1][:6]
    ]
    medians = [np.median(of_creative) / 3_600_000 for of_creative in delays]
    assert max(medians) > 1.5 * min(medians)
    assert 0.5 < np.median(medians) < 8.0
    assert stats.kruskal(*delays).pvalue < 1e-6


def test_who_converts_on_a_creative_converts_on_every_better_one():
    world = SegmentWorld(9, base_rate=0.2)
    for visit in map(world.visit, range(N)):
        actions = world.creatives(visit)
        order = world.rates(visit, actions).argsort()
        converts = [world.respond(visit, actions[i]) is not None for i in order]
        assert converts == sorted(converts)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"segments": 3}, "segments is 3; an even number"), ({"base_rate": 0.5}, "rates above 1")],
)
def test_a_world_that_cannot_be_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        SegmentWorld(1, **changed)
