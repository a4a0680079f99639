"""Discounted Thompson sampling: the laws, what fades and how fast, and drift."""

import msgspec
import numpy as np
import pytest

from bandit.policies import open_policy
from bandit.policies.base import unseal
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws, Step, action, ask


class TestDiscountedThompsonLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "discounted_thompson:half_life_seconds=0.5,alpha=1,beta=9"

    def same(self, one, other):
        return state_of(one) == approximately(state_of(other))


class TestThatForgetsAtOnceLaws(PolicyLaws, CorrectionLaws):
    """Steps are a millisecond apart."""

    spec = "discounted_thompson:half_life_seconds=0.001"

    def same(self, one, other):
        return state_of(one) == approximately(state_of(other))


def state_of(policy):
    now_ms, arms = msgspec.msgpack.decode(unseal(policy.to_bytes())[1])
    return {
        "now": now_ms,
        **{f"{name} {i}": x for name, arm in arms.items() for i, x in enumerate(arm)},
    }


def approximately(state):
    return pytest.approx(state, rel=1e-9, abs=1e-12)


def discounted(half_life_ms, **prior):
    return open_policy(
        {"name": "discounted_thompson", "half_life_seconds": half_life_ms / 1000, **prior}
    )


def learn(policy, at_ms, number, reward):
    policy.learn(Step(0, [number], 0, reward).decision(at_ms), reward)


def test_a_reward_counts_half_after_a_half_life():
    policy = discounted(100)
    learn(policy, 0, 0, 1.0)
    learn(policy, 100, 0, 0.0)
    learn(policy, 300, 1, 0.0)
    state = state_of(policy)
    assert state["now"] == 300
    assert [state[f"{action(0).id} {i}"] for i in range(3)] == [1.5, 0.5, 100]
    plain = open_policy({"name": "thompson"})
    np.testing.assert_allclose(ask(discounted(1e9), 0, [0, 1]), ask(plain, 0, [0, 1]), rtol=1e-12)


def test_what_comes_out_of_order_weighs_as_if_it_had_not():
    forth, back = discounted(50), discounted(50)
    history = [(0, 1.0), (40, 0.0), (90, 1.0), (95, 0.0)]
    for at_ms, reward in history:
        learn(forth, at_ms, 0, reward)
    for at_ms, reward in reversed(history):
        learn(back, at_ms, 0, reward)
    assert state_of(forth) == approximately(state_of(back))


def test_a_creative_that_is_not_shown_falls_back_to_the_prior():
    policy = discounted(10, alpha=1, beta=9)
    for at_ms in range(50):
        learn(policy, at_ms, 0, 0.0)
    assert ask(policy, 0, [0, 2])[0] < 0.4
    learn(policy, 5000, 1, 0.0)
    assert ask(policy, 0, [0, 2]) == pytest.approx([0.5, 0.5], abs=1e-6)


def test_it_follows_a_drift_that_thompson_sampling_sleeps_through():
    """The better of two becomes the worse one after 2,000 decisions each."""
    policies = discounted(300), open_policy({"name": "thompson"})
    rng = np.random.default_rng(3)
    for number in range(6000):
        rates = (0.10, 0.05) if number < 4000 else (0.05, 0.10)
        reward = float(rng.random() < rates[number % 2])
        for policy in policies:
            learn(policy, number, number % 2, reward)
    forgets, remembers = (ask(policy, 0, [0, 1])[1] for policy in policies)
    assert remembers < 0.5 < 0.8 < forgets
