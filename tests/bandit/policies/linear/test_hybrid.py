"""The hybrid policy: the laws, its posterior against regression written out, and what it is for."""

import json
import math

import numpy as np
import pytest

from bandit.errors import PolicyStateError
from bandit.policies import load_policy, open_policy, parse_policy
from bandit.policies.base import seal
from bandit.policies.linear.hybrid import (
    DAY_MS,
    Hybrid,
    HybridConfig,
)
from bandit.policies.linear.hybrid_fit import PRIOR_DECISIONS, ArmSums, Prior, Totals, fit, stacked
from streams.events import EMPTY, Action
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

SMALL = "hybrid:context_dimensions=6,creative_dimensions=4"


def numbers(policy):
    """All that the state holds, as one vector."""
    totals, arms = policy._totals, policy._arms
    parts = [[arms[n].code, arms[n].second.ravel(), arms[n].response] for n in sorted(arms)]
    return np.concatenate([totals, *(part for arm in parts for part in arm)])


class _ApproximateCorrections(CorrectionLaws):
    def same(self, one, other):
        return np.allclose(numbers(one), numbers(other), rtol=1e-12, atol=1e-12)


class TestHybridLaws(PolicyLaws, LearningLaws, _ApproximateCorrections, FeatureLaws):
    spec = SMALL
    largest_reward = 1e9


class TestOlderHybridLaws(PolicyLaws, LearningLaws, _ApproximateCorrections, FeatureLaws):
    """As older logs have it: every parameter but `refit` is named, and each reward is a fit."""

    spec = f"{SMALL},shared=1.5,own=0.5,explore=0.3,epsilon=0.01,half_life_days=null,seed=0"
    largest_reward = 1e9

    def test_it_stays_as_it_is(self):
        assert "refit" not in self.new().spec
        assert open_policy(parse_policy(SMALL)).spec["refit"] == 256


class TestForgettingHybridLaws(PolicyLaws, _ApproximateCorrections, FeatureLaws):
    """A half-life of 3 ms, where the laws' decisions are 1 ms apart: too short to learn by."""

    spec = f"{SMALL},half_life_days={3 / DAY_MS}"


def arms_at_random(seed, n_arms, n, m, n_code):
    rng = np.random.default_rng(seed)
    codes, true = rng.normal(size=(n_arms, n_code)), rng.normal(size=(n_arms, m))
    arms = [ArmSums(code, np.zeros((m, m)), np.zeros(m)) for code in codes]
    rows = []
    for _ in range(n):
        k, x = int(rng.integers(n_arms)), np.append(1.0, rng.normal(size=m - 1))
        reward = float(true[k] @ x + rng.normal())
        arms[k].second += np.outer(x, x)
        arms[k].response += reward * x
        rows.append((k, x, reward))
    rewards = np.array([reward for _, _, reward in rows])
    sums = float(n), rewards.sum(), (rewards**2).sum(), np.abs(rewards).sum()
    return arms, rows, Totals(*sums)


@pytest.mark.parametrize("n", [3, 60, 400])
def test_the_posterior_is_that_of_one_regression_on_all_weights_at_once(n):
    """Every creative's own weights written out beside the shared ones, with the inverse."""
    m, n_arms = 3, 4
    arms, rows, totals = arms_at_random(n, n_arms, n, m, n_code=5)
    found = fit(arms, totals, Prior(2.0, 0.5, 3), 1.0)
    centre = np.mean([arm.code for arm in arms], axis=0)
    psi = [np.append(1.0, found.directions @ (arm.code - centre)) for arm in arms]
    p = len(psi[0])
    design = np.zeros((n, p * m + n_arms * m))
    for row, (k, x, _) in zip(design, rows, strict=True):
        row[: p * m] = np.kron(psi[k], x)
        row[p * m + k * m : p * m + (k + 1) * m] = x
    shared = found.own * (0.5 / 2.0) ** 2
    prior = np.concatenate([np.full(p * m, shared), np.full(n_arms * m, found.own)])
    inverse = np.linalg.inv(design.T @ design + np.diag(prior))
    weights = inverse @ design.T @ (np.array([row[2] for row in rows]) - found.mean)
    means, covariances = found.creatives(arms, 1.0)
    for k in range(n_arms):
        read = np.zeros((m, design.shape[1]))
        read[:, : p * m] = np.kron(psi[k], np.eye(m))
        read[:, p * m + k * m : p * m + (k + 1) * m] = np.eye(m)
        np.testing.assert_allclose(means[k], read @ weights, rtol=1e-7, atol=1e-9)
        expected = found.noise**2 * read @ inverse @ read.T
        np.testing.assert_allclose(covariances[k], expected, rtol=1e-7, atol=1e-9)


def test_mean_and_noise_are_those_of_the_rewards():
    arms, _, totals = arms_at_random(1, 3, 5000, 3, n_code=4)
    found = fit(arms, totals, Prior(1.0, 1.0, 2), 1.0)
    assert found.mean == pytest.approx(totals.reward / 5000, abs=2 / math.sqrt(PRIOR_DECISIONS))
    assert found.noise == pytest.approx(math.sqrt(totals.square / 5000), rel=0.05)


def test_among_few_creatives_nothing_of_their_features_is_lost():
    """As many directions as creatives: distances between codes are kept."""
    arms, _, totals = arms_at_random(2, 4, 50, 3, n_code=64)
    found = fit(arms, totals, Prior(1.0, 1.0, 4), 1.0)
    codes = np.array([arm.code for arm in arms])
    short = (codes - found.centre) @ found.directions.T
    for i in range(4):
        for j in range(i):
            apart = np.linalg.norm(codes[i] - codes[j])
            assert np.linalg.norm(short[i] - short[j]) == pytest.approx(apart)


def decision(chosen, *, segment="a", at_ms=0, features="{}"):
    named = Action(chosen, raw(json.loads(features)))
    return a_decision("e", (named,), (1.0,), 0, at_ms=at_ms, context={"user": {"segment": segment}})


def test_a_new_creative_borrows_from_those_that_look_like_it():
    policy = open_policy({"name": "hybrid"})
    looks = {"warm": '{"tone": "warm"}', "cold": '{"tone": "cold"}'}
    for number in range(900):
        tone = "warm" if number % 2 else "cold"
        reward = float(number % 10 == 1 if tone == "warm" else number % 50 == 0)
        policy.learn(decision(f"{tone}-{number % 3}", features=looks[tone]), reward)
    new = [Action(f"new {tone}", raw(json.loads(look))) for tone, look in looks.items()]
    warm, cold = policy.pmf(EMPTY, new)
    assert warm > 2 * cold


def test_an_old_creative_is_judged_by_itself_though_it_looks_like_another():
    policy = open_policy({"name": "hybrid"})
    for number in range(3000):
        chosen = "abc"[number % 3]
        rate = {"a": 10, "b": 60, "c": 60}[chosen]
        policy.learn(decision(chosen), float(number // 3 % rate == 0))
    assert policy.pmf(EMPTY, [Action("a"), Action("b"), Action("c")])[0] > 0.9


def test_segments_of_opposite_taste_are_told_apart():
    policy = open_policy({"name": "hybrid"})
    for number in range(2000):
        chosen, segment = "ab"[number % 2], "st"[number // 2 % 2]
        likes = (chosen == "a") == (segment == "s")
        policy.learn(decision(chosen, segment=segment), float(likes and number // 4 % 5 == 0))
    both = (Action("a"), Action("b"))
    assert policy.pmf(decision("a", segment="s").context, both)[0] > 0.8
    assert policy.pmf(decision("a", segment="t").context, both)[1] > 0.8


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_rewards_of_any_scale_lead_to_the_same_choices(factor):
    """Nobody has to say how large rewards are: the prior is a share of their mean."""
    history = [
        Step(number % 3, [0, 1], number % 2, float(number % 12 == 0)) for number in range(3000)
    ]
    one = teach(open_policy(parse_policy(SMALL)), history)
    scaled = [step._replace(reward=factor * step.reward) for step in history]
    other = teach(open_policy(parse_policy(SMALL)), scaled)
    assert ask(other, 1, [0, 1]) == pytest.approx(ask(one, 1, [0, 1]), abs=0.15)


def test_what_was_learned_a_half_life_ago_counts_half():
    """Two decisions of one creative, a half-life apart, against their weights written out."""
    day = DAY_MS
    policy = Hybrid(HybridConfig(half_life_days=2.0))
    policy.learn(decision("a", at_ms=100 * day), 1.0)
    policy.learn(decision("a", at_ms=102 * day), 0.0)
    assert policy._totals * policy._age() == pytest.approx([1.5, 0.5, 0.5, 0.5])


def test_forgetting_follows_a_taste_that_turned():
    kept, forgets = Hybrid(HybridConfig()), Hybrid(HybridConfig(half_life_days=1.0))
    for number in range(4000):
        chosen = "ab"[number % 2]
        good = chosen == ("a" if number < 2500 else "b")
        reward = float(good and number // 2 % 10 == 0)
        for policy in (kept, forgets):
            policy.learn(decision(chosen, at_ms=number * DAY_MS // 250), reward)
    both = (Action("a"), Action("b"))
    assert forgets.pmf(EMPTY, both)[1] > 0.9 > 0.5 > kept.pmf(EMPTY, both)[1]


def test_the_order_of_decisions_does_not_matter_even_where_the_old_count_less():
    decisions = [decision("ab"[n % 2], at_ms=n * DAY_MS) for n in range(40)]
    forwards, backwards = (Hybrid(HybridConfig(half_life_days=3.0)) for _ in range(2))
    for n in range(40):
        forwards.learn(decisions[n], float(n % 3 == 0))
        backwards.learn(decisions[39 - n], float((39 - n) % 3 == 0))
    np.testing.assert_allclose(numbers(forwards), numbers(backwards), rtol=1e-12, atol=1e-12)


def test_no_action_has_less_than_its_part_of_epsilon():
    policy = Hybrid(HybridConfig(epsilon=0.04))
    for number in range(4000):
        policy.learn(decision("ab"[number % 2]), float(number % 8 == 0))
    pmf = policy.pmf(decision("a").context, [Action("a"), Action("b")])
    assert pmf[1] == pytest.approx(0.02, abs=1e-3)


def test_the_same_tuple_after_learning_is_answered_anew():
    policy, shown = Hybrid(HybridConfig()), (action(1), action(2))
    before = policy.pmf(EMPTY, shown)
    teach(policy, [Step(0, [1, 2], 0, 1.0)] * 50)
    assert policy.pmf(EMPTY, shown)[0] > before[0] + 0.2


@pytest.mark.parametrize("state", [b"", b"\x93\x00\xc4\x00\x80", b"\x90"])
def test_a_state_of_another_form_is_refused(state):
    with pytest.raises(PolicyStateError, match=r"not the state of|expected 32"):
        load_policy(seal({"name": "hybrid"}, state))


def test_between_two_fits_the_posterior_is_that_of_a_fit_on_all_that_came():
    """With the scale that the first of them found, rewards and corrections alike."""
    policy = open_policy(parse_policy(f"{SMALL},refit=1000"))
    rng = np.random.default_rng(4)
    steps = [Step(int(rng.integers(3)), [0, 1, 2, 3], int(rng.integers(4)), 0.0) for _ in range(90)]
    for number, step in enumerate(steps):
        policy.learn(step.decision(number), float(number % 5 == 0))
    policy._refit()
    policy._limit = 1000
    for number, step in enumerate(steps[:9]):
        policy.learn(step.decision(90 + number), 1.0)
        policy.correct(step.decision(90 + number), 1.0, 0.0)
        policy.correct(step.decision(number), float(number % 5 == 0), 0.5)
    running, found = policy._running, policy._running._fit
    x = policy._read(raw(CONTEXTS[1]))
    shown = tuple(action(number) for number in (0, 1, 2, 3, 5))
    order, mean, variance = running.scores(x, shown, policy._code)
    arms = [policy._arms[name] for name in sorted(policy._arms)]
    m, shared = 6, found.own * (policy._config.own / policy._config.shared) ** 2
    psi, second, response = stacked(arms, found, 1.0)
    spread = np.linalg.inv(second + found.own * np.eye(m))
    told = found.own * np.eye(m) - found.own**2 * spread
    precision = sum(np.kron(np.outer(p, p), j) for p, j in zip(psi, told, strict=True))
    covariance = np.linalg.inv(precision + shared * np.eye(len(precision)))
    right = psi.T @ (found.own * np.einsum("kij,kj->ki", spread, response))
    weights = (covariance @ right.ravel()).reshape(-1, m)
    whole = found._replace(weights=weights, covariance=covariance)
    means, covariances = whole.creatives([policy._seen(shown[i]) for i in order], 1.0)
    np.testing.assert_allclose(mean, means @ x, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(variance, covariances @ x @ x, rtol=1e-6, atol=1e-12)


def test_a_reward_hardly_ever_costs_a_fit():
    policy, fits = open_policy(parse_policy(SMALL)), []
    fitted = policy._refit
    policy._refit = lambda: fits.append(len(policy._journal)) or fitted()
    teach(policy, [Step(0, [0, 1], number % 2, float(number % 3 == 0)) for number in range(2000)])
    assert len(fits) < 70
    assert max(fits) > 200
