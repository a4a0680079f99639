"""Policies around another: the laws, and what each makes of the pmf beneath."""

import numpy as np
import pytest

from bandit.errors import PolicySpecError
from bandit.policies import load_policy, open_policy
from bandit.policy import Correctable
from streams.events import EMPTY, Action
from tests.bandit.policy_laws import (
    CorrectionLaws,
    LearningLaws,
    PolicyLaws,
    Step,
    action,
    ask,
    teach,
)


class TestFloorLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "floor:epsilon=0.1,policy=thompson:alpha=1,beta=1"


def floor(epsilon, policy):
    return open_policy({"name": "floor", "epsilon": epsilon, "policy": policy})


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_a_floor_mixes_the_uniform_pmf_in(epsilon):
    beneath, history = {"name": "thompson"}, [Step(0, [0, 1, 2], 1, 1.0)] * 5
    found = ask(teach(floor(epsilon, beneath), history), 0, [0, 1, 2])
    alone = ask(teach(open_policy(beneath), history), 0, [0, 1, 2])
    assert found == pytest.approx((1 - epsilon) * alone + epsilon / 3)


def test_no_action_falls_below_the_floor_however_bad_it_is():
    greedy = {"name": "epsilon_greedy", "epsilon": 0.0}
    policy = teach(floor(0.08, greedy), [Step(0, [0, 1, 2, 3], 1, 1.0)] * 50)
    assert ask(policy, 0, [0, 1, 2, 3]) == pytest.approx([0.02, 0.94, 0.02, 0.02])


@pytest.mark.parametrize("name", ["floor", "apprentice"])
@pytest.mark.parametrize(
    ("beneath", "expected"),
    [({"name": "thompson"}, True), ({"name": "vw", "args": "--cb_explore_adf -b 8"}, False)],
)
def test_one_can_be_corrected_if_what_is_beneath_can(name, beneath, expected):
    policy = open_policy({"name": name, "epsilon": 0.1, "policy": beneath})
    assert isinstance(policy, Correctable) is expected
    assert isinstance(load_policy(policy.to_bytes()), Correctable) is expected


def test_a_floor_names_what_is_off_beneath_it():
    with pytest.raises(PolicySpecError, match="'thompson': alpha is -1"):
        floor(0.1, {"name": "thompson", "alpha": -1})


ACTIONS = [Action(name) for name in "abc"]
THOMPSON = {"name": "thompson"}


class TestApprenticeLaws(PolicyLaws, CorrectionLaws):
    spec = "apprentice:epsilon=0.1,policy=thompson:alpha=1,beta=1"

    def test_permuting_the_actions_permutes_the_pmf(self):
        """Its baseline is the first action, whichever that is; a named one keeps to the law."""
        named = apprentice(baseline=action(2).id, epsilon=0.1)
        for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
            pmf = named.pmf(EMPTY, [action(number) for number in order])
            assert pmf.argmax() == order.index(2)


def apprentice(**parameters):
    return open_policy({"name": "apprentice", "policy": THOMPSON, **parameters})


@pytest.mark.parametrize(
    ("parameters", "pmf"),
    [
        ({}, [1.0, 0.0, 0.0]),
        ({"baseline": "b"}, [0.0, 1.0, 0.0]),
        ({"baseline": "b", "epsilon": 0.3}, [0.1, 0.8, 0.1]),
        ({"baseline": "paused"}, [1.0, 0.0, 0.0]),
    ],
)
def test_the_baseline_is_answered_whatever_was_learned(parameters, pmf):
    policy = teach(apprentice(**parameters), [Step(0, [0, 1, 2], 2, 1.0)] * 50)
    assert policy.pmf(EMPTY, ACTIONS).tolist() == pytest.approx(pmf)


def test_what_is_beneath_learns_as_it_would_alone():
    history = [Step(0, [0, 1, 2], n % 3, float(n % 3 == 2)) for n in range(30)]
    alone = teach(open_policy(THOMPSON), history)
    assert alone.to_bytes() in teach(apprentice(), history).to_bytes()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epsilon": 2}, "epsilon is 2"),
        ({"baseline": 3}, "baseline is 3"),
        ({"policy": {"name": "thompson", "alpha": -1}}, "'thompson': alpha is -1"),
    ],
)
def test_what_is_off_of_an_apprentice_is_named(parameters, message):
    with pytest.raises(PolicySpecError, match=message):
        apprentice(**parameters)


class TestNewcomersLaws(PolicyLaws, CorrectionLaws):
    spec = "newcomers:share=0.1,showings=2,policy=thompson:alpha=1,beta=1"


class TestNewcomersOverWindow(PolicyLaws):
    spec = "newcomers:share=0.3,showings=2,policy=uniform"


def newcomers(**parameters):
    return open_policy({"name": "newcomers", "policy": {"name": "uniform"}, **parameters})


def known(policy, number, times):
    return teach(policy, [Step(0, [number], 0, 0.0)] * times)


def test_newcomers_keep_to_their_share_together():
    policy = known(newcomers(share=0.2, showings=10), 0, 10)
    pmf = policy.pmf(EMPTY, [action(0), *(action(n) for n in range(1, 5))])
    assert pmf == pytest.approx([0.8, 0.05, 0.05, 0.05, 0.05])


def test_one_is_a_newcomer_until_it_was_shown_enough():
    policy = known(newcomers(share=0.1, showings=10), 0, 10)
    known(policy, 1, 9)
    assert policy.pmf(EMPTY, [action(0), action(1)]) == pytest.approx([0.9, 0.1])
    known(policy, 1, 1)
    assert policy.pmf(EMPTY, [action(0), action(1)]) == pytest.approx([0.5, 0.5])


def test_what_is_within_the_share_is_left_alone():
    policy = known(newcomers(share=0.6, showings=5), 0, 5)
    assert policy.pmf(EMPTY, [action(0), action(1)]) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("times", [0, 5])
def test_all_new_or_all_known_is_the_policys_own(times):
    policy = newcomers(share=0.1, showings=5)
    for number in range(3):
        known(policy, number, times)
    pmf = policy.pmf(EMPTY, [action(number) for number in range(3)])
    assert pmf == pytest.approx([1 / 3] * 3)


def test_no_share_shuts_newcomers_out():
    policy = known(newcomers(share=0.0, showings=1), 0, 1)
    assert policy.pmf(EMPTY, [action(0), action(1)]).tolist() == [1.0, 0.0]


def test_a_policy_that_gives_all_to_a_newcomer_is_not_scaled_to_nothing():
    policy = open_policy(
        {
            "name": "newcomers",
            "share": 0.1,
            "showings": 1,
            "policy": {"name": "apprentice", "policy": {"name": "uniform"}, "baseline": "new"},
        }
    )
    known(policy, 0, 1)
    pmf = policy.pmf(EMPTY, [action(0), Action("new")])
    assert np.isfinite(pmf).all()
    assert pmf.tolist() == [0.0, 1.0]


def test_it_remembers_who_was_shown():
    policy = known(newcomers(share=0.2, showings=3), 0, 3)
    again = load_policy(policy.to_bytes())
    actions = [action(0), action(1)]
    assert again.pmf(EMPTY, actions).tolist() == policy.pmf(EMPTY, actions).tolist()
    assert again.to_bytes() == policy.to_bytes()
