import pytest

from bandit.errors import PolicySpecError
from bandit.policies import load_policy, open_policy
from bandit.policy import Correctable
from streams.events import EMPTY, Action
from tests.bandit.policy_laws import CorrectionLaws, PolicyLaws, Step, action, teach

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


def test_it_can_be_corrected_if_what_is_beneath_can():
    vw = {"name": "vw", "args": "--cb_explore_adf -b 8"}
    for beneath, expected in ((THOMPSON, True), (vw, False)):
        policy = apprentice(policy=beneath)
        assert isinstance(policy, Correctable) is expected
        assert isinstance(load_policy(policy.to_bytes()), Correctable) is expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epsilon": 2}, "epsilon is 2"),
        ({"baseline": 3}, "baseline is 3"),
        ({"policy": {"name": "thompson", "alpha": -1}}, "'thompson': alpha is -1"),
    ],
)
def test_what_is_off_is_named(parameters, message):
    with pytest.raises(PolicySpecError, match=message):
        apprentice(**parameters)
