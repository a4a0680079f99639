"""Segments: a creative's rate in each, with the others as its prior."""

import msgspec
import numpy as np
import pytest
from msgspec import Raw

from bandit.errors import FeatureError, PolicySpecError
from bandit.policies import load_policy, open_policy
from bandit.policies.base import unseal
from bandit.policies.segments import MOST_SEGMENTS, OTHERS, Segments, segment_of
from bandit.policy import sample
from streams.events import Action, Decision
from tests.bandit.policies.test_delayed_feedback import alike
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws, raw

BY_DEVICE = {"name": "text_thompson", "weights": {}, "segments": ["device"]}


class TestSegmentedLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = 'text_thompson:weights={"text.length":0.4},segments=["user.plan"],segment_spread=0.5'

    def same(self, one, other):
        return alike(one, other)


def shown(context, index, number, n=2):
    return Decision(
        event_id=f"e{number}",
        placement="home",
        timestamp_ms=number,
        context=raw(context),
        actions=tuple(Action(f"c{k}") for k in range(n)),
        pmf=(1.0 / n,) * n,
        index=index,
        policy_version="v",
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
