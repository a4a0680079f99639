"""What showings count by: delays that are fair to the young, segments with the others as prior."""

import json

import msgspec
import numpy as np
import pytest
from msgspec import Raw
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.abtests.prior import QUANTILES, fit_delay
from bandit.errors import FeatureError, PolicySpecError, ReplayError
from bandit.policies import load_policy, open_policy
from bandit.policies.base import unseal
from bandit.policies.counts import (
    BUCKETS,
    MOST_SEGMENTS,
    OTHERS,
    DelayedFeedback,
    Segments,
    segment_of,
)
from bandit.policy import sample
from streams.events import EMPTY, Action, Outcome
from tests.bandit.decisions import a_decision
from tests.bandit.histories import archived, interaction
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws, raw

HOUR_MS = 3_600_000


class TestDelayedLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    """Steps are a millisecond apart, so most of a history is still waiting."""

    spec = 'text_thompson:weights={"text.length":0.4},delay=[0.008]'

    def same(self, one, other):
        return alike(one, other)


class TestDelayedSegmentsLaws(PolicyLaws, CorrectionLaws):
    spec = 'text_thompson:segments=["user.plan"],weights={"text.length":0.4}'

    def new(self):
        return open_policy(
            {"name": "text_thompson", "segments": ["user.plan"], "delay": [0.002, 1]}
        )

    def same(self, one, other):
        return alike(one, other)


def alike(one, other):
    """Whether two policies' states are equal, sums up to rounding."""
    (arms, *sums, segments, waiting), (other_arms, *other_sums, others, also) = (
        msgspec.msgpack.decode(unseal(policy.to_bytes())[1]) for policy in (one, other)
    )
    close = np.allclose(sums, other_sums, rtol=0.0, atol=1e-12)
    return (arms, segments, waiting) == (other_arms, others, also) and close


def decided(name, at_ms, number):
    return a_decision(
        f"e{number}",
        (Action("old"), Action("young")),
        (0.5, 0.5),
        ("old", "young").index(name),
        at_ms=at_ms,
    )


def test_showings_count_as_far_as_the_curve_says():
    delayed = DelayedFeedback([100.0])  # everything comes evenly within 100 s
    for at_ms in (0, 0, 50_000):
        delayed.learn("a", at_ms)
    delayed.learn("b", 75_000)
    half_a_bucket = 0.5 / BUCKETS
    assert delayed.missing("a") == pytest.approx(2 * 0.25 + 0.75, abs=4 * half_a_bucket)
    assert delayed.missing("b") == pytest.approx(1.0, abs=2 * half_a_bucket)
    delayed.learn("b", 150_000)
    assert delayed.missing("a") == pytest.approx(0.0, abs=2 * half_a_bucket)
    delayed.learn("b", 400_000)
    assert delayed.missing("a") == 0.0
    assert delayed.missing("unknown") == 0.0


def test_order_does_not_matter_and_the_state_stays_small():
    times = [int(t) for t in np.random.default_rng(0).integers(0, 300_000, 500)]
    one, other = DelayedFeedback([1.0, 60.0]), DelayedFeedback([1.0, 60.0])
    for at_ms in times:
        one.learn("a", at_ms)
    for at_ms in sorted(times):
        other.learn("a", at_ms)
    assert one.missing("a") == pytest.approx(other.missing("a"))
    assert one.to_bytes() == other.to_bytes()
    assert len(one.to_bytes()) < 8 * BUCKETS


def test_the_young_are_not_judged_by_conversions_that_cannot_have_come():
    """Both convert alike after two hours; one has been shown for a day, the other for an hour."""

    def after(spec, young_hours=1):
        policy, number = open_policy(spec), 0
        for name, hours in (("old", 24), ("young", young_hours)):
            for at_ms in range((24 - hours) * HOUR_MS, 24 * HOUR_MS, HOUR_MS // 100):
                decision = decided(name, at_ms, number)
                policy.learn(decision, 0.0)
                number += 1
                if number % 20 == 0 and at_ms <= 22 * HOUR_MS:
                    policy.correct(decision, 0.0, 1.0)
        return policy.pmf(EMPTY, decided("old", 0, 0).actions)[1]

    plain = {"name": "text_thompson", "weights": {}}
    fair = plain | {"delay": [7180.0 + k for k in range(20)]}
    as_new = after(fair, young_hours=0)
    assert after(plain) < 0.5 * as_new
    assert after(fair) > 0.7 * as_new


def interactions(delays):
    """A log of clicks after these delays, one decision a second."""
    for number, delay in enumerate(delays):
        at_ms = 1_000_000 + 1000 * number
        outcome = Outcome(
            event_id=f"e{number}",
            outcome_id=f"o{number}",
            kind="conversion",
            timestamp_ms=at_ms + int(1000 * delay),
        )
        decision = decided("old", at_ms, number)
        yield interaction(decision, 2 * number, 0.0, status="provisional")
        yield interaction(
            decision, 2 * number + 1, 1.0, status="corrected", previous=0.0, outcomes=(outcome,)
        )


def test_the_curve_is_the_quantiles_of_what_has_had_time_to_come():
    delays = 100.0 * np.random.default_rng(1).weibull(0.6, 20_000)
    found = fit_delay(interactions(delays))
    assert len(found) == QUANTILES
    expected = np.quantile(delays, np.arange(1, QUANTILES) / QUANTILES)
    np.testing.assert_allclose(found[:-1], expected, rtol=0.12)
    spec = {"name": "text_thompson", "delay": found}
    policy = open_policy(spec)
    assert load_policy(policy.to_bytes()).spec == policy.spec


def test_what_cannot_be_a_curve_is_refused():
    with pytest.raises(ReplayError, match="50 rewards older than the longest delay"):
        fit_delay(interactions([0.0] * 50))
    with pytest.raises(PolicySpecError, match="ascending"):
        open_policy({"name": "text_thompson", "delay": [5.0, 1.0]})
    with pytest.raises(PolicySpecError):
        open_policy({"name": "text_thompson", "delay": []})


def test_the_command_prints_a_policy(tmp_path):
    empty = CliRunner().invoke(app, ["fit-delay", str(tmp_path)])
    assert "0 rewards older than the longest delay" in str(empty.exception)
    archived(tmp_path, interactions([5.0] * 300))
    done = CliRunner().invoke(app, ["fit-delay", str(tmp_path)])
    assert open_policy(json.loads(done.stdout)).spec["delay"] == [5.0] * QUANTILES
    assert "half of the rewards take 5 s or less" in done.stderr


BY_DEVICE = {"name": "text_thompson", "weights": {}, "segments": ["device"]}


class TestSegmentedLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = 'text_thompson:weights={"text.length":0.4},segments=["user.plan"],segment_spread=0.5'

    def same(self, one, other):
        return alike(one, other)


def shown(context, index, number, n=2):
    return a_decision(
        f"e{number}",
        [Action(f"c{k}") for k in range(n)],
        (1.0 / n,) * n,
        index,
        at_ms=number,
        context=context,
    )


def taught(spec, cells):
    """After so many showings and clicks: {(device, creative): (n, clicks)}."""
    policy = open_policy(spec)
    number = 0
    for (device, index), (n, clicks) in cells.items():
        for k in range(n):
            policy.learn(shown({"device": device}, index, number), float(k < clicks))
            number += 1
    return policy


def pmf_on(policy, device):
    return policy.pmf(raw({"device": device}), shown({}, 0, 0).actions)


OPPOSITE = {("tv", 0): (900, 36), ("tv", 1): (900, 9), ("pc", 0): (900, 9), ("pc", 1): (900, 36)}


def test_segments_of_opposite_taste_are_told_apart_and_a_new_one_gets_the_mean():
    policy = taught(BY_DEVICE, OPPOSITE)
    assert pmf_on(policy, "tv")[0] > 0.9
    assert pmf_on(policy, "pc")[1] > 0.9
    assert pmf_on(policy, "radio")[0] == pytest.approx(0.5)
    plain = taught({"name": "text_thompson", "weights": {}}, OPPOSITE)
    assert pmf_on(plain, "tv")[0] == pytest.approx(0.5)


def test_what_was_learned_elsewhere_holds_in_a_new_segment_as_far_as_segments_are_alike():
    cells = {("tv", 0): (2000, 60), ("tv", 1): (2000, 20)}
    spread = [
        pmf_on(taught(BY_DEVICE | {"segment_spread": s}, cells), "pc")[0] for s in (0, 0.3, 9)
    ]
    assert spread[0] > 0.97
    assert spread[0] >= spread[1] > spread[2] > 0.5


def test_with_no_spread_segments_change_nothing():
    plain = {"name": "text_thompson", "weights": {}}
    pooled = taught(BY_DEVICE | {"segment_spread": 0.0}, OPPOSITE)
    # The share of showings by which creatives lag is a segment's own.
    np.testing.assert_allclose(
        pmf_on(pooled, "tv"), pmf_on(taught(plain, OPPOSITE), "tv"), atol=0.02
    )


def test_it_earns_more_than_one_pmf_for_all_where_tastes_differ():
    rates = {"tv": (0.12, 0.04), "pc": (0.04, 0.12)}
    earned = []
    for spec in (BY_DEVICE, {"name": "text_thompson", "weights": {}}):
        policy, rng, total = open_policy(spec), np.random.default_rng(3), 0.0
        for number in range(1500):
            device = ("tv", "pc")[number % 2]
            decision = shown({"device": device}, 0, number)
            pmf = policy.pmf(decision.context, decision.actions)
            index = sample(pmf, decision.event_id)
            total += float(pmf @ rates[device])
            made = msgspec.structs.replace(decision, pmf=tuple(pmf.tolist()), index=index)
            policy.learn(made, float(rng.random() < rates[device][index]))
        earned.append(total)
    assert earned[0] > 1.2 * earned[1]


def test_what_comes_after_a_thousand_segments_is_taken_together():
    segments = Segments()
    for number in range(MOST_SEGMENTS):
        assert segments.learn(f"[{number}]") == f"[{number}]"
    assert segments.learn("[-1]") == OTHERS
    assert segments.kept("[7]") == "[7]"
    again = Segments(segments.to_list())
    assert again.kept("[-1]") == OTHERS
    assert len(again.to_list()) == MOST_SEGMENTS


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (b"[1]", "cannot be read"),
        (b'{"device": {"os": "x"}}', "an object or an array"),
        (b'{"device": [1]}', "an object or an array"),
        (b"{", "cannot be read"),
    ],
)
def test_a_context_without_a_segment_is_refused_and_changes_nothing(context, message):
    policy = taught(BY_DEVICE, {("tv", 0): (3, 1)})
    before = policy.to_bytes()
    bad = msgspec.structs.replace(shown({}, 0, 9), context=Raw(context))
    for call in (
        lambda: policy.pmf(bad.context, bad.actions),
        lambda: policy.learn(bad, 1.0),
        lambda: policy.correct(bad, 0.0, 1.0),
    ):
        with pytest.raises(FeatureError, match=message):
            call()
    assert policy.to_bytes() == before


def test_values_of_another_type_are_other_segments():
    found = [
        segment_of(Raw(text), ["a"]) for text in (b'{"a":1}', b'{"a":"1"}', b'{"a":true}', b"{}")
    ]
    assert len(set(found)) == 4


def test_a_spread_wants_segments_and_a_plain_policy_keeps_its_bytes():
    with pytest.raises(PolicySpecError, match="segment_spread needs segments"):
        open_policy({"name": "text_thompson", "segment_spread": 0.1})
    plain = open_policy({"name": "text_thompson"})
    assert not {"segments", "segment_spread", "delay"} & plain.spec.keys()
    assert len(msgspec.msgpack.decode(unseal(plain.to_bytes())[1])) == 3
    assert load_policy(open_policy(BY_DEVICE).to_bytes()).spec["segments"] == ["device"]
