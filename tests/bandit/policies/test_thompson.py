"""Thompson sampling: the laws, and that its pmf is the posterior's."""

import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from bandit.policies import load_policy, open_policy
from bandit.policies.base import seal
from bandit.policies.thompson import CACHE_SIZE, Thompson, ThompsonConfig
from streams.events import EMPTY, Action
from tests.bandit.decisions import a_decision
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws, Step, ask, teach

STATED = 2e-4


class TestThompsonLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "thompson"


class TestFindingGaussianThompsonLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    """Rewards that sum without a rounding, so corrections are exact."""

    spec = "gaussian_thompson"
    largest_reward = 1e9


class TestGaussianThompsonLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "gaussian_thompson:sd=0.5,noise=0.5"
    largest_reward = 1e9


def shown(policy, number, clicks, n):
    """Creative `number`, shown `n` times and clicked `clicks` times."""
    history = [Step(0, [number], 0, float(i < clicks)) for i in range(n)]
    return teach(policy, history)


def test_the_pmf_is_how_often_each_posterior_draw_is_the_highest():
    policy = open_policy({"name": "thompson", "alpha": 2, "beta": 30})
    for number, (clicks, n) in enumerate([(3, 40), (0, 10), (7, 90)]):
        shown(policy, number, clicks, n)
    draws = np.random.default_rng(1).beta([5, 2, 9, 2], [67, 40, 113, 30], size=(300_000, 4))
    counted = np.bincount(draws.argmax(axis=1), minlength=4) / len(draws)
    found = ask(policy, 0, [0, 1, 2, 3])
    assert np.abs(found - counted).max() < 4 * 0.5 / math.sqrt(len(draws)) + STATED


def test_two_fresh_uniform_priors_one_success_apart():
    """P(Beta(2, 1) > Beta(1, 1)) is 2/3."""
    policy = shown(open_policy({"name": "thompson", "alpha": 1, "beta": 1}), 0, 1, 1)
    assert ask(policy, 0, [0, 1]) == pytest.approx([2 / 3, 1 / 3], abs=STATED)


def test_a_fractional_reward_counts_as_parts_of_success_and_failure():
    prior = {"name": "thompson", "alpha": 1, "beta": 1}
    parts = teach(open_policy(prior), [Step(0, [0], 0, 0.25)] * 4)
    assert parts.to_bytes() == shown(open_policy(prior), 0, 1, 4).to_bytes()


def test_the_default_prior_explores_a_new_creative_but_not_at_any_price():
    """Against one that is known to be clicked in 1.5 % of its showings."""
    policy = shown(open_policy({"name": "thompson"}), 0, 15, 1000)
    assert 0.15 < ask(policy, 0, [0, 1])[1] < 0.3
    unclicked = shown(policy, 1, 0, 300)
    assert 0.0 < ask(unclicked, 0, [0, 1])[1] < 0.02


def test_gaussian_matches_the_closed_form_for_two_arms():
    policy = open_policy({"name": "gaussian_thompson", "mean": 1.0, "sd": 2.0, "noise": 3.0})
    teach(policy, [Step(0, [0], 0, reward) for reward in (4.0, -2.5, 7.0)])
    precision = 1 / 4 + 3 / 9
    mean, sd = (1 / 4 + 8.5 / 9) / precision, precision**-0.5
    expected = stats.norm.cdf((mean - 1.0) / math.hypot(sd, 2.0))
    assert ask(policy, 0, [0, 1])[0] == pytest.approx(expected, abs=STATED)


def test_state_does_not_depend_on_the_order_in_which_arms_were_first_seen():
    history = [Step(0, [number], 0, 1.0) for number in (4, 0, 3, 1)]
    forth = teach(open_policy({"name": "thompson"}), history)
    back = teach(open_policy({"name": "thompson"}), history[::-1])
    assert forth.to_bytes() == back.to_bytes()


def test_a_full_cache_changes_nothing():
    """More posteriors are asked for than are kept."""
    policy = open_policy({"name": "gaussian_thompson"})
    first = None
    asked = CACHE_SIZE // 2 + 10
    for n in range(asked):
        found = ask(policy, 0, [0, 1])
        first = found if first is None else first
        if n < asked - 1:
            policy.learn(Step(0, [0], 0, 0.001 * n).decision(), 0.001 * n)
    np.testing.assert_array_equal(found, ask(load_policy(policy.to_bytes()), 0, [0, 1]))
    np.testing.assert_array_equal(first, [0.5, 0.5])


def having(arms):
    """A policy that has seen these (n, total) by id: more than a test has time to teach."""
    state = msgspec.msgpack.encode(arms)
    return load_policy(seal({"name": "thompson"}, state))


def test_ten_million_impressions_against_none_and_a_hundred_arms():
    arms = {f"{i}": (10**7, 150_000.0 + 100 * i) for i in range(50)}
    actions = [Action(f"{i}") for i in range(100)]
    pmf = having(arms).pmf(EMPTY, actions)
    assert pmf.sum() == pytest.approx(1.0)
    assert np.ptp(pmf[50:]) == 0.0
    assert (pmf[50:] > 0.015).all()
    alone = having(arms).pmf(EMPTY, actions[:50])
    assert alone.argmax() == 49
    assert (np.diff(alone) >= 0.0).all()


def test_a_hopeless_arm_gets_next_to_nothing_without_a_warning():
    pmf = having({"good": (10**7, 5e6), "bad": (10**7, 0.0)}).pmf(
        EMPTY, [Action("bad"), Action("good")]
    )
    assert pmf.tolist() == pytest.approx([0.0, 1.0], abs=1e-12)


def test_what_it_believes_is_its_posterior():
    policy = Thompson(ThompsonConfig(alpha=2.0, beta=5.0))
    actions = [Action("a"), Action("b")]
    decision = a_decision("e", tuple(actions), (0.5, 0.5), 0)
    for reward in (1.0, 0.0, 0.0, 1.0, 0.0):
        policy.learn(decision, reward)
    first, second = policy.beliefs(actions)
    for belief, a, b in ((first, 4, 8), (second, 2, 5)):
        assert belief.mean == pytest.approx(a / (a + b))
        assert (belief.low, belief.high) == pytest.approx(stats.beta.ppf([0.025, 0.975], a, b))
