"""The guard: the laws, whom it leaves out, and that the policy beneath learns conversions alone."""

import numpy as np
import pytest

from bandit.errors import LearnError, PolicyStateError
from bandit.policies import open_policy
from bandit.policies.wrappers import Guarded
from streams.events import EMPTY, Action
from tests.bandit.policy_laws import CorrectionLaws, PolicyLaws, Step, action, teach


class TestGuardedLaws(PolicyLaws, CorrectionLaws):
    spec = "guarded:least=0.8,policy=thompson:alpha=1,beta=1"
    between = 0.75


class TestGuardedOverUniform(PolicyLaws):
    spec = "guarded:epsilon=0.1,policy=uniform"


def guarded(**parameters):
    policy = {"name": "thompson", "alpha": 1, "beta": 1}
    return open_policy({"name": "guarded", "policy": policy, "epsilon": 0.0, **parameters})


def shown(policy, number, rewards):
    return teach(policy, [Step(0, [number], 0, reward) for reward in rewards])


def ask(policy, n):
    return policy.pmf(EMPTY, [action(number) for number in range(n)])


def test_who_is_surely_clicked_too_seldom_is_left_out_though_it_converts_best():
    policy = guarded(least=0.9)
    shown(policy, 0, [0.25] * 100 + [0.0] * 100)
    shown(policy, 1, [1.0] * 20 + [0.0] * 180)
    assert ask(policy, 2).tolist() == [1.0, 0.0]
    assert ask(guarded(), 2).tolist() == [0.5, 0.5]
    lax = shown(
        shown(guarded(least=0.1), 0, [0.25] * 100 + [0.0] * 100), 1, [1.0] * 20 + [0.0] * 180
    )
    assert ask(lax, 2)[1] > 0.99


def test_who_is_clicked_enough_is_judged_by_conversions():
    policy = guarded(least=0.8)
    shown(policy, 0, [0.25] * 50 + [0.0] * 50)
    shown(policy, 1, [1.0] * 48 + [0.0] * 52)
    assert ask(policy, 2)[1] > 0.99


def test_who_was_hardly_shown_is_not_left_out():
    policy = shown(guarded(least=1.0), 0, [0.25] * 50 + [0.0] * 50)
    shown(policy, 1, [0.0])
    assert (ask(policy, 3) > 0.0).all()


def test_everybody_keeps_a_share_of_epsilon():
    policy = guarded(least=0.9, epsilon=0.1)
    shown(policy, 0, [0.25] * 200)
    shown(policy, 1, [0.0] * 200)
    assert ask(policy, 2) == pytest.approx([0.95, 0.05])


def test_a_correction_moves_clicks_and_conversions():
    policy, final = guarded(), guarded()
    steps = [Step(0, [n % 2], 0, 0.0) for n in range(40)]
    for number, step in enumerate(steps):
        decision, last = step.decision(number), [0.25, 0.75, 1.0][number % 3]
        policy.learn(decision, 0.0)
        policy.correct(decision, 0.0, 0.25)
        policy.correct(decision, 0.25, last)
        final.learn(decision, last)
    np.testing.assert_array_equal(ask(policy, 2), ask(final, 2))
    assert policy.to_bytes() == final.to_bytes()


@pytest.mark.parametrize("reward", [0.5, -0.25, 2.0, 1e-9])
def test_rewards_of_another_kind_are_refused(reward):
    policy = guarded()
    before = policy.to_bytes()
    with pytest.raises(LearnError, match=r"0\.25 for a click plus 0\.75") as refused:
        shown(policy, 0, [reward])
    assert refused.value.code == "reward_not_of_objective"
    assert policy.to_bytes() == before


def test_a_policy_that_gives_nothing_to_whom_it_keeps_is_spread_evenly():
    inner = {"name": "epsilon_greedy", "epsilon": 0.0}
    policy = open_policy({"name": "guarded", "policy": inner, "least": 0.9, "epsilon": 0.0})
    shown(policy, 0, [0.25] * 100)
    shown(policy, 1, [0.25] * 100)
    shown(policy, 2, [0.75] * 100)
    assert ask(policy, 3).tolist() == [0.5, 0.5, 0.0]


def test_in_the_long_run_it_shows_the_best_of_those_that_are_clicked_enough():
    rates = {"bait": (0.20, 0.01), "best": (0.19, 0.04), "seldom": (0.05, 0.30)}
    rng, policy = np.random.default_rng(1), guarded(least=0.8, epsilon=0.02)
    actions = tuple(map(Action, rates))
    for number in range(6000):
        pmf = policy.pmf(EMPTY, actions)
        chosen = rng.choice(3, p=pmf)
        click, conversion = rng.random(2) < list(rates.values())[chosen]
        step = Step(0, [0], 0, 0.0).decision(number)
        decision = type(step)(
            event_id=f"e{number}", placement="home", timestamp_ms=number, context=EMPTY,
            actions=actions, pmf=tuple(pmf.tolist()), index=int(chosen), policy_version="v",
        )  # fmt: skip
        policy.learn(decision, 0.25 * click + 0.75 * conversion)
    assert policy.pmf(EMPTY, actions)[1] > 0.9


def test_a_state_that_is_none_is_refused():
    with pytest.raises(PolicyStateError, match="not the state of a Guarded policy"):
        Guarded.split(b"\x00")
