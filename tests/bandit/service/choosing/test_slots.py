"""What holds however slots are filled, whichever policy fills them."""

import math
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from bandit.errors import RequestError
from bandit.policies import open_policy
from bandit.policy import sample, sample_seed
from bandit.service.choosing.candidates import ActionDistribution, CandidateSet
from bandit.service.choosing.slots import check_enough, fill, slot_contexts
from bandit.service.requests import RankSlot, slot_requests
from streams.events import Action
from tests.bandit.histories import decision

IDS = "abcdef"
CONTEXT = Raw(b'{"hour":9}')


def taught(name):
    """A policy that prefers some creatives, and so is not the same for all."""
    policy = open_policy({"name": name})
    for number in range(60):
        made = decision(f"taught-{number}", policy, "v", actions=actions_of(IDS))
        policy.learn(made, float(made.action.id in "ad"))
    return policy


def actions_of(ids):
    return tuple(Action(name, Raw(b'{"is":"%s"}' % name.encode())) for name in ids)


POLICIES = {name: taught(name) for name in ("uniform", "thompson", "epsilon_greedy", "lin_ts")}
BY_POLICY = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
LAW = settings(max_examples=50, deadline=None)

event_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
slots = st.lists(
    st.builds(
        RankSlot,
        id=st.sampled_from(["top", "side", "foot", "é"]),
        features=st.sampled_from([Raw(b"{}"), Raw(b'{"wide":true}'), Raw(b'{"area":0.5}')]),
        excluded=st.lists(st.sampled_from(IDS + "z"), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda slot: slot.id,
)
some_actions = st.permutations(IDS).flatmap(
    lambda ids: st.integers(1, len(ids)).map(lambda n: actions_of(ids[:n]))
)


def filled(slots, actions, event_id, policy):
    """One selection a slot, as the policy makes it."""

    def distribution_of(context, candidates):
        pmf = policy.pmf(context, candidates.actions)
        return ActionDistribution(candidates, pmf.tolist(), "v")

    asked, candidates = slot_requests(slots), CandidateSet("p", actions, {})
    return fill(asked, slot_contexts(CONTEXT, asked), candidates, event_id, distribution_of)


def said(selections):
    """What can be compared of selections."""
    return [
        (one.context, one.slot, one.chosen, one.distribution.pmf, actions_in(one))
        for one in selections
    ]


def actions_in(selection):
    return selection.distribution.candidates.actions


def refusal(slots, actions):
    """Why these slots are refused, None if they are not."""
    try:
        check_enough(slot_requests(slots), actions)
    except RequestError as error:
        return error
    return None


def as_mapping(actions, pmf):
    return {action.id: share for action, share in zip(actions, pmf, strict=True)}


@BY_POLICY
@LAW
@given(slots=slots, actions=some_actions, event_id=event_ids)
def test_each_slot_draws_from_what_is_left_for_it(policy, slots, actions, event_id):
    assume(refusal(slots, actions) is None)
    choices = filled(slots, actions, event_id, policy)
    assert len(choices) == len(slots)
    taken = []
    for number, (slot, choice) in enumerate(zip(slots, choices, strict=True)):
        barred = {*taken, *slot.excluded}
        assert actions_in(choice) == tuple(a for a in actions if a.id not in barred)
        assert math.fsum(choice.distribution.pmf) == pytest.approx(1.0)
        assert choice.distribution.pmf[choice.chosen] > 0
        assert choice.chosen == sample(choice.distribution.pmf, sample_seed(event_id, number))
        taken.append(choice.action.id)
    assert len(set(taken)) == len(slots)


@BY_POLICY
@LAW
@given(slots=slots, actions=some_actions, event_id=event_ids)
def test_the_same_event_gets_the_same_answer(policy, slots, actions, event_id):
    assume(refusal(slots, actions) is None)
    first, again = (said(filled(slots, actions, event_id, policy)) for _ in range(2))
    assert first == again


@BY_POLICY
@LAW
@given(slots=slots, actions=some_actions, event_id=event_ids, data=st.data())
def test_the_pmf_of_a_slot_hangs_on_which_actions_are_left_not_on_their_order(
    policy, slots, actions, event_id, data
):
    assume(refusal(slots, actions) is None)
    for choice in filled(slots, actions, event_id, policy):
        other = data.draw(st.permutations(actions_in(choice)))
        expected = as_mapping(other, policy.pmf(choice.context, other).tolist())
        assert as_mapping(actions_in(choice), choice.distribution.pmf) == pytest.approx(expected)


@LAW
@given(slots=slots, actions=some_actions, event_id=event_ids)
def test_later_slots_change_nothing_for_those_before_them(slots, actions, event_id):
    assume(refusal(slots, actions) is None)
    policy = POLICIES["thompson"]
    everything = said(filled(slots, actions, event_id, policy))
    for n in range(1, len(slots)):
        assert said(filled(slots[:n], actions, event_id, policy)) == everything[:n]


@LAW
@given(slots=slots, actions=some_actions)
def test_only_a_slot_that_those_before_it_may_empty_is_refused(slots, actions):
    error = refusal(slots, actions)
    assume(error is not None)
    assert error.code == "slot_without_actions"
    position = int(error.target.removeprefix("slots[").removesuffix("]"))
    left = {action.id for action in actions} - {*slots[position].excluded}
    assert len(left) <= position


def test_draws_of_two_slots_are_independent():
    slots = [RankSlot("top"), RankSlot("side")]
    drawn = Counter()
    n = 6000
    for number in range(n):
        choices = filled(slots, actions_of("abc"), f"e{number}", POLICIES["uniform"])
        drawn[tuple(choice.action.id for choice in choices)] += 1
    pairs = list(permutations("abc", 2))
    chi_squared = sum((drawn[pair] - n / 6) ** 2 / (n / 6) for pair in pairs)
    assert set(drawn) == set(pairs)
    assert chi_squared < 20.5, "beyond the 99.9th percentile of 5 degrees of freedom"


def test_the_reward_of_every_slot_can_be_weighed_by_its_propensity():
    """The mean of 1/propensity where `b` was shown is how often it was left to be shown."""
    slots = [RankSlot("top"), RankSlot("side"), RankSlot("foot", excluded=("c",))]
    n = 4000
    weighed, left = [0.0] * 3, [0.0] * 3
    for number in range(n):
        choices = filled(slots, actions_of("abcd"), f"e{number}", POLICIES["uniform"])
        for slot, choice in enumerate(choices):
            left[slot] += any(action.id == "b" for action in actions_in(choice))
            if choice.action.id == "b":
                weighed[slot] += 1 / choice.distribution.pmf[choice.chosen]
    assert weighed == pytest.approx(left, rel=0.1)
    assert left[0] == n > left[1] > left[2]


def test_the_tuple_of_all_actions_is_handed_on_as_it_is():
    actions = actions_of("abc")
    slots = [RankSlot("top"), RankSlot("side")]
    first, second = filled(slots, actions, "e", POLICIES["uniform"])
    assert actions_in(first) is actions
    assert len(actions_in(second)) == 2


def test_a_slot_is_seen_in_the_context():
    slots = [RankSlot("top"), RankSlot("side", Raw(b'{"wide": true, "at":{"x": 1.0}}'))]
    top, side = slot_contexts(Raw(b'{ "hour" : 1.50, "nested":{"a" : 1} }'), slot_requests(slots))
    assert bytes(top) == b'{"hour":1.50,"nested":{"a" : 1},"slot":{"id":"top"}}'
    assert bytes(side).endswith(b'"slot":{"id":"side","wide":true,"at":{"x": 1.0}}}')


@pytest.mark.parametrize(
    ("context", "features", "target"),
    [
        (b'{"slot": 1}', b"{}", "context"),
        (b"{}", b'{"id": 1}', "slots[0].features"),
        (b'{"\\ud800": 1}', b"{}", "context"),
    ],
)
def test_names_that_are_taken_or_unreadable_are_refused(context, features, target):
    with pytest.raises(RequestError) as refused:
        slot_contexts(Raw(context), slot_requests([RankSlot("top", Raw(features))]))
    assert (refused.value.code, refused.value.target) == ("features_invalid", target)


@pytest.mark.parametrize(
    ("excluded", "position"),
    [
        (["", "bc"], 1),  # the first may take a
        (["abc"], 0),
        (["a", "a", "a"], 2),  # b and c may both be gone
        (["", "a", "bc"], 2),
        ([""] * 5, 3),
    ],
)
def test_a_slot_that_a_draw_could_leave_empty_is_refused(excluded, position):
    slots = [RankSlot(str(n), excluded=tuple(ids)) for n, ids in enumerate(excluded)]
    with pytest.raises(RequestError) as refused:
        check_enough(slot_requests(slots), actions_of("abc"))
    expected = ("slot_without_actions", f"slots[{position}]")
    assert (refused.value.code, refused.value.target) == expected


def test_slots_that_share_no_action_need_no_more_than_one_each():
    slots = [RankSlot("top", excluded=("b", "c")), RankSlot("side", excluded=("a", "c"))]
    check_enough(slot_requests(slots), actions_of("abc"))
    chosen = filled(slots, actions_of("abc"), "e", POLICIES["uniform"])
    assert [choice.action.id for choice in chosen] == ["a", "b"]
