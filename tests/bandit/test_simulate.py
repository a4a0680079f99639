import math
from collections import Counter

import pytest
from scipy import stats

from bandit.simulate import DAYPARTS, DEVICES, TasteWorld, text_attributes

HEADLINES = (
    "Sleep cooler tonight with our new linen sheets",
    "Save 20% on your first order today",
    "Ready for a softer night?",
    "Handmade in Portugal, built to last",
    "Free delivery. Free returns. No fuss.",
    "Your morning coffee, reinvented",
    "Meet the bike that folds in 10 seconds",
    "Clean energy for every home",
    "Only 3 days left: half price boots",
    "Love your garden again",
    "Why are runners leaving their old shoes?",
    "Stop paying too much for glasses!",
)


def test_the_same_seed_is_the_same_audience_in_any_order() -> None:
    one, other = TasteWorld(seed=3), TasteWorld(seed=3)
    forwards = [one.respond(one.visitor(n), HEADLINES[n % 12]) for n in range(300)]
    backwards = [other.respond(other.visitor(n), HEADLINES[n % 12]) for n in reversed(range(300))]
    assert forwards == backwards[::-1]
    assert [one.visitor(n).context for n in range(9)] == [
        other.visitor(n).context for n in range(9)
    ]


def test_another_seed_is_another_taste() -> None:
    favourites = {TasteWorld(seed=seed).best(HEADLINES).text for seed in range(8)}
    assert len(favourites) > 2


def test_rates_are_realistic_and_worth_choosing_among() -> None:
    ratios = []
    for seed in range(20):
        world = TasteWorld(seed=seed)
        rates = [
            world.click_rate(context, text) for context, _ in world.audience() for text in HEADLINES
        ]
        assert min(rates) > 0.045 * math.exp(-1.3) > 0.01
        assert max(rates) < 0.045 * math.exp(1.3) < 0.2
        ratios.append(world.best(HEADLINES).click_rate / world.expected_ctr(HEADLINES))
    assert 1.6 < sum(ratios) / len(ratios) < 2.4


def test_piling_up_what_is_liked_does_not_escape_the_bound() -> None:
    world = TasteWorld(seed=5)
    context, _ = world.audience()[0]
    everything = "New! Save 50% now: ready for your best, softest, organic dream? " * 20
    assert world.click_rate(context, everything) < 0.2
    assert 0.01 < world.click_rate(context, "") < 0.2


def test_segments_differ_and_partly_disagree() -> None:
    world = TasteWorld(seed=0)
    orders = {
        tuple(sorted(HEADLINES, key=lambda text: world.click_rate(context, text)))
        for context, _ in world.audience()
    }
    assert len(orders) == 4
    by_segment = [[world.click_rate(c, text) for text in HEADLINES] for c, _ in world.audience()]
    opposed = sum(
        (by_segment[0][i] - by_segment[0][j]) * (by_segment[-1][i] - by_segment[-1][j]) < 0
        for i in range(12)
        for j in range(i)
    )
    assert 5 < opposed < 61


def test_clicks_match_the_true_rate_within_binomial_error() -> None:
    world = TasteWorld(seed=7)
    context, text = world.audience()[0][0], HEADLINES[2]
    visitors = [v for v in map(world.visitor, range(20_000)) if v.context == context]
    clicks = sum(world.respond(visitor, text).click for visitor in visitors)
    rate = world.click_rate(context, text)
    assert stats.binomtest(clicks, len(visitors), rate).pvalue > 0.001


def test_segments_come_in_their_shares() -> None:
    world = TasteWorld(seed=2)
    counts = Counter(bytes(world.visitor(n).context) for n in range(20_000))
    for context, share in world.audience():
        assert stats.binomtest(counts[bytes(context)], 20_000, share).pvalue > 0.001
    assert sum(share for _, share in world.audience()) == pytest.approx(1.0)
    assert sum(DEVICES.values()) == sum(DAYPARTS.values()) == 1.0


def test_a_visitor_who_clicks_on_a_text_clicks_on_every_better_one() -> None:
    world = TasteWorld(seed=4)
    for visitor in map(world.visitor, range(400)):
        ordered = sorted(HEADLINES, key=lambda text: world.click_rate(visitor.context, text))
        clicks = [world.respond(visitor, text).click for text in ordered]
        assert clicks == sorted(clicks)


def test_conversions_follow_clicks_and_delays_have_a_long_tail() -> None:
    world = TasteWorld(seed=6, base_rate=0.2, conversion_rate=0.3, click_delay_seconds=8.0)
    responses = [world.respond(world.visitor(n), HEADLINES[1]) for n in range(20_000)]
    clicked = [r for r in responses if r.click]
    converted = [r for r in clicked if r.conversion]
    assert not any(r.conversion or r.value or r.delay_seconds for r in responses if not r.click)
    assert all(r.value > 0 and r.conversion_delay_seconds > r.delay_seconds for r in converted)
    assert not any(r.value or r.conversion_delay_seconds for r in clicked if not r.conversion)
    assert stats.binomtest(len(converted), len(clicked), 0.3).pvalue > 0.001
    delays = sorted(r.delay_seconds for r in clicked)
    assert 6.5 < delays[len(delays) // 2] < 9.5
    assert delays[int(0.9 * len(delays))] > 4 * delays[len(delays) // 2]


def test_expected_rates_are_held_to_the_same_truth() -> None:
    world = TasteWorld(seed=9)
    uniform, best, ideal = (
        world.expected_ctr(HEADLINES),
        world.best(HEADLINES),
        world.best_ctr(HEADLINES),
    )
    one_hot = [float(text == best.text) for text in HEADLINES]
    assert world.expected_ctr(HEADLINES, lambda _: one_hot) == pytest.approx(best.click_rate)
    assert uniform < best.click_rate < ideal
    mean = sum(world.expected_ctr([text]) for text in HEADLINES) / 12
    assert uniform == pytest.approx(mean)


def test_a_world_with_rates_above_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"base_rate 0\.5 with spread 0\.65"):
        TasteWorld(seed=1, base_rate=0.5)


def test_attributes_tell_what_a_text_is_made_of() -> None:
    plain, loud = text_attributes("Sheets"), text_attributes("Save 20% on your sheets: new?!")
    present = {name for name in plain if loud[name] > plain[name]}
    assert present == {
        *("question", "exclamation", "figure", "two parts"),
        *("saving", "address", "novelty", "length"),
    }
