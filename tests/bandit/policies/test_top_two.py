"""Top-two Thompson sampling: the laws, its closed form against drawing, and its verdict."""

import msgspec
import numpy as np
import pytest
from msgspec.structs import astuple

from bandit.errors import PolicySpecError
from bandit.policies import load_policy, open_policy, parse_policy
from bandit.policies.base import seal
from bandit.policy import Deciding
from tests.bandit.policies.test_best import exact
from tests.bandit.policy_laws import (
    CorrectionLaws,
    LearningLaws,
    PolicyLaws,
    Step,
    action,
    ask,
    teach,
)


class TestTopTwoLaws(PolicyLaws, CorrectionLaws):
    spec = "top_two"


class TestTopTwoThatEarnsLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "top_two:share=0.9,alpha=1,beta=9"


def shown(policy, histories):
    """The policy after each creative was clicked `clicks` of `n` times."""
    for number, (clicks, n) in enumerate(histories):
        teach(policy, [Step(0, [number], 0, float(i < clicks)) for i in range(n)])
    return policy


def verdict(policy, numbers):
    return policy.verdict([action(number) for number in numbers])


def test_the_pmf_is_how_often_the_procedure_shows_each():
    """Draws until two differ, as the paper says it, and shows the first with its share."""
    policy = shown(open_policy(parse_policy("top_two:share=0.3")), [(3, 90), (9, 300), (1, 40)])
    rng = np.random.default_rng(1)
    n = 400_000
    draws = rng.beta([4, 10, 2, 1], [186, 390, 138, 99], size=(n, 4)).argmax(axis=1)
    first, second = draws[: n // 2], draws[n // 2 :]
    differ = first != second
    # Pairs that agree are drawn on with the same first: weigh each first by how often it differs.
    keeps = np.bincount(first, minlength=4) / len(first)
    rivals = np.zeros((4, 4))
    np.add.at(rivals, (first[differ], second[differ]), 1.0)
    rivals /= rivals.sum(axis=1, keepdims=True)
    expected = 0.3 * keeps + 0.7 * keeps @ rivals
    assert np.abs(ask(policy, 0, [0, 1, 2, 3]) - expected).max() < 0.006


@pytest.mark.parametrize("seed", range(6))
def test_it_is_within_the_stated_error_of_fine_posteriors(seed):
    rng = np.random.default_rng(seed)
    n = np.floor(10 ** rng.uniform(1, 3, 4)).astype(int).tolist()
    clicks = [int(rng.uniform(0, 0.05) * each) for each in n]
    policy = shown(open_policy({"name": "top_two"}), list(zip(clicks, n, strict=True)))
    p = exact(1.0 + np.array(clicks), 99.0 + np.array(n) - np.array(clicks))
    p /= p.sum()
    odds = p / (1.0 - p)
    expected = p * (0.5 + 0.5 * (odds.sum() - odds))
    assert np.abs(ask(policy, 0, [0, 1, 2, 3]) - expected).max() < 1e-3


def test_a_share_of_one_is_thompson():
    histories = [(3, 90), (5, 100)]
    whole = shown(open_policy({"name": "top_two", "share": 1.0}), histories)
    plain = shown(open_policy({"name": "thompson"}), histories)
    np.testing.assert_allclose(ask(whole, 0, [0, 1]), ask(plain, 0, [0, 1]), rtol=1e-12)


def test_the_leader_never_takes_more_than_its_share_and_hopeless_rivals_split_the_rest():
    policy = shown(open_policy({"name": "top_two"}), [(900, 1000), (0, 1000), (0, 1000)])
    assert ask(policy, 0, [0, 1, 2]) == pytest.approx([0.5, 0.25, 0.25])


def test_the_verdict_is_the_posterior_held_against_the_threshold():
    policy = open_policy({"name": "top_two", "threshold": 0.9})
    assert isinstance(policy, Deciding)
    assert astuple(verdict(policy, [0, 1])) == (action(0).id, pytest.approx(0.5), False)
    shown(policy, [(2, 200), (12, 200)])
    found = verdict(load_policy(policy.to_bytes()), [0, 1])
    assert found.creative_id == action(1).id
    assert found.decided
    assert found.posterior == pytest.approx(
        exact(np.array([3.0, 13.0]), np.array([297.0, 287.0]))[1], abs=2e-4
    )
    assert astuple(verdict(policy, [1])) == (action(1).id, 1.0, True)


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(PolicySpecError, match="threshold"):
        open_policy({"name": "top_two", "threshold": threshold})


def having(name, n, clicks):
    """A policy that has seen so much: more than a test has time to teach."""
    arms = {action(i).id: (int(n[i]), float(clicks[i])) for i in range(len(n))}
    thompson = seal({"name": "thompson"}, msgspec.msgpack.encode(arms))
    return load_policy(seal({"name": "top_two"}, thompson) if name == "top_two" else thompson)


def decisions_until_sure(name, seed, most=100_000):
    """How many decisions it takes until a creative is the best of five with 99 %."""
    rates, arms = [0.01, 0.012, 0.015, 0.02, 0.025], range(5)
    n, clicks = np.zeros(5), np.zeros(5)
    rng = np.random.default_rng(seed)
    while n.sum() < most:
        if verdict(having("top_two", n, clicks), arms).posterior >= 0.99:
            break
        pmf = ask(having(name, n, clicks), 0, arms)
        shown_now = rng.multinomial(500, pmf)
        n += shown_now
        clicks += rng.binomial(shown_now, rates)
    return n.sum()


def test_it_is_sure_sooner_than_thompson_sampling():
    sooner = [decisions_until_sure("top_two", seed) for seed in range(6)]
    later = [decisions_until_sure("thompson", seed) for seed in range(6)]
    assert np.mean(sooner) < 0.7 * np.mean(later)
