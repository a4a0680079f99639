"""The linear policies: the laws, and their model and pmf against what is written out."""

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from bandit.errors import PolicyStateError
from bandit.policies import load_policy, open_policy
from bandit.policies.base import seal, unseal
from bandit.policies.linear.blocks import LEVEL_VARIANCE, MOST_NAMES
from bandit.policies.linear.policies import UNDECIDED, LinTs, LinTsConfig, LinUcb, LinUcbConfig
from bandit.policy import sample, take_over
from streams.events import Action
from tests.bandit.decisions import a_decision
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


class _LinearLaws(PolicyLaws, LearningLaws, CorrectionLaws, FeatureLaws):
    largest_reward = 1e9

    def same(self, one, other):
        states = [np.frombuffer(unseal(policy.to_bytes())[1]) for policy in (one, other)]
        return np.allclose(*states, rtol=1e-12, atol=1e-12)


class TestLinTsLaws(_LinearLaws):
    spec = "lin_ts:dimensions=16,noise=0.2,seed=3"


class TestLinUcbLaws(_LinearLaws):
    spec = "lin_ucb:dimensions=16,noise=0.2,seed=3"


class _BlockLaws(PolicyLaws, LearningLaws, CorrectionLaws, FeatureLaws):
    largest_reward = 1e9

    def same(self, one, other):
        return np.allclose(*map(arrays, (one, other)), rtol=1e-9, atol=1e-9)


def arrays(policy):
    """All that the state of a block model holds, as one vector."""
    model = policy._model
    own = [model._own[name] for name in sorted(model._own)]
    parts = [part.ravel() for each in own for part in (each.covariance, each.cross, each.response)]
    return np.concatenate([model._totals, model._covariance.ravel(), model._response, *parts])


class TestWideLinTsLaws(_BlockLaws):
    spec = "lin_ts"


class TestWideLinUcbLaws(_BlockLaws):
    spec = "lin_ucb:dimensions=20,seed=2"


class TestDisjointLinTsLaws(_BlockLaws):
    spec = "disjoint_lin_ts"


del _LinearLaws, _BlockLaws


def hashed(dimensions, noise=0.1, **rest):
    """The model of older logs, which name both."""
    return LinTsConfig(dimensions=dimensions, noise=noise, **rest)


def random_history(n, seed):
    rng = np.random.default_rng(seed)
    return [
        Step(int(rng.integers(3)), rng.permutation(8)[:4].tolist(), int(rng.integers(4)), reward)
        for reward in rng.random(n)
    ]


def vectors(policy, context, numbers):
    """What the model sees of each action, in the order in which they are given."""
    model = policy._model
    spectra = np.array([model._spectrum(action(number)) for number in numbers])
    return model._cross(raw(CONTEXTS[context]), spectra)


def regression(policy, history, ridge):
    """The weights' mean and covariance, with the inverse written out."""
    x = np.array(
        [
            vectors(policy, step.context, [step.actions[step.chosen % len(step.actions)]])[0]
            for step in history
        ]
    )
    rewards = np.array([step.reward for step in history])
    inverse = np.linalg.inv(ridge * np.eye(x.shape[1]) + x.T @ x)
    return inverse @ (x.T @ rewards), inverse


@pytest.mark.parametrize("n", [1, 30, 2000])
def test_the_posterior_is_that_of_ridge_regression(n):
    policy, history = LinTs(hashed(24, ridge=2.0)), random_history(n, seed=n)
    teach(policy, history)
    mean, inverse = regression(policy, history, ridge=2.0)
    covariance = policy._model._covariance
    np.testing.assert_allclose(covariance, inverse, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(covariance @ policy._model._response, mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(covariance, covariance.T)


def test_of_two_actions_the_pmf_is_exact():
    policy, history = LinTs(hashed(24)), random_history(60, seed=1)
    teach(policy, history)
    mean, inverse = regression(policy, history, ridge=1.0)
    apart = np.subtract(*vectors(policy, 1, [0, 5]))
    expected = stats.norm.cdf(apart @ mean / (0.1 * np.sqrt(apart @ inverse @ apart)))
    expected = (1 - UNDECIDED) * expected + UNDECIDED / 2
    assert ask(policy, 1, [0, 5])[0] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("n", [0, 20, 60, 600])
@pytest.mark.parametrize("numbers", [[0, 1, 2], [0, 1, 2, 5, 7], list(range(8))])
def test_the_pmf_is_near_that_of_scores_drawn_together(n, numbers):
    """Off by the 0.12 that is stated, where five creatives look alike in pairs."""
    policy, history = LinTs(hashed(24)), random_history(n, seed=n)
    teach(policy, history)
    weights, inverse = (np.zeros(24), np.eye(24)) if n == 0 else regression(policy, history, 1.0)
    x = vectors(policy, 1, numbers)
    rng = np.random.default_rng(8)
    scores = rng.multivariate_normal(x @ weights, 0.1**2 * x @ inverse @ x.T, size=50_000)
    counted = np.bincount(scores.argmax(axis=1), minlength=len(numbers)) / len(scores)
    assert np.abs(ask(policy, 1, numbers) - counted).max() < 0.12


def test_two_equal_actions_but_for_their_id_start_out_even():
    assert ask(open_policy({"name": "lin_ts"}), 1, [1, 6]) == pytest.approx([0.5, 0.5])


def test_every_action_keeps_support_even_where_the_integral_is_0():
    policy = LinTs(hashed(32, noise=0.001))
    teach(policy, [Step(0, [0], 0, 1.0), Step(0, [1], 0, 0.0)] * 200)
    pmf = ask(policy, 0, [0, 1])
    assert pmf[1] == pytest.approx(UNDECIDED / 2)


def test_the_highest_bound_is_played_and_the_rest_share_epsilon():
    policy = LinUcb(LinUcbConfig(dimensions=24, alpha=2.0, noise=0.3, epsilon=0.3))
    history = random_history(60, seed=1)
    teach(policy, history)
    mean, inverse = regression(policy, history, ridge=1.0)
    x = vectors(policy, 1, [0, 1, 2])
    bound = x @ mean + 2.0 * 0.3 * np.sqrt(np.einsum("ij,jk,ik->i", x, inverse, x))
    expected = np.full(3, 0.1)
    expected[bound.argmax()] += 0.7
    np.testing.assert_allclose(ask(policy, 1, [0, 1, 2]), expected)


def test_a_larger_alpha_prefers_what_is_less_known():
    history = [Step(0, [0], 0, 0.5)] * 30 + [Step(0, [1], 0, 0.4)]
    for size in ({}, {"dimensions": 64, "noise": 0.1}):
        bold = teach(LinUcb(LinUcbConfig(alpha=20.0, **size)), history)
        assert ask(bold, 0, [0, 1]).argmax() == 1
        shy = teach(LinUcb(LinUcbConfig(alpha=0.0, **size)), history)
        assert ask(shy, 0, [0, 1]).argmax() == 0


def test_vectors_keep_the_inner_products_of_features_and_their_crosses():
    """⟨x, x'⟩ ≈ ⟨a, a'⟩ (1 + ⟨c, c'⟩) for unit vectors: an action, with and without context."""
    policy = LinTs(hashed(1024))
    apart, alike = vectors(policy, 0, [1])[0], vectors(policy, 1, [1])[0]
    assert apart @ apart == pytest.approx(1.0)
    assert alike @ alike == pytest.approx(2.0, abs=0.2)
    assert alike @ apart == pytest.approx(1.0, abs=0.2)


def test_what_one_creative_earned_tells_of_a_similar_one():
    """Creatives 1 and 6 have the same features, 4 has others; only 1 was ever shown."""
    policy = teach(LinTs(hashed(256)), [Step(0, [1], 0, 1.0)] * 100)
    alike, other = ask(policy, 0, [6, 4])
    assert alike > 3 * other


@pytest.mark.parametrize("name", ["lin_ts", "lin_ucb"])
def test_a_context_changes_which_action_is_better(name):
    history = [
        Step(1, [1], 0, 1.0),
        Step(1, [4], 0, 0.0),
        Step(2, [1], 0, 0.0),
        Step(2, [4], 0, 1.0),
    ]
    policy = teach(open_policy({"name": name, "dimensions": 256}), history * 100)
    assert ask(policy, 1, [1, 4])[0] > 0.9
    assert ask(policy, 2, [1, 4])[1] > 0.9


def test_a_list_of_actions_may_change_between_two_questions():
    """What is prepared of a tuple is kept with it; a list is read anew."""
    policy = teach(open_policy({"name": "lin_ts"}), [Step(0, [1, 2], 0, 1.0)] * 50)
    shown = [action(1), action(2)]
    first = policy.pmf(raw({}), shown)
    shown.reverse()
    np.testing.assert_array_equal(policy.pmf(raw({}), shown), first[::-1])


def test_a_state_of_another_size_is_refused():
    spec = {"name": "lin_ts", "noise": 0.1}
    state = unseal(open_policy(spec | {"dimensions": 8}).to_bytes())[1]
    with pytest.raises(PolicyStateError, match="of 16 dimensions has 1216"):
        load_policy(seal(spec | {"dimensions": 16}, state))
    wide = teach(open_policy({"name": "lin_ts"}), random_history(3, seed=1))
    with pytest.raises(PolicyStateError, match="bytes of a linear model; expected"):
        load_policy(seal({"name": "disjoint_lin_ts"}, unseal(wide.to_bytes())[1]))


def test_spectra_of_another_size_or_seed_are_not_taken_over():
    numbers = [0, 1, 2]
    old = hashed(64)
    for mine, other in [
        (old, hashed(64, seed=1)),
        (old, hashed(32)),
        (old, LinTsConfig()),
        (LinTsConfig(), LinTsConfig(seed=1)),
        (LinTsConfig(), LinTsConfig(dimensions=25)),
    ]:
        plain, after, before = LinTs(mine), LinTs(mine), LinTs(other)
        ask(before, 1, numbers)
        take_over(after, before)
        for policy in (plain, after):
            teach(policy, [Step(1, numbers, 0, 1.0)] * 5)
        assert ask(after, 1, numbers).tolist() == ask(plain, 1, numbers).tolist()


def test_a_model_of_blocks_is_one_regression_on_all_weights_at_once():
    """Every creative's own weights written out beside the shared ones, with the inverse."""
    policy, history = (
        open_policy({"name": "lin_ts", "ridge": 2.0, "noise": 0.5}),
        random_history(80, seed=3),
    )
    teach(policy, history)
    model = policy._model
    names = sorted({action(step.actions[step.chosen % 4]).id for step in history})

    def row(context, each):
        phi = model._read(raw(CONTEXTS[context]))
        z = np.outer(model._code(each), phi @ model._projection).ravel()
        own = np.zeros((len(names), len(phi)))
        if each.id in names:
            own[names.index(each.id)] = phi
        return np.concatenate([z, own.ravel()])

    x = np.array([row(s.context, action(s.actions[s.chosen % 4])) for s in history])
    prior = np.full(x.shape[1], 2.0)
    prior[0] = 1.0 / LEVEL_VARIANCE
    inverse = np.linalg.inv(x.T @ x + np.diag(prior))
    weights = inverse @ (x.T @ np.array([s.reward for s in history]))
    asked = [action(number) for number in range(8)]
    scores = model.scores(raw(CONTEXTS[1]), asked)
    read = np.array([row(1, each) for each in asked])
    expected = np.einsum("ij,jk,ik->i", read, inverse, read)
    np.testing.assert_allclose(scores.unordered(scores.mean), read @ weights, atol=1e-6)
    np.testing.assert_allclose(scores.unordered(scores.variance), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["lin_ts", "lin_ucb", "disjoint_lin_ts"])
@pytest.mark.parametrize(("level", "size"), [(0.0, 1.0), (100.0, 20.0), (-1e4, 1.0)])
def test_rewards_of_any_level_and_size_lead_to_the_better_creative(name, level, size):
    policy, rng = open_policy({"name": name}), np.random.default_rng(5)
    for number in range(400):
        chosen = sample(ask(policy, 1, [0, 1, 2, 3]), f"{number}")
        reward = level + size * (chosen == 2) + size * rng.normal() / 2
        policy.learn(Step(1, [0, 1, 2, 3], chosen, reward).decision(number), float(reward))
    assert ask(policy, 1, [0, 1, 2, 3])[2] > 0.8


def test_contexts_of_many_features_are_told_apart_feature_by_feature():
    """Which of 24 numbers is set says which of ten creatives is right."""
    rng = np.random.default_rng(2)
    wide = open_policy({"name": "disjoint_lin_ts"})
    actions = tuple(Action(f"{k}") for k in range(10))
    right = 0.0
    for number in range(1000):
        kind = int(rng.integers(24))
        pixels = [float(at == kind) + 0.1 * rng.random() for at in range(24)]
        context = raw({"pixels": pixels})
        pmf = wide.pmf(context, actions)
        right += pmf[kind % 10] * (number >= 800) / 200
        index = sample(pmf, f"{number}")
        decision = a_decision(f"{number}", actions, tuple(pmf.tolist()), index, context={})
        wide.learn(replace(decision, context=context), float(index == kind % 10))
    assert right > 0.8


def test_names_beyond_the_dimensions_share_those_that_there_are():
    policy = open_policy({"name": "lin_ts"})
    for number in range(MOST_NAMES + 20):
        context = raw({"user": f"u{number}"})
        decision = replace(Step(0, [0, 1], number % 2, 1.0).decision(number), context=context)
        policy.learn(decision, float(number % 2))
    assert len(policy._model._read(raw({"user": "u3"}))) == MOST_NAMES
    again = load_policy(policy.to_bytes())
    last = raw({"user": f"u{MOST_NAMES + 19}"})
    assert np.count_nonzero(again._model._read(last)) == 2
    assert b"u3" not in policy.to_bytes()
