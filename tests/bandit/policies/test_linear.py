"""Linear Thompson sampling: the laws, and its state against regression written out."""

import numpy as np
import pytest

from bandit.errors import PolicyStateError
from bandit.policies import load_policy, open_policy
from bandit.policies.envelope import seal, unseal
from bandit.policies.linear import DRAWS, LinTs, LinTsConfig
from tests.bandit.policy_laws import (
    CONTEXTS,
    CorrectionLaws,
    FeatureLaws,
    LearningLaws,
    PolicyLaws,
    Step,
    action,
    ask,
    raw,
    teach,
)


class TestLinTsLaws(PolicyLaws, LearningLaws, CorrectionLaws, FeatureLaws):
    spec = "lin_ts:dimensions=16,noise=0.2,seed=3"
    largest_reward = 1e9

    def same(self, one, other):
        states = [np.frombuffer(unseal(policy.to_bytes())[1]) for policy in (one, other)]
        return np.allclose(*states, rtol=1e-12, atol=1e-12)


def random_history(n, seed):
    rng = np.random.default_rng(seed)
    return [
        Step(int(rng.integers(3)), rng.permutation(8)[:4].tolist(), int(rng.integers(4)), reward)
        for reward in rng.random(n)
    ]


def vectors(policy, context, numbers):
    return policy._vectors(raw(CONTEXTS[context]), [action(number) for number in numbers])


def regression(policy, history, ridge):
    """The weights' mean and covariance, with the inverse written out."""
    rows = [vectors(policy, s.context, [s.actions[s.chosen % len(s.actions)]])[0] for s in history]
    x, rewards = np.array(rows), np.array([step.reward for step in history])
    inverse = np.linalg.inv(ridge * np.eye(x.shape[1]) + x.T @ x)
    return inverse @ (x.T @ rewards), inverse


@pytest.mark.parametrize("n", [1, 30, 2000])
def test_the_posterior_is_that_of_ridge_regression(n):
    policy, history = LinTs(LinTsConfig(dimensions=24, ridge=2.0)), random_history(n, seed=n)
    teach(policy, history)
    mean, inverse = regression(policy, history, ridge=2.0)
    found = policy._solve()
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.root @ found.root.T, inverse, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(policy._precision, policy._precision.T)


def test_the_pmf_is_how_often_each_action_is_best_under_the_posterior():
    """The stated error is 1.6 % a standard deviation; four, and that of the count itself."""
    policy, history = LinTs(LinTsConfig(dimensions=24)), random_history(60, seed=1)
    teach(policy, history)
    mean, inverse = regression(policy, history, ridge=1.0)
    numbers = [0, 1, 2, 5, 7]
    x = vectors(policy, 1, numbers)
    rng = np.random.default_rng(8)
    scores = rng.multivariate_normal(x @ mean, 0.1**2 * x @ inverse @ x.T, size=100_000)
    counted = np.bincount(scores.argmax(axis=1), minlength=5) / len(scores)
    assert np.abs(ask(policy, 1, numbers) - counted).max() < 4 * 0.016


def test_two_equal_actions_but_for_their_id_start_out_even():
    """Draws come in mirrored pairs, so a difference that is symmetric is split exactly."""
    assert ask(open_policy({"name": "lin_ts"}), 1, [1, 6]).tolist() == [0.5, 0.5]


def test_every_action_keeps_support_even_where_no_draw_favours_it():
    policy = LinTs(LinTsConfig(dimensions=32, noise=0.001))
    teach(policy, [Step(0, [0], 0, 1.0), Step(0, [1], 0, 0.0)] * 200)
    pmf = ask(policy, 0, [0, 1])
    assert pmf[1] == pytest.approx(0.5 / (DRAWS + 1))


def test_vectors_keep_the_inner_products_of_features_and_their_crosses():
    """⟨x, x'⟩ ≈ ⟨a, a'⟩ (1 + ⟨c, c'⟩) for unit vectors: an action, with and without context."""
    policy = LinTs(LinTsConfig(dimensions=1024))
    apart, alike = vectors(policy, 0, [1])[0], vectors(policy, 1, [1])[0]
    assert apart @ apart == pytest.approx(1.0)
    assert alike @ alike == pytest.approx(2.0, abs=0.2)
    assert alike @ apart == pytest.approx(1.0, abs=0.2)


def test_what_one_creative_earned_tells_of_a_similar_one():
    """Creatives 1 and 6 have the same features, 4 has others; only 1 was ever shown."""
    policy = teach(LinTs(LinTsConfig(dimensions=256)), [Step(0, [1], 0, 1.0)] * 100)
    alike, other = ask(policy, 0, [6, 4])
    assert alike > 3 * other


def test_a_context_changes_which_action_is_better():
    history = [
        Step(1, [1], 0, 1.0),
        Step(1, [4], 0, 0.0),
        Step(2, [1], 0, 0.0),
        Step(2, [4], 0, 1.0),
    ]
    policy = teach(LinTs(LinTsConfig(dimensions=256)), history * 100)
    assert ask(policy, 1, [1, 4])[0] > 0.9
    assert ask(policy, 2, [1, 4])[1] > 0.9


def test_a_state_of_another_size_is_refused():
    state = unseal(open_policy({"name": "lin_ts", "dimensions": 8}).to_bytes())[1]
    with pytest.raises(PolicyStateError, match="of 16 dimensions has 1216"):
        load_policy(seal({"name": "lin_ts", "dimensions": 16}, state))
