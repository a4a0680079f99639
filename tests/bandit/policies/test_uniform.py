"""Uniform, and the floor that mixes it into others."""

import pytest

from bandit.errors import PolicySpecError
from bandit.policies import load_policy, open_policy
from bandit.policy import Correctable
from streams.events import EMPTY, Action
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws, Step, ask, teach

ACTIONS = [Action(name) for name in "abcd"]


class TestUniformLaws(PolicyLaws, CorrectionLaws):
    spec = "uniform"


class TestFloorLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "floor:epsilon=0.1,policy=thompson:alpha=1,beta=1"


def test_uniform_gives_each_action_the_same():
    assert open_policy({"name": "uniform"}).pmf(EMPTY, ACTIONS).tolist() == [0.25] * 4


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


def test_a_floor_can_be_corrected_if_what_is_beneath_can():
    vw = {"name": "vw", "args": "--cb_explore_adf -b 8"}
    for spec, expected in (({"name": "thompson"}, True), (vw, False)):
        policy = floor(0.1, spec)
        assert isinstance(policy, Correctable) is expected
        assert isinstance(load_policy(policy.to_bytes()), Correctable) is expected


def test_a_floor_names_what_is_off_beneath_it():
    with pytest.raises(PolicySpecError, match="'thompson': alpha is -1"):
        floor(0.1, {"name": "thompson", "alpha": -1})
