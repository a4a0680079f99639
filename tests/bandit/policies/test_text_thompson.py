"""The text policy: the laws, its level and pmf against their definitions, and what texts do."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from bandit.errors import FeatureError, PolicyStateError
from bandit.policies import load_policy, open_policy
from bandit.policies.base import seal, unseal
from bandit.policies.text_thompson import TextThompson, TextThompsonConfig
from bandit.policy import take_over
from streams.events import EMPTY, Action, Decision
from tests.bandit.decisions import a_decision
from tests.bandit.policy_laws import (
    CorrectionLaws,
    LearningLaws,
    PolicyLaws,
    Step,
    as_dict,
    ask,
    raw,
    teach,
)

STATED = 2e-4


class TestTextThompsonLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = 'text_thompson:weights={"text.length":0.4}'

    def same(self, one, other):
        (arms, *sums), (other_arms, *other_sums) = (
            msgspec.msgpack.decode(unseal(policy.to_bytes())[1]) for policy in (one, other)
        )
        return arms == other_arms and np.allclose(sums, other_sums, rtol=0.0, atol=1e-12)


def actions(*scores):
    """Creatives whose score under the weights {"text.word": 1} is as given."""
    return tuple(Action(f"c{n}", raw({"text": {"word": s}})) for n, s in enumerate(scores))


def reading(**parameters):
    return TextThompson(TextThompsonConfig(weights={"text.word": 1.0}, **parameters))


def having(arms, actions, sums=(0.0, 0.0), **parameters):
    """A policy that has seen these (n, total) of each action."""
    spec = reading(**parameters).spec
    by_id = {action.id: arm for action, arm in zip(actions, arms, strict=True)}
    return load_policy(seal(spec, msgspec.msgpack.encode((msgspec.msgpack.encode(by_id), *sums))))


def written_out(scores, arms, trust=1.0, strength=12.0, mean=0.01, width=0.3, epsilon=0.01):
    """The pmf by its definition, the best counted in draws; the level by general optimisation."""
    n, total = np.array(arms, dtype=float).T
    relative = np.exp(trust * (scores - np.mean(scores)))

    def density(log_m):
        m = np.exp(log_m)
        showings = strength / relative + n * m
        nb = total * log_m - (strength + total) * np.log(showings)
        return -(nb.sum() + log_m - m / mean)

    m = np.exp(optimize.minimize_scalar(density, bounds=(-15, 3), method="bounded").x)
    showings = strength / (m * relative) + n
    behind = np.maximum(n.mean() / showings, 1.0)
    widths = np.minimum(width * np.sqrt(1.0 + np.log(behind)), 1.0)
    sd = widths * np.sqrt(strength + total) / showings
    draws = np.random.default_rng(1).normal((strength + total) / showings, sd, (200_000, len(n)))
    best = np.bincount(draws.argmax(axis=1), minlength=len(n)) / len(draws)
    return (1.0 - epsilon) * best + epsilon / len(n)


@pytest.mark.parametrize(
    ("scores", "arms"),
    [
        ([0.1, 0.0, -0.05, 0.02], [(0, 0.0)] * 4),
        ([0.1, 0.0, -0.05], [(300, 2.0), (500, 9.0), (120, 1.5)]),
        ([0.0, 0.0, 0.0], [(40_000, 600.0), (30_000, 430.0), (0, 0.0)]),
        ([0.2, -0.2], [(900, 450.0), (700, 380.0)]),
    ],
)
def test_the_pmf_is_what_the_docstring_defines(scores, arms):
    shown = actions(*scores)
    found = having(arms, shown).pmf(EMPTY, shown)
    assert np.abs(found - written_out(scores, arms)).max() < 4 * 0.5 / np.sqrt(200_000) + STATED


histories = st.lists(
    st.tuples(st.integers(0, 10**7), st.floats(0.0, 1.0)).map(lambda a: (a[0], a[0] * a[1])),
    min_size=1,
    max_size=12,
)


@given(arms=histories, strength=st.floats(0.1, 1e6))
def test_the_level_is_found_whatever_was_seen(arms, strength):
    n, total = np.array(arms).T
    policy = reading(strength=strength)
    prior, count = np.full(len(n), strength), np.ones(len(n))
    m = policy._level(prior, n, total, count)
    rise = 1 + total.sum() - m / 0.01 - ((strength + total) * n * m / (prior + n * m)).sum()
    assert abs(rise) < 1e-5 * (1 + total.sum() + m / 0.01 + strength * len(n))


def test_a_placement_s_own_level_replaces_the_rate_expected_beforehand():
    """What decides is which does better than the others, whatever clicks are like there."""
    shown = actions(0.0, 0.0)
    rare = having([(100_000, 120.0), (100_000, 80.0)], shown).pmf(EMPTY, shown)
    often = having([(1_000, 120.0), (1_000, 80.0)], shown).pmf(EMPTY, shown)
    assert rare == pytest.approx(often, abs=0.01)
    assert rare[0] > 0.95


def test_a_better_text_is_shown_more_until_clicks_tell_otherwise():
    shown = actions(0.1, 0.0)
    assert having([(0, 0.0), (0, 0.0)], shown).pmf(EMPTY, shown)[0] > 0.7
    assert having([(2000, 15.0), (2000, 30.0)], shown).pmf(EMPTY, shown)[0] < 0.05


def test_no_text_is_believed_beyond_a_bound():
    bold = having([(0, 0.0), (0, 0.0)], shown := actions(50.0, 0.0)).pmf(EMPTY, shown)
    bound = having([(0, 0.0), (0, 0.0)], shown := actions(1.0, 0.0)).pmf(EMPTY, shown)
    np.testing.assert_array_equal(bold, bound)


def test_one_that_fell_behind_is_tried_again_as_the_others_are_shown():
    shown = actions(0.0, 0.0, 0.0)
    shares = [
        having([(n, 0.018 * n), (n, 0.012 * n), (0, 0.0)], shown, epsilon=0.0).pmf(EMPTY, shown)[2]
        for n in (10_000, 100_000, 10_000_000)
    ]
    assert shares == sorted(shares)
    assert shares[2] > 2 * shares[0]
    assert shares[2] > 0.1


def offered(shown, pmf, index, number=0):
    return a_decision(number, shown, pmf, index, at_ms=number)


def clicked(policy, effect, n=3000):
    """The policy after clicks among four evenly offered, at log rates `effect` times the scores."""
    rng = np.random.default_rng(0)
    for number in range(n):
        scores = rng.normal(0.0, 0.1, 4)
        rates = np.exp(effect * scores)
        index = int(rng.choice(4, p=rates / rates.sum()))
        policy.learn(offered(actions(*scores), (0.25,) * 4, index, number), 1.0)
    return policy


def test_scores_that_hold_stay_trusted_and_those_that_mislead_come_to_count_nothing():
    assert clicked(reading(), 1.0).trust > 0.7
    assert clicked(reading(), 0.0).trust < 0.5
    misled = load_policy(clicked(reading(), -1.0).to_bytes())
    assert misled.trust == 0.0
    fresh = [Action(f"new {a.id}", a.features) for a in actions(0.2, 0.0)]
    assert misled.pmf(EMPTY, fresh).tolist() == [0.5, 0.5]


def test_trust_is_one_newton_step_of_the_conditional_logit():
    policy, shown = reading(trust=5.0), actions(0.3, 0.0, -0.1)
    policy.learn(offered(shown, (0.2, 0.5, 0.3), 2), 1.0)
    scores, pmf = np.array([0.3, 0.0, -0.1]), np.array([0.2, 0.5, 0.3])

    def log_likelihood(t):
        return t * scores[2] - special.logsumexp(t * scores, b=pmf)

    h = 1e-3
    slope = (log_likelihood(h) - log_likelihood(-h)) / (2 * h)
    curvature = -(log_likelihood(h) - 2 * log_likelihood(0.0) + log_likelihood(-h)) / h**2
    assert policy.trust == pytest.approx((5.0 + slope) / (5.0 + curvature), abs=1e-5)


def test_without_weights_features_are_not_even_read():
    policy = open_policy({"name": "text_thompson", "weights": {}})
    shown = (Action("a", raw([1])), Action("b"))
    assert policy.pmf(EMPTY, shown).tolist() == [0.5, 0.5]


def test_features_that_cannot_be_read_are_refused_and_change_nothing():
    policy = teach(reading(), [Step(0, [0, 1], 0, 1.0)])
    before = policy.to_bytes()
    good = Step(1, [0, 1], 1, 1.0).decision()
    bad = Decision(**{**as_dict(good), "actions": (good.actions[0], Action("bad", raw([1])))})
    with pytest.raises(FeatureError):
        policy.pmf(EMPTY, bad.actions)
    with pytest.raises(FeatureError):
        policy.learn(bad, 1.0)
    with pytest.raises(FeatureError):
        policy.correct(bad, 0.0, 1.0)
    assert policy.to_bytes() == before


@pytest.mark.parametrize("state", [b"", b"\x93\xc0\x00\x00", msgspec.msgpack.encode((b"no", 0, 0))])
def test_another_state_is_refused(state):
    with pytest.raises(PolicyStateError):
        load_policy(seal({"name": "text_thompson"}, state))


def test_the_default_weights_read_what_creatives_are_served_with():
    from bandit.features.flatten import creative_features

    shown = [
        Action(text, creative_features({"headline": text}))
        for text in ("What 9 People Saw When They Opened The Door", "ACT NOW! A Statement.")
    ]
    first = open_policy({"name": "text_thompson"}).pmf(EMPTY, shown)[0]
    assert first > 0.7
    assert ask(open_policy({"name": "text_thompson"}), 0, [0]).tolist() == [1.0]


def test_scores_by_other_weights_are_not_taken_over():
    shown = actions(0.9, -0.9)
    before, plain, after = (
        TextThompson(TextThompsonConfig(weights={"text.word": weight})) for weight in (2, -1, -1)
    )
    before.pmf(EMPTY, shown)
    take_over(after, before)
    assert after.pmf(EMPTY, shown).tolist() == plain.pmf(EMPTY, shown).tolist()
