"""The prior: it finds what texts do where they do something, and nothing where they do not."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.ab_tests import AbTest, Arm, read_ab_tests
from bandit.errors import ReplayError
from bandit.features import creative_features
from bandit.policies import open_policy, parse_policy
from bandit.policies.headlines import HEADLINES
from bandit.policies.text_thompson import TextThompson, TextThompsonConfig
from bandit.prior import fit_prior
from bandit.replay import make_stage, play
from streams.events import Action

UPWORTHY = Path(__file__).parents[3] / "shared" / "data" / "upworthy.parquet"
real = pytest.mark.skipif(
    not UPWORTHY.exists(), reason="the Upworthy archive is not at ../shared/data"
)

OBJECTS = ["river", "kitchen", "letter", "garden", "window", "school", "doctor", "bridge"]


def made(n, effect, *, rate=0.012, seed=0):
    """Tests of four headlines; a question is clicked exp(effect) times as often as another."""
    rng = np.random.default_rng(seed)
    tests = []
    for number in range(n):
        arms = []
        for arm in range(4):
            words = " ".join(rng.choice(OBJECTS, 3, replace=False))
            question = bool(arm % 2)
            true = rate * np.exp(effect * question) * rng.gamma(40.0, 1.0 / 40.0)
            text = f"The {words}{'?' if question else '.'} {number}"
            arms.append(Arm(text, 3000, int(rng.binomial(3000, true))))
        tests.append(AbTest(f"t{number}", 201410 + number, tuple(arms)))
    return tests


def score(weights, text):
    policy = TextThompson(TextThompsonConfig(weights=weights))
    return policy._score(Action(text, creative_features({"headline": text})))


def test_it_finds_what_raises_the_rate_and_by_how_much():
    prior = fit_prior(made(150, 0.25))
    assert prior.explained > 0.2
    assert prior.spread >= 0.07
    gap = score(prior.weights, "The river song?") - score(prior.weights, "The river song.")
    assert 0.15 < gap < 0.3


def test_texts_that_tell_nothing_weigh_next_to_nothing():
    prior = fit_prior(made(150, 0.0))
    assert prior.explained < 0.02
    gap = score(prior.weights, "The river song?") - score(prior.weights, "The river song.")
    assert abs(gap) < 0.03


def test_what_reverses_halfway_is_not_believed():
    prior = fit_prior(made(60, 0.4) + made(60, -0.4, seed=1))
    assert prior == ({}, 0.0, 0.0)
    assert open_policy(prior.spec).spec["weights"] == {}


def test_a_few_tests_are_too_few():
    with pytest.raises(ReplayError, match="9 tests with a click, expected at least 10"):
        fit_prior(made(9, 0.1))


def earned(weights, tests):
    policy = open_policy({"name": "text_thompson", "weights": weights, "epsilon": 0.1})
    clicks = list(play([make_stage(test, 300) for test in tests], policy, seed=0))
    return sum(clicks), policy.trust


def test_a_prior_that_holds_earns_more_and_one_that_misleads_costs_little():
    tests = made(20, 0.5, rate=0.1, seed=2)
    weights = fit_prior(made(150, 0.5)).weights
    without, _ = earned({}, tests)
    right, kept = earned(weights, tests)
    wrong, lost = earned({name: -weight for name, weight in weights.items()}, tests)
    assert kept > 0.7
    assert right > 1.05 * without
    assert lost < 0.1
    assert wrong > 0.9 * without


@real
def test_the_default_weights_are_what_the_archive_says():
    tests = read_ab_tests(UPWORTHY, min_headlines=2, min_impressions=100)
    fitted = fit_prior(tests).weights
    assert fitted.keys() == HEADLINES.keys()
    for name, weight in fitted.items():
        assert HEADLINES[name] == pytest.approx(weight, abs=2e-4), name


@real
def test_earlier_tests_foretell_later_ones():
    """Learned up to the middle of 2014; held against the scores of tests after that."""
    tests = read_ab_tests(UPWORTHY, min_headlines=2, min_impressions=100)
    weights = fit_prior([test for test in tests if test.week <= 201430]).weights
    foretold, found = [], []
    for test in tests:
        if test.week > 201430:
            scores = np.array([score(weights, arm.headline) for arm in test.arms])
            rates = np.array([arm.ctr for arm in test.arms]) / test.uniform_ctr
            foretold += (scores - scores.mean()).tolist()
            found += (rates - 1.0).tolist()
    assert np.corrcoef(foretold, found)[0, 1] > 0.15


@real
def test_the_command_prints_a_policy_that_replay_takes(tmp_path):
    done = CliRunner().invoke(app, ["fit-prior", str(UPWORTHY), "--until", "201320"])
    assert done.exit_code == 0
    path = tmp_path / "policy.json"
    path.write_text(done.stdout)
    assert parse_policy(str(path)) == json.loads(done.stdout)
    assert open_policy(parse_policy(str(path))).spec["weights"]
    assert "of the variance within tests held out" in done.stderr
