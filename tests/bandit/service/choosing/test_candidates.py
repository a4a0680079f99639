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
from bandit.service.choosing.candidates import (
    ActionDistribution,
    CandidateSet,
    Decided,
    RequestMetadata,
    Selection,
    decision_message,
    message_of,
    rank_answer,
    slots_answer,
)
from bandit.service.choosing.slots import SlotRequest, fill, slot_contexts
from bandit.service.requests import (
    ActionPropensity,
    RankAnswer,
    RankedAction,
    RankedSlot,
    RankSlotsAnswer,
)
from streams.events import EMPTY, Action, Creative, Decision, decode, each_decision, encode
from streams.events.placement import TrafficCap
from tests.streams.made_events import shortlists

LAW = settings(max_examples=100, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
objects = st.dictionaries(texts, st.integers() | st.booleans() | texts, max_size=3).map(
    lambda fields: Raw(msgspec.json.encode(fields))
)
requests = st.builds(
    RequestMetadata,
    event_id=texts,
    timestamp_ms=st.integers(0, 2**53 - 1),
    deferred=st.booleans(),
    fallback=st.booleans(),
    traceparent=st.none() | st.just(f"00-{'a' * 32}-{'b' * 16}-01") | texts,
)


@st.composite
def selections(draw):
    """A draw from candidates of which the first may be a creative of ours."""
    ids = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    actions = tuple(Action(name, draw(objects)) for name in ids)
    ours = Creative(
        id=ids[0], placement="p", parts={"headline": draw(texts)}, status="live", timestamp_ms=0
    )
    creatives = draw(st.sampled_from([{}, {ours.id: ours}]))
    weights = np.array([draw(st.floats(1e-6, 1.0)) for _ in ids])
    candidates = CandidateSet(draw(texts), actions, creatives)
    distribution = ActionDistribution(candidates, (weights / weights.sum()).tolist(), "v@1")
    chosen, slot = distribution.draw(draw(texts)), draw(st.integers(0, 3))
    return Selection(draw(objects), distribution, chosen, slot, draw(shortlists))


@st.composite
def slate_decisions(draw):
    """What several slots chose of some actions, and the metadata of their request."""
    ids = draw(st.lists(texts, min_size=2, max_size=6, unique=True))
    lid = draw(st.none() | st.just(TrafficCap(0.3, tuple(ids[1:3]))))
    candidates = CandidateSet(
        draw(texts), tuple(Action(name, draw(objects)) for name in ids), {}, lid
    )
    n_slots = draw(st.integers(2, len(ids)))
    barred = draw(st.lists(st.sampled_from(ids), max_size=len(ids) - n_slots, unique=True))
    slots = [
        SlotRequest(
            f"s{number}",
            number,
            draw(st.just(EMPTY) | objects),
            (*barred, "gone"),
            draw(st.none() | st.sampled_from([*ids, "gone"])),
        )
        for number in range(n_slots)
    ]
    context = draw(objects.filter(lambda each: b'"slot"' not in bytes(each)))
    alike = draw(st.booleans())

    def of(_, left):
        shares = [1.0 if alike else draw(st.floats(0.1, 1.0)) for _ in left.actions]
        return ActionDistribution(left, [share / sum(shares) for share in shares], "v@1")

    metadata = draw(requests)
    found = fill(slots, slot_contexts(context, slots), candidates, metadata.event_id, of)
    note = draw(shortlists)
    if note:
        inclusions = [draw(st.floats(0.1, 1.0)) for _ in found]
        found = [
            one._replace(shortlist=msgspec.structs.replace(note, inclusion=inclusion))
            for one, inclusion in zip(found, inclusions, strict=True)
        ]
    return Decided(metadata, found, context=context)


def ranked(selected):
    candidates = selected.distribution.candidates
    action = candidates.actions[selected.chosen]
    creative = candidates._creatives.get(action.id)
    return RankedAction(action.id, creative.parts if creative else None)


def shares(selected):
    pairs = zip(selected.distribution.candidates.actions, selected.distribution.pmf, strict=True)
    return [ActionPropensity(action.id, share) for action, share in pairs]


@LAW
@given(selected=selections(), metadata=requests)
def test_a_decision_is_what_encoding_it_gives(selected, metadata):
    candidates = selected.distribution.candidates
    expected = Decision(
        event_id=metadata.event_id,
        placement=candidates.name,
        timestamp_ms=metadata.timestamp_ms,
        context=selected.context,
        actions=candidates.actions,
        pmf=selected.distribution.pmf,
        index=selected.chosen,
        policy_version="v@1",
        slot=selected.slot,
        deferred=metadata.deferred,
        fallback=metadata.fallback or UNSET,
        shortlist=selected.shortlist,
        v=3 if selected.shortlist else 2 if metadata.fallback else 1,
        traceparent=metadata.traceparent,
    )
    message = decision_message(selected, metadata)
    assert message.value == encode(expected)
    assert encode(decode(message.value)) == message.value
    if selected.shortlist:
        assert message.shared is None
    else:
        assert message.value.startswith(message.shared.part, message.shared.start)
    assert message.key == metadata.event_id.encode()


@LAW
@given(decided=slate_decisions())
def test_a_slate_is_the_decisions_of_its_slots(decided):
    message = message_of(decided)
    slate = decode(message.value)
    alone = [decode(decision_message(one, decided.metadata).value) for one in decided.selections]
    assert each_decision(slate) == tuple(alone)
    assert encode(slate) == message.value
    if message.shared is not None:
        assert message.value.startswith(message.shared.part, message.shared.start)
        assert message.shared.part == msgspec.json.encode(slate.actions)
    assert message.key == decided.metadata.event_id.encode()


@LAW
@given(selected=selections(), metadata=requests, logged=st.booleans())
def test_an_answer_is_what_encoding_it_gives(selected, metadata, logged):
    expected = RankAnswer(
        event_id=metadata.event_id,
        placement=selected.distribution.candidates.name,
        action=ranked(selected),
        index=selected.chosen,
        propensity=selected.distribution.pmf[selected.chosen],
        pmf=shares(selected),
        policy_version="v@1",
        logged=logged,
        fallback=metadata.fallback,
    )
    assert rank_answer(Decided(metadata, [selected], logged)) == msgspec.json.encode(expected)


@LAW
@given(
    selected=st.lists(selections(), min_size=1, max_size=3), metadata=requests, logged=st.booleans()
)
def test_an_answer_for_slots_is_what_encoding_it_gives(selected, metadata, logged):
    ids = [f"slot é{number}" for number in range(len(selected))]
    expected = RankSlotsAnswer(
        event_id=metadata.event_id,
        placement=selected[0].distribution.candidates.name,
        slots=[
            RankedSlot(
                slot=one.slot,
                id=name,
                action=ranked(one),
                index=one.chosen,
                propensity=one.distribution.pmf[one.chosen],
                pmf=shares(one),
            )
            for one, name in zip(selected, ids, strict=True)
        ],
        policy_version="v@1",
        logged=logged,
        fallback=metadata.fallback,
    )
    assert slots_answer(Decided(metadata, selected, logged), ids) == msgspec.json.encode(expected)


@LAW
@given(weights=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9), event_id=texts)
def test_the_draw_is_that_of_sample(weights, event_id):
    total = math.fsum(weights) or 1.0
    pmf = [weight / total for weight in weights] if math.fsum(weights) else [1.0]
    candidates = CandidateSet("p", tuple(Action(str(n)) for n in range(len(pmf))), {})
    assert ActionDistribution(candidates, pmf, "v").draw(event_id) == sample(
        pmf, sample_seed(event_id)
    )


@pytest.mark.parametrize("pmf", [[0.5, 0.6], [1.0], [1.5, -0.5], [math.nan, 1.0]])
def test_what_is_no_pmf_is_refused_before_it_is_drawn_from(pmf):
    candidates = CandidateSet("p", (Action("a"), Action("b")), {})
    with pytest.raises(ValueError, match="pmf"):
        ActionDistribution(candidates, pmf, "v")


def test_distributions_are_kept_for_their_policy_and_only_if_it_reads_no_context():
    candidates = CandidateSet("p", (Action("a"),), {})
    free, again = open_policy({"name": "thompson"}), open_policy({"name": "thompson"})
    reading = open_policy({"name": "lin_ts"})
    distribution = ActionDistribution(candidates, [1.0], "v")
    candidates.keep(free, distribution)
    assert candidates.known(free) is distribution
    assert candidates.known(again) is None
    candidates.keep(reading, distribution)
    assert candidates.known(reading) is None
    assert candidates.known(free) is None


def test_a_wrapper_reads_what_the_policy_beneath_reads():
    for name, expected in (("thompson", True), ("lin_ts", False)):
        floor = open_policy({"name": "floor", "policy": {"name": name}})
        assert is_context_free(floor) is expected
