import numpy as np
import pytest

from bandit.policies import load_policy, open_policy
from streams.events import EMPTY, Action
from tests.bandit.policy_laws import CorrectionLaws, PolicyLaws, Step, action, teach


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
