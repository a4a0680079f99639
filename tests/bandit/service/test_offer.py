"""What is spliced is what encoding the whole would give, byte for byte."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from bandit.policies import open_policy
from bandit.policy import is_context_free, sample, sample_seed
from bandit.service.offer import (
    Drawn,
    Odds,
    Offer,
    Stamp,
    decision_message,
    rank_answer,
    slots_answer,
)
from bandit.service.requests import (
    ActionPropensity,
    RankAnswer,
    RankedAction,
    RankedSlot,
    RankSlotsAnswer,
)
from streams.events import Action, Creative, Decision, decode, encode
from tests.streams.made_events import shortlists

LAW = settings(max_examples=100, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
objects = st.dictionaries(texts, st.integers() | st.booleans() | texts, max_size=3).map(
    lambda fields: Raw(msgspec.json.encode(fields))
)
stamps = st.builds(
    Stamp,
    event_id=texts,
    timestamp_ms=st.integers(0, 2**53 - 1),
    deferred=st.booleans(),
    fallback=st.booleans(),
    traceparent=st.none() | st.just(f"00-{'a' * 32}-{'b' * 16}-01") | texts,
)


@st.composite
def draws(draw):
    """A draw from an offer in which the first action may be a creative of ours."""
    ids = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    actions = tuple(Action(name, draw(objects)) for name in ids)
    ours = Creative(
        id=ids[0], placement="p", parts={"headline": draw(texts)}, status="live", timestamp_ms=0
    )
    creatives = draw(st.sampled_from([{}, {ours.id: ours}]))
    weights = np.array([draw(st.floats(1e-6, 1.0)) for _ in ids])
    odds = Odds(Offer(draw(texts), actions, creatives), (weights / weights.sum()).tolist(), "v@1")
    return Drawn(draw(objects), odds, odds.draw(draw(texts)), draw(shortlists))


def ranked(drawn):
    offer = drawn.odds.offer
    action = offer.actions[drawn.chosen]
    creative = offer._creatives.get(action.id)
    return RankedAction(action.id, creative.parts if creative else None)


def shares(drawn):
    pairs = zip(drawn.odds.offer.actions, drawn.odds.pmf, strict=True)
    return [ActionPropensity(action.id, share) for action, share in pairs]


@LAW
@given(drawn=draws(), stamp=stamps, slot=st.integers(0, 3))
def test_a_decision_is_what_encoding_it_gives(drawn, stamp, slot):
    offer = drawn.odds.offer
    expected = Decision(
        event_id=stamp.event_id,
        placement=offer.name,
        timestamp_ms=stamp.timestamp_ms,
        context=drawn.context,
        actions=offer.actions,
        pmf=drawn.odds.pmf,
        index=drawn.chosen,
        policy_version="v@1",
        slot=slot,
        deferred=stamp.deferred,
        fallback=stamp.fallback or UNSET,
        shortlist=drawn.shortlist,
        v=3 if drawn.shortlist else 2 if stamp.fallback else 1,
        traceparent=stamp.traceparent,
    )
    message = decision_message(drawn, stamp, slot)
    assert message.value == encode(expected)
    assert encode(decode(message.value)) == message.value
    if drawn.shortlist:
        assert message.shared is None
    else:
        assert message.value.startswith(message.shared.part, message.shared.start)
    assert message.key == stamp.event_id.encode()


@LAW
@given(drawn=draws(), stamp=stamps, logged=st.booleans())
def test_an_answer_is_what_encoding_it_gives(drawn, stamp, logged):
    expected = RankAnswer(
        event_id=stamp.event_id,
        placement=drawn.odds.offer.name,
        action=ranked(drawn),
        index=drawn.chosen,
        propensity=drawn.odds.pmf[drawn.chosen],
        pmf=shares(drawn),
        policy_version="v@1",
        logged=logged,
        fallback=stamp.fallback,
    )
    assert rank_answer(drawn, stamp, logged=logged) == msgspec.json.encode(expected)


@LAW
@given(drawn=st.lists(draws(), min_size=1, max_size=3), stamp=stamps, logged=st.booleans())
def test_an_answer_for_slots_is_what_encoding_it_gives(drawn, stamp, logged):
    ids = [f"slot é{number}" for number in range(len(drawn))]
    expected = RankSlotsAnswer(
        event_id=stamp.event_id,
        placement=drawn[0].odds.offer.name,
        slots=[
            RankedSlot(
                slot=slot,
                id=ids[slot],
                action=ranked(one),
                index=one.chosen,
                propensity=one.odds.pmf[one.chosen],
                pmf=shares(one),
            )
            for slot, one in enumerate(drawn)
        ],
        policy_version="v@1",
        logged=logged,
        fallback=stamp.fallback,
    )
    assert slots_answer(drawn, ids, stamp, logged=logged) == msgspec.json.encode(expected)


@LAW
@given(weights=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9), event_id=texts)
def test_the_draw_is_that_of_sample(weights, event_id):
    total = math.fsum(weights) or 1.0
    pmf = [weight / total for weight in weights] if math.fsum(weights) else [1.0]
    offer = Offer("p", tuple(Action(str(n)) for n in range(len(pmf))), {})
    assert Odds(offer, pmf, "v").draw(event_id) == sample(pmf, sample_seed(event_id))


@pytest.mark.parametrize("pmf", [[0.5, 0.6], [1.0], [1.5, -0.5], [math.nan, 1.0]])
def test_what_is_no_pmf_is_refused_before_it_is_drawn_from(pmf):
    offer = Offer("p", (Action("a"), Action("b")), {})
    with pytest.raises(ValueError, match="pmf"):
        Odds(offer, pmf, "v")


def test_odds_are_kept_for_the_policy_they_are_of_and_only_if_it_reads_no_context():
    offer = Offer("p", (Action("a"),), {})
    free, again = open_policy({"name": "thompson"}), open_policy({"name": "thompson"})
    reading = open_policy({"name": "lin_ts"})
    odds = Odds(offer, [1.0], "v")
    offer.keep_odds(free, odds)
    assert offer.known_odds(free) is odds
    assert offer.known_odds(again) is None
    offer.keep_odds(reading, odds)
    assert offer.known_odds(reading) is None
    assert offer.known_odds(free) is None


def test_a_wrapper_reads_what_the_policy_beneath_reads():
    for name, expected in (("thompson", True), ("lin_ts", False)):
        floor = open_policy({"name": "floor", "policy": {"name": name}})
        assert is_context_free(floor) is expected
