"""The policy that needs no choosing: the laws, and each thing that it is to find by itself."""

import numpy as np
import pytest

from bandit.policies import open_policy
from bandit.policies.adaptive.age_blocks import FINEST, Blocks
from bandit.policies.adaptive.policy import _unpack
from bandit.policies.adaptive.slopes import RIDGES, Slopes
from bandit.policies.base import unseal
from bandit.policies.rates import scale_of
from bandit.policy import sample
from streams.events import Action, Decision
from tests.bandit.decisions import a_decision
from tests.bandit.policy_laws import (
    CorrectionLaws,
    FeatureLaws,
    LearningLaws,
    PolicyLaws,
    Step,
    action,
    raw,
)


def numbers(policy):
    """All that the state holds but names and times, as one vector."""
    sums, _, *parts = _unpack(unseal(policy.to_bytes())[1])
    blocks, slopes, texts = policy._blocks, policy._slopes, policy._texts
    assert all(parts)
    held = [blocks._sums, slopes._arms, slopes._inverse, *slopes._sums.arrays()]
    held += [texts._information, texts._arms, np.array(sums)]
    return np.concatenate([each.ravel() for each in held])


class _ApproximateCorrections(CorrectionLaws):
    def same(self, one, other):
        return np.allclose(numbers(one), numbers(other), rtol=1e-9, atol=1e-9)


class _FeatureLaws(FeatureLaws):
    """Creatives that cannot be read are refused; of contexts that cannot be, nothing is read."""

    @pytest.mark.parametrize("where", ["features"])
    def test_features_that_cannot_be_read_are_refused_and_change_nothing(self, where):
        super().test_features_that_cannot_be_read_are_refused_and_change_nothing(where)

    def test_a_context_that_cannot_be_read_is_as_an_empty_one(self):
        actions = tuple(map(action, range(3)))
        policies, asked = [], []
        for context in ({}, {"deep": [[1]], "hour": 9}):
            policy = self.after([Step(1, [0, 1, 2], i, 1.0) for i in range(9)])
            policy.learn(a_decision("last", actions, (0.2, 0.3, 0.5), 1, context=context), 1.0)
            policies.append(policy)
            asked.append(policy.pmf(raw(context), actions))
        assert policies[0].to_bytes() == policies[1].to_bytes()
        np.testing.assert_array_equal(*asked)


class TestAdaptiveLaws(PolicyLaws, LearningLaws, _ApproximateCorrections, _FeatureLaws):
    spec = "adaptive"
    largest_reward = 1e9


class TestSignedAdaptiveLaws(PolicyLaws, LearningLaws, _ApproximateCorrections, _FeatureLaws):
    spec = "adaptive:signed=true"
    largest_reward = 1e9


def play(policy, n, rewards, contexts=({},), n_actions=4, seed=1, times=None, features=None):
    """Plays, and returns which action each round showed; `rewards(t, context, action)` draws."""
    rng = np.random.default_rng(seed)
    actions = tuple(
        Action(f"c{i}", raw({} if features is None else features[i])) for i in range(n_actions)
    )
    read = [raw(context) for context in contexts]
    shown = []
    for t in range(n):
        which = int(rng.integers(len(read)))
        pmf = policy.pmf(read[which], actions)
        index = sample(pmf, f"{seed}/{t}")
        decision = Decision(
            event_id=f"{t}",
            placement="p",
            timestamp_ms=t,
            context=read[which],
            actions=actions,
            pmf=tuple(pmf.tolist()),
            index=index,
            policy_version="v",
        )
        policy.learn(decision, rewards(rng, t, which, index))
        shown.append((which, index))
    return np.array(shown), actions


def clicks(table):
    """Rewards of 0 and 1 at the rates in table[context][action]."""
    return lambda rng, t, which, index: float(rng.random() < table[which][index])


def test_it_finds_that_segments_differ_and_shows_each_its_own():
    table = [[0.2, 0.02, 0.02, 0.02], [0.02, 0.2, 0.02, 0.02]]
    contexts = [{"segment": "a", "noise": 1}, {"segment": "b", "noise": 1}]
    shown, _ = play(open_policy({"name": "adaptive"}), 1500, clicks(table), contexts)
    late = shown[1000:]
    assert (late[:, 0] == late[:, 1]).mean() > 0.8


def test_contexts_that_change_nothing_are_not_read():
    policy = open_policy({"name": "adaptive"})
    contexts = [{"hour": hour, "device": f"d{hour % 3}"} for hour in range(24)]
    _, actions = play(policy, 1000, clicks([[0.1, 0.05, 0.05, 0.05]] * 24), contexts)
    pmfs = [policy.pmf(raw(context), actions) for context in contexts]
    assert np.ptp(pmfs, axis=0).max() < 0.1


@pytest.mark.parametrize(("scale", "shift"), [(0.001, 0.0), (1.0, 100.0), (1e6, 0.0)])
def test_rewards_of_any_size_are_learned(scale, shift):
    rewards = lambda rng, t, which, i: max(scale * (i + 8.0 * rng.random()) + shift, 0.0)  # noqa: E731
    shown, _ = play(open_policy({"name": "adaptive"}), 800, rewards)
    assert (shown[500:, 1] == 3).mean() > 0.6


def test_losses_are_learned():
    spec = {"name": "adaptive", "signed": True}
    rewards = lambda rng, t, which, i: float(rng.normal(-20.0 + 2.0 * i, 6.0))  # noqa: E731
    shown, _ = play(open_policy(spec), 800, rewards)
    assert (shown[500:, 1] == 3).mean() > 0.6


def test_it_leaves_what_was_the_best_once():
    def rewards(rng, t, which, index):
        best = 0 if t < 3000 else 1
        return float(rng.random() < (0.3 if index == best else 0.1))

    shown, _ = play(open_policy({"name": "adaptive"}), 5000, rewards, n_actions=3)
    assert (shown[2500:3000, 1] == 0).mean() > 0.8
    assert (shown[4500:, 1] == 1).mean() > 0.6


def test_texts_that_foretell_are_believed_of_a_new_creative():
    policy = open_policy({"name": "adaptive", "weights": {}})
    features = [{"text": {"loud": float(i % 2), "calm": 1.0 - i % 2}} for i in range(6)]
    rates = [0.04 if i % 2 else 0.16 for i in range(6)]
    play(policy, 1500, clicks([rates]), n_actions=6, features=features)
    new = Action("calm", raw({"text": {"calm": 1.0}})), Action("loud", raw({"text": {"loud": 1.0}}))
    assert policy.pmf(raw({}), new)[0] > 0.6


def test_blocks_keep_every_decision_and_merge_the_old_ones():
    blocks = Blocks()
    for t in range(40 * FINEST):
        blocks.learn(f"c{t % 3}", t, 1.0)
    assert blocks.sizes.sum() == 40 * FINEST
    assert len(blocks.sizes) < 16
    n, total = blocks.of(["c0", "c1", "c2"])
    np.testing.assert_array_equal(n, total)
    np.testing.assert_array_equal(n.sum(axis=0), blocks.sizes)
    # An old decision's reward is found where it was counted.
    blocks.correct("c0", 3, -1.0)
    assert total.sum() - blocks.of(["c0", "c1", "c2"])[1].sum() == 1.0


def test_slopes_are_the_regression_written_out():
    rng = np.random.default_rng(3)
    slopes = Slopes()
    slopes.widen(3)
    rows = {"a": [], "b": []}
    for name in rng.choice(["a", "b"], 60).tolist():
        x, reward = rng.normal(size=3), float(rng.normal())
        slopes.learn(name, x, reward)
        rows[name].append((x, reward))
    log_det = fit = 0.0
    for told in rows.values():
        x = np.array([each for each, _ in told])
        x, r = x - x.mean(axis=0), np.array([reward for _, reward in told])
        precision = np.eye(3) * RIDGES[:, None, None] + x.T @ x
        log_det += np.linalg.slogdet(precision)[1] - 3.0 * np.log(RIDGES)
        fit += (x.T @ r) @ np.linalg.inv(precision) @ (x.T @ r)
    np.testing.assert_allclose(slopes._sums.log_det, log_det)
    np.testing.assert_allclose(slopes._sums.fit, fit)


def test_a_model_that_was_given_up_leaves_no_trace(monkeypatch):
    monkeypatch.setattr("bandit.policies.adaptive.slopes.Slopes._most", lambda self: 3)
    rng = np.random.default_rng(4)
    told = [(name, rng.normal(size=2), float(rng.normal())) for name in "aabbaccbbcddbd"]
    slopes, without = Slopes(), Slopes()
    for each in (slopes, without):
        each.widen(2)
    for name, x, reward in told:
        slopes.learn(name, x, reward)
        if name != "a":
            without.learn(name, x, reward)
    slopes.correct("a", told[0][1], 1.0)
    for one, other in zip(slopes._sums.arrays(), without._sums.arrays(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    again = Slopes(slopes.to_bytes())
    assert again.to_bytes() == slopes.to_bytes()
    reads = [each.read(["b", "d", "new"], 0.5) for each in (slopes, again)]
    assert all(np.array_equal(*both) for both in zip(*reads, strict=True))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_the_scale_of_rewards_is_found(size):
    rng = np.random.default_rng(5)
    rewards = size * (rng.random(20_000) < 0.03)
    sums = len(rewards), rewards.sum(), (rewards**2).sum(), rewards.sum()
    scale = scale_of(sums, signed=False)
    assert scale.mean == pytest.approx(0.03 * size, rel=0.1)
    assert scale.unit == pytest.approx(0.97 * size, rel=0.05)
