"""The prior: it finds what texts do where they do something, and nothing where they do not."""

import json

import numpy as np
import pytest
from msgspec import Raw
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.abtests.contrasts import contrasts_of_log, contrasts_of_tests
from bandit.abtests.data import AbTest, AbTestArm
from bandit.abtests.prior import LEAST_STRENGTH, MOST_STRENGTH
from bandit.abtests.prior import fit_prior as fit_contrasts
from bandit.abtests.replay import make_stage, play
from bandit.errors import ReplayError
from bandit.features.flatten import creative_features
from bandit.ope.readers.events import LoggedEvent
from bandit.policies import open_policy, parse_policy
from bandit.policies.headlines import HEADLINES
from bandit.policies.text_thompson import TextThompson, TextThompsonConfig
from bandit.policy import sample
from benchmarks.upworthy import DATA, OPTIONS, read_upworthy
from streams.events import EMPTY, Action
from tests.bandit.decisions import a_decision
from tests.bandit.histories import archived, interaction

real = pytest.mark.skipif(not DATA.exists(), reason="the Upworthy archive is not at ../shared/data")

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
            arms.append(AbTestArm(text, 3000, int(rng.binomial(3000, true))))
        tests.append(AbTest(f"t{number}", 201410 + number, tuple(arms)))
    return tests


def fit_prior(tests, embedding="wordllama"):
    return fit_contrasts(contrasts_of_tests(tests, embedding))


def score(weights, text, embedding="wordllama"):
    policy = TextThompson(TextThompsonConfig(weights=weights))
    return policy._score(Action(text, creative_features({"headline": text}, embedding)))


def test_it_finds_what_raises_the_rate_and_by_how_much():
    prior = fit_prior(made(150, 0.25))
    assert prior.explained > 0.2
    gap = score(prior.weights, "The river song?") - score(prior.weights, "The river song.")
    assert 0.15 < gap < 0.3


def test_each_language_has_weights_of_its_own():
    def in_chinese(test):
        arms = [
            arm._replace(
                headline=f"周末跑步去河边{number}{'吗？' if '?' in arm.headline else '。'}"
            )
            for number, arm in enumerate(test.arms)
        ]
        return test._replace(arms=tuple(arms))

    chinese = [in_chinese(test) for test in made(150, 0.25)]
    prior = fit_prior([*made(150, -0.25, seed=1), *chinese])
    assert prior.weights["text.question"] < 0.0 < prior.weights["text_zh.question"]
    gap = score(prior.weights, "去河边吗？") - score(prior.weights, "去河边。")
    assert gap > 0.1


def test_texts_that_tell_nothing_weigh_next_to_nothing():
    prior = fit_prior(made(150, 0.0))
    assert prior.explained < 0.02
    gap = score(prior.weights, "The river song?") - score(prior.weights, "The river song.")
    assert abs(gap) < 0.03


def test_what_reverses_halfway_is_not_believed():
    prior = fit_prior(made(60, 0.4) + made(60, -0.4, seed=1))
    assert prior.weights == {}
    assert prior.explained == 0.0
    assert open_policy(prior.spec).spec["weights"] == {}


def test_a_few_tests_are_too_few():
    with pytest.raises(ReplayError, match="9 tests with a click, expected at least 10"):
        fit_prior(made(9, 0.1))


def earned(weights, tests):
    policy = open_policy({"name": "text_thompson", "weights": weights, "epsilon": 0.1})
    clicks = list(play([make_stage(test, 300, "wordllama") for test in tests], policy, seed=0))
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


def logged(policy, effects, *, rounds=600, spread=0.1, seed=0):
    """Placements of four creatives each, served by a policy that learns as it goes.

    A loud one is clicked exp(effect) times as often, by the effect of its placement; rates differ
    by `spread` besides.
    """
    rng = np.random.default_rng(seed)
    events = []
    for place, effect in enumerate(effects):
        shown = tuple(
            Action(
                f"{place}-{k}", Raw(json.dumps({"style": {"loud": k % 2, "big": k // 2}}).encode())
            )
            for k in range(4)
        )
        loud = np.array([k % 2 for k in range(4)])
        rates = 0.05 * np.exp(effect * loud + spread * rng.normal(size=4))
        learning = open_policy(parse_policy(policy))
        for number in range(rounds):
            pmf = learning.pmf(EMPTY, shown)
            event_id = f"{place}/{number}"
            index = sample(pmf, event_id)
            decision = a_decision(
                event_id, shown, pmf, index, at_ms=number, placement=f"place-{place}"
            )
            reward = float(rng.random() < rates[index])
            learning.learn(decision, reward)
            events.append(LoggedEvent(decision, reward))
    return events


def fit_log(events):
    return fit_contrasts(contrasts_of_log(lambda: iter(events)))


@pytest.mark.parametrize(
    "policy", ["uniform", "thompson:alpha=1,beta=19", "epsilon_greedy:epsilon=0.6,mean=0.01"]
)
def test_a_log_of_many_placements_tells_of_the_next_whatever_policy_wrote_it(policy):
    prior = fit_log(logged(policy, [0.5] * 25))
    assert 0.25 < prior.weights["style.loud"] < 0.6
    assert abs(prior.weights.get("style.big", 0.0)) < 0.1
    assert prior.weights["style"] == pytest.approx(-prior.weights["style.loud"] / 2, abs=0.06)
    (pmf,) = [
        open_policy(prior.spec).pmf(EMPTY, logged("uniform", [0.0], rounds=1)[0].decision.actions)
    ]
    assert pmf[[1, 3]].min() > 2.0 * pmf[[0, 2]].max()


def test_placements_that_contradict_each_other_tell_nothing():
    prior = fit_log(logged("uniform", [0.5, -0.5] * 10))
    assert abs(prior.weights.get("style.loud", 0.0)) < 0.1
    misled = fit_log(logged("uniform", [0.5] * 10 + [-0.5] * 10))
    assert misled.weights == {}
    assert misled.explained == 0.0


def test_the_strength_is_what_rates_are_like_beyond_the_features_and_no_more_than_a_cap():
    alike = fit_log(logged("uniform", [0.3] * 20, spread=0.0)).strength
    apart = fit_log(logged("uniform", [0.3] * 20, spread=0.5)).strength
    assert alike > 15.0
    assert 2.0 < apart < 8.0
    assert fit_log(logged("uniform", [0.0] * 10, spread=0.0)).strength <= MOST_STRENGTH
    assert fit_log(logged("uniform", [0.0] * 10, spread=3.0)).strength >= LEAST_STRENGTH


def test_a_log_that_cannot_tell_is_refused():
    with pytest.raises(ReplayError, match="expected at least 10"):
        fit_log(logged("uniform", [0.0, 0.0]))
    high = logged("uniform", [0.0])[0]._replace(reward=3.0)
    with pytest.raises(ReplayError, match="'place-0' earned 3, expected 0 to 1"):
        fit_log([high])


def test_the_command_reads_an_archive_of_all_placements_or_of_one(tmp_path):
    events = logged("uniform", [0.6] * 12)
    archived(
        tmp_path, [interaction(event.decision, n, event.reward) for n, event in enumerate(events)]
    )
    done = CliRunner().invoke(app, ["fit-prior", str(tmp_path)])
    assert done.exit_code == 0, done.output
    spec = open_policy(json.loads(done.stdout)).spec
    assert spec["weights"]["style.loud"] > 0.2
    few = CliRunner().invoke(app, ["fit-prior", str(tmp_path), "--placement", "place-3"])
    assert "4 creatives that had a chance of a click" in str(few.exception)


@real
def test_the_default_weights_are_what_the_archive_says():
    tests = read_upworthy(min_headlines=2, min_impressions=100)
    fitted = fit_prior(tests).weights
    assert fitted.keys() == {name for name in HEADLINES if not name.startswith("minilm")}
    for name, weight in fitted.items():
        assert HEADLINES[name] == pytest.approx(weight, abs=2e-4), name


@real
def test_earlier_tests_predict_later_ones():
    """Learned up to the middle of 2014; held against the scores of tests after that."""
    tests = read_upworthy(min_headlines=2, min_impressions=100)
    weights = fit_prior([test for test in tests if test.week <= 201430]).weights
    predicted, found = [], []
    for test in tests:
        if test.week > 201430:
            scores = np.array([score(weights, arm.headline) for arm in test.arms])
            rates = np.array([arm.ctr for arm in test.arms]) / test.uniform_ctr
            predicted += (scores - scores.mean()).tolist()
            found += (rates - 1.0).tolist()
    assert np.corrcoef(predicted, found)[0, 1] > 0.15


@real
def test_the_command_prints_a_policy_that_replay_takes(tmp_path):
    options = ["--until", "201320", "--embedding", "wordllama"]
    done = CliRunner().invoke(app, ["fit-prior", str(DATA), *OPTIONS, *options])
    assert done.exit_code == 0
    path = tmp_path / "policy.json"
    path.write_text(done.stdout)
    assert parse_policy(str(path)) == json.loads(done.stdout)
    assert open_policy(parse_policy(str(path))).spec["weights"]
    assert "creatives was predicted of those held out" in done.stderr


def test_what_a_form_is_worth_does_not_depend_on_the_embedding_that_comes_with_it():
    tests = made(12, 0.6)
    words, minilm = fit_prior(tests).weights, fit_prior(tests, "minilm").weights
    form = {name: weight for name, weight in words.items() if name.startswith("text")}
    assert form
    assert form.items() <= minilm.items()
    assert not [name for name in minilm if name.startswith("embedding")]
