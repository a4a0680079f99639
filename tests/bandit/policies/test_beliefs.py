"""What policies say that they believe of creatives: who says so, and that it follows what came."""

import pytest

from bandit.policies import open_policy, parse_policy
from bandit.policy import HasPosterior
from tests.bandit.policy_laws import Step, action, teach

BELIEVING = [
    "thompson",
    "gaussian_thompson",
    "top_two",
    "discounted_thompson",
    "text_thompson",
    {"name": "text_thompson", "segments": ["hour"]},
    {"name": "newcomers", "policy": {"name": "thompson"}},
    {"name": "floor", "policy": {"name": "text_thompson"}},
    {"name": "apprentice", "policy": {"name": "top_two"}},
    {"name": "floor", "policy": {"name": "apprentice", "policy": {"name": "thompson"}}},
]


def opened(spec):
    return open_policy(parse_policy(spec) if isinstance(spec, str) else spec)


@pytest.mark.parametrize("spec", BELIEVING, ids=str)
def test_beliefs_narrow_around_what_was_seen(spec):
    policy = opened(spec)
    assert isinstance(policy, HasPosterior)
    pair = (action(0), action(1))
    before = policy.beliefs(pair)
    assert all(each.low < each.mean < each.high for each in before)
    teach(policy, [Step(0, [0, 1], n % 2, float(n % 2 == 0 and n % 4 == 0)) for n in range(2000)])
    good, bad = policy.beliefs(pair)
    assert good.mean == pytest.approx(0.5, abs=0.06)
    assert bad.high < 0.2 < good.low
    assert breadth(good) < breadth(before[0])


def breadth(belief):
    return (belief.high - belief.low) / max(belief.mean, 0.01)


@pytest.mark.parametrize(
    "spec", ["uniform", {"name": "floor", "policy": {"name": "uniform"}}], ids=str
)
def test_who_has_no_posterior_does_not_claim_one(spec):
    assert not isinstance(opened(spec), HasPosterior)


def test_no_actions_have_no_beliefs():
    for spec in BELIEVING:
        assert opened(spec).beliefs(()) == []
