"""Vowpal Wabbit: the laws, for explorers that save everything and for those that forget."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bandit.errors import PolicySpecError, PolicyStateError
from bandit.features.flatten import Feature, flatten, vw_text
from bandit.policies import load_policy, open_policy
from bandit.policies.base import seal, unseal
from bandit.policies.vw.model import REBASE_EVERY, VwModel
from bandit.policies.vw.policy import Vw, VwConfig
from bandit.policy import Correctable, sample
from streams.events import EMPTY, Action, Decision
from tests.bandit.decisions import a_decision
from tests.bandit.policy_laws import (
    CONTEXTS,
    FeatureLaws,
    LearningLaws,
    PolicyLaws,
    Step,
    action,
    as_dict,
    ask,
    law,
    raw,
)

SQUARECB = "--cb_explore_adf --squarecb --cb_type mtr -b 10"


class TestSquareCbLaws(PolicyLaws, LearningLaws, FeatureLaws):
    spec = f"vw:{SQUARECB} -q ui --gamma_scale 100"
    largest_reward = 1e9


class TestDefaultLaws(PolicyLaws, LearningLaws, FeatureLaws):
    spec = "vw"
    largest_reward = 1e9


class TestBagLaws(PolicyLaws, FeatureLaws):
    """Its random numbers are not in the saved model."""

    spec = "vw:--cb_explore_adf --bag 3 --epsilon 0.1 -b 8"


EXPLORERS = [
    "--epsilon 0.1",
    "--epsilon 0.1 --first_only",
    "--first 10",
    "--softmax --lambda 5",
    "--squarecb --cb_type mtr --gamma_scale 50",
    "--squarecb --loss_function logistic --l2 1e-5 --l1 1e-6",
    "--squarecb --sgd --power_t 0.5 --initial_t 1",
    "--squarecb --coin",
    "--squarecb --ftrl --ftrl_alpha 0.1",
    "--squarecb --noconstant --ignore_linear c --interactions ci",
    "--regcb --mellowness 0.1",
    "--regcbopt --cb_min_cost -1 --cb_max_cost 0",
    "--regcbopt",
    "--synthcover --synthcoverpsi 0.2",
    "--cb_type ips --clip_p 0.1",
    "--cb_type dm --quadratic ui --cubic uit",
    "--cb_type dr",
    "--bag 4 --greedify --epsilon 0.05",
    "--cover 3 --psi 0.5 --nounif --epsilon 0.02",
    "--rnd 3 --epsilon 0.025",
]


def vw(args):
    return open_policy({"name": "vw", "args": f"--cb_explore_adf -b 8 {args}"})


def random_steps(n, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        numbers = rng.permutation(8)[: rng.integers(2, 6)].tolist()
        chosen = int(rng.integers(len(numbers)))
        yield Step(
            int(rng.integers(3)), numbers, chosen, float(rng.random() < 0.1 * numbers[chosen])
        )


@pytest.mark.parametrize("args", EXPLORERS)
def test_it_goes_on_exactly_whatever_was_asked_and_wherever_it_was_resumed(args):
    undisturbed, busy = vw(args), vw(args)
    for number, step in enumerate(random_steps(3 * REBASE_EVERY, seed=1)):
        undisturbed.learn(step.decision(number), step.reward)
        if number in (5, 40, REBASE_EVERY, 2 * REBASE_EVERY - 1):
            busy = load_policy(busy.to_bytes())
        if number % 3 == 0 or number > 80:
            ask(busy, step.context, step.actions)
        busy.learn(step.decision(number), step.reward)
    assert busy.to_bytes() == undisturbed.to_bytes()
    pmf = ask(busy, 1, [0, 1, 2, 3, 4])
    assert pmf.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(pmf, ask(undisturbed, 1, [0, 1, 2, 3, 4]))
    np.testing.assert_array_equal(pmf, ask(load_policy(busy.to_bytes()), 1, [0, 1, 2, 3, 4]))


def lines_of(context, actions):
    """The same request as plain text, with nothing prepared."""
    yield "shared " + vw_text(flatten(context, namespace="context"))
    for each in actions:
        features = [Feature("id", each.id, 1.0), *flatten(each.features, namespace="action")]
        yield vw_text(features)


def test_prepared_actions_predict_as_parsed_text_does():
    policy = open_policy({"name": "vw", "args": SQUARECB})
    plain = VwModel(SQUARECB, hash_all=True)
    for number, step in enumerate(random_steps(100, seed=2)):
        decision = step.decision(number)
        ordered = sorted(decision.actions, key=lambda each: (each.id, bytes(each.features)))
        lines = [plain.parse(line) for line in lines_of(decision.context, ordered)]
        expected = np.zeros(len(ordered))
        for position, propensity in plain.predict(lines):
            expected[decision.actions.index(ordered[position])] = propensity
        found = policy.pmf(decision.context, decision.actions)
        np.testing.assert_array_equal(found, expected / expected.sum())
        chosen = ordered.index(decision.action) + 1
        label = f"0:{-step.reward:.9g}:{decision.propensity:.9g} "
        lines[chosen] = plain.parse(label + lines[chosen].text)
        plain.learn(lines)
        policy.learn(decision, step.reward)
    assert unseal(policy.to_bytes())[1] == plain.to_bytes()


texts = st.text(max_size=80) | st.sampled_from(
    ["a|b c", "x:1", "|u y", "\n|id c", "\t", "", "%20", "\x85|", "a\u2028b"]
)


@law
@given(one=texts, other=texts)
def test_no_text_becomes_other_features_than_its_own(one, other):
    """A model that learned one text knows nothing of another, whatever either looks like."""
    policy = open_policy(
        {"name": "vw", "args": "--cb_explore_adf --noconstant -b 22", "ids": False}
    )
    learned = Action("a", Raw(json.dumps({"text": {"headline": one}}).encode()))
    asked = Action("b", Raw(json.dumps({"text": {"headline": other}}).encode()))
    nothing = Action("c", EMPTY)
    step = Step(0, [0, 1], 0, 1.0).decision()
    for _ in range(5):
        policy.learn(Decision(**{**as_dict(step), "actions": (learned, nothing)}), 1.0)
    first, second = policy.pmf(EMPTY, (learned, asked))
    if one == other:
        assert first == second
    else:
        assert first > 0.9
        assert policy.pmf(EMPTY, (asked, nothing)).tolist() == pytest.approx([0.5, 0.5])


def test_it_cannot_be_corrected():
    assert not isinstance(vw(""), Correctable)


def test_an_action_that_is_all_but_ruled_out_is_learned_from_without_damage():
    policy = vw("--squarecb --cb_type mtr")
    decision = Step(1, [0, 1], 1, 1.0).decision()
    rare = Decision(**{**as_dict(decision), "pmf": (1.0 - 1e-30, 1e-30)})
    for _ in range(20):
        policy.learn(rare, 1.0)
    assert np.isfinite(ask(policy, 1, [0, 1])).all()


@pytest.mark.parametrize("actions", [1, 2, 50])
def test_no_features_at_all_are_read_as_none(actions):
    policy = open_policy({"name": "vw", "args": SQUARECB, "ids": False})
    pmf = policy.pmf(EMPTY, [Action(f"{i}") for i in range(actions)])
    assert pmf == pytest.approx(np.full(actions, 1.0 / actions), rel=1e-4)


def test_more_actions_than_are_kept_prepared_are_prepared_anew():
    from bandit.policies.base import CACHE_SIZE

    policy = vw("--softmax")
    before = ask(policy, 1, [0, 1, 2])
    policy.pmf(EMPTY, [Action(f"{i}") for i in range(CACHE_SIZE + 1)])
    np.testing.assert_array_equal(ask(policy, 1, [0, 1, 2]), before)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--squarecb", "add --cb_explore_adf"),
        ("--cb_explore_adf --bogus", "'--bogus'; expected one of: --adaptive, "),
        ("--cb_explore_adf -f /tmp/model", "args has '-f'"),
        ("--cb_explore_adf --predictions=/tmp/p", "args has '--predictions=/tmp/p'"),
        ("--cb_explore_adf /etc/passwd", "args has '/etc/passwd'"),
        ("--cb_explore_adf --random_seed 5", "args has '--random_seed'"),
        ("--cb_explore_adf --sparse_weights", "args has '--sparse_weights'"),
        ("--cb_explore_adf --epsilon", "--epsilon has no value"),
        ("--cb_explore_adf --epsilon=", "--epsilon has no value"),
        (
            "--cb_explore_adf --softmax --squarecb",
            "args '--cb_explore_adf --softmax --squarecb': Input prediction",
        ),
        ("--cb_explore_adf --squarecb --cb_type dr", "not a valid choice"),
        ("--cb_explore_adf --epsilon much", "policy 'vw'"),
        ("--cb_explore_adf -b 30", "-b is '30'; expected 1 to 24"),
        ("--cb_explore_adf --bit_precision=1e9", "--bit_precision is '1e9'"),
        ("--cb_explore_adf --bag 1000", "--bag is '1000'; expected 1 to 32"),
        ("--cb_explore_adf 'open", "cannot be split"),
    ],
)
def test_arguments_that_a_policy_may_not_have_are_named(args, message):
    with pytest.raises(PolicySpecError, match=message):
        open_policy({"name": "vw", "args": args})


def test_an_option_may_be_joined_to_its_value():
    apart, joined = vw("--epsilon 0.3"), vw("--epsilon=0.3")
    assert ask(apart, 0, [0, 1, 2]).tolist() == ask(joined, 0, [0, 1, 2]).tolist()


def test_a_state_that_is_no_model_is_refused():
    with pytest.raises(PolicyStateError, match="not the state of a vw policy"):
        load_policy(seal({"name": "vw"}, b"\x00"))


def test_what_is_learned_is_kept_in_the_journal_until_the_model_is_saved():
    """A bag's state is a model and the decisions since: it grows, then starts again."""
    policy, sizes = vw("--bag 2"), []
    for number, step in enumerate(random_steps(REBASE_EVERY + 1, seed=4)):
        policy.learn(step.decision(number), step.reward)
        sizes.append(len(policy.to_bytes()))
    assert sizes[:-2] == sorted(sizes[:-2])
    assert sizes[-2] < sizes[-3]


def test_its_features_are_in_the_namespaces_that_it_says():
    context = raw(CONTEXTS[1])
    assert vw_text(flatten(context, namespace="context")) == (
        "|context hour:9 |user plan=free age:0.33 new"
    )
    assert list(lines_of(context, [action(1)]))[1].startswith("|id creative%201%7Cé |text length")


OLDER = {"name": "vw", "args": SQUARECB, "ids": True}


def taught(spec, names):
    """A policy that has learned that the first of these creatives alone is clicked."""
    policy, actions = open_policy(spec), tuple(Action(name) for name in names)
    for number in range(60):
        index = number % len(names)
        even = (1 / len(names),) * len(names)
        policy.learn(a_decision(f"{number}", actions, even, index), float(index == 0))
    return policy.pmf(EMPTY, actions)


@pytest.mark.parametrize("spec", [{"name": "vw"}, {"name": "vw", "args": SQUARECB}])
def test_ids_that_are_numbers_are_names(spec):
    pmf = taught(spec, ["7", "007", "1031", f"{2**18 + 7}"])
    assert pmf[0] > 0.5
    # as long as nobody configured it otherwise
    assert np.ptp(taught(OLDER, ["7", "007"])) < 1e-6


def test_a_policy_that_an_older_version_configured_stays_as_it_is():
    assert open_policy(OLDER).spec == OLDER
    assert open_policy({"name": "vw"}).spec["namespaces"] == "by_role"
    assert open_policy({"name": "vw", "args": SQUARECB}).spec["namespaces"] == "by_key"


def test_args_may_say_how_to_hash():
    spec = {"name": "vw", "args": f"{SQUARECB} --hash strings"}
    assert np.ptp(taught(spec, ["7", "007"])) < 1e-6


@pytest.mark.parametrize("nested", [False, True])
def test_the_default_tells_for_whom_each_creative_is(nested):
    """However the context is nested, and with nobody saying what to cross."""
    policy, rng = open_policy({"name": "vw"}), np.random.default_rng(1)
    actions, earned = tuple(Action(name) for name in "abc"), []
    for number in range(1500):
        kind = int(rng.integers(3))
        segment = {"segment": f"s{kind}"}
        context = raw({"user": segment} if nested else segment)
        pmf = policy.pmf(context, actions)
        index = sample(pmf, f"{number}")
        decision = a_decision(f"{number}", actions, pmf, index, context=context)
        policy.learn(decision, float(rng.random() < (0.6 if index == kind else 0.2)))
        earned.append(pmf[kind])
    assert np.mean(earned[-300:]) > 0.8


def test_steps_count_products_where_namespaces_go_by_role():
    context = Raw(b'{"a": {"x": [1, 2, 3]}, "b": {"y": [1, 2, 3, 4]}}')
    action = Action("one", Raw(b'{"text": {"words": [1, 2]}}'))
    crossed = Vw(VwConfig(args="--cb_explore_adf --squarecb -q ca", namespaces="by_role"))
    alone = Vw(VwConfig(args="--cb_explore_adf --squarecb", namespaces="by_role"))
    products = crossed.steps(context, [action]) - alone.steps(context, [action])
    assert products >= 7 * 2
