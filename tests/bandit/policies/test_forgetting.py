"""Names of actions that somebody makes up do not make a policy grow for ever."""

import pytest

import bandit.policies.adaptive.age_blocks as blocks
import bandit.policies.adaptive.slopes as slopes
import bandit.policies.linear.blocks as linear_blocks
from bandit.policies import load_policy, open_policy, simple, thompson
from bandit.policies.base import least_of
from streams.events import Action
from tests.bandit.decisions import a_decision

MOST = 40
SPECS = [
    {"name": "thompson"},
    {"name": "gaussian_thompson"},
    {"name": "epsilon_greedy"},
    {"name": "discounted_thompson", "half_life_seconds": 60},
    {"name": "text_thompson"},
    {"name": "text_thompson", "segments": ["hour"]},
    {"name": "adaptive"},
    {"name": "disjoint_lin_ts"},
]


@pytest.fixture
def few(monkeypatch):
    """Policies that forget soon."""
    monkeypatch.setattr(blocks, "MOST_ARMS", MOST)
    monkeypatch.setattr(linear_blocks, "MOST_ARMS", MOST)
    monkeypatch.setattr(slopes, "MOST_ARMS", MOST)
    for module in (simple, thompson):
        monkeypatch.setattr(module, "MOST_COUNTS", MOST)
    monkeypatch.setattr(simple, "FORGETTING", MOST - MOST // 4)


def decided(number, name, at_ms):
    actions = (Action(name), Action("known"))
    return a_decision(f"e{number}", actions, (0.5, 0.5), 0, at_ms=at_ms, context={"hour": "9"})


def shown(policy, n, first=0):
    for number in range(first, first + n):
        at_ms = 1000 + number * 10
        policy.learn(decided(number, f"made-up-{number}", at_ms), 0.0)
        if number % 3 == 0:
            known = decided(number, "known", at_ms)
            policy.learn(known, 0.0)
            policy.correct(known, 0.0, 1.0)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "-".join(map(str, spec.values())))
def test_state_is_bounded_whatever_actions_are_called(few, spec):
    policy, sizes = open_policy(spec), []
    for round_ in range(6):
        shown(policy, 100, first=round_ * 100)
        sizes.append(len(policy.to_bytes()))
    assert max(sizes[1:]) < 1.6 * sizes[0]
    # What is shown again and again stays, and is known to be better than what is new.
    known, fresh = policy.pmf(decided(0, "x", 0).context, (Action("known"), Action("fresh")))
    assert known > fresh or spec["name"] == "gaussian_thompson"
    # A reward for what is forgotten is none of anybody's.
    before = policy.to_bytes()
    old = decided(1, "made-up-1", 1010)
    policy.correct(old, 0.0, 1.0)
    if spec["name"] in ("thompson", "epsilon_greedy", "discounted_thompson"):
        assert policy.to_bytes() == before
    assert policy.pmf(old.context, old.actions).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "-".join(map(str, spec.values())))
def test_what_is_forgotten_is_the_same_after_a_restart(few, spec):
    whole, again = open_policy(spec), open_policy(spec)
    for round_ in range(12):
        shown(whole, 30, first=round_ * 30)
        shown(again, 30, first=round_ * 30)
        again = load_policy(again.to_bytes())
    assert again.to_bytes() == whole.to_bytes()


def test_the_least_shown_go_first_and_no_one_goes_before_there_are_too_many():
    assert least_of(dict.fromkeys("abcd", 1.0), 4) == []
    assert least_of({"a": 2.0, "b": 1.0, "c": 5.0, "d": 1.0, "e": 1.0}, 4) == ["b", "d"]
