"""Uniform and epsilon-greedy: the laws, and what a prior does."""

import numpy as np
import pytest

from bandit.policies import open_policy
from bandit.policy import sample
from streams.events import EMPTY, Action
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws, Step, ask, teach


class TestUniformLaws(PolicyLaws, CorrectionLaws):
    spec = "uniform"


def test_uniform_gives_each_action_the_same():
    assert (
        open_policy({"name": "uniform"}).pmf(EMPTY, [Action(name) for name in "abcd"]).tolist()
        == [0.25] * 4
    )


class TestEpsilonGreedyLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    spec = "epsilon_greedy:epsilon=0.2"
    largest_reward = 1e9


def greedy(**parameters):
    return open_policy({"name": "epsilon_greedy", **parameters})


def test_the_best_gets_what_is_not_explored_and_a_tie_shares_it():
    policy = teach(greedy(epsilon=0.3), [Step(0, [number], 0, 1.0) for number in (0, 1)])
    assert ask(policy, 0, [0, 1, 2]) == pytest.approx([0.45, 0.45, 0.1])
    policy.learn(Step(0, [1], 0, 0.0).decision(), 0.0)
    assert ask(policy, 0, [0, 1, 2]) == pytest.approx([0.8, 0.1, 0.1])


def test_the_prior_stands_for_showings_that_earned_its_mean():
    """One click in 11 showings: (1 + 0.6) / 21 is above 0.06, and 1.6 / 28 below."""
    policy = greedy(epsilon=0.0, mean=0.06, weight=10)
    teach(policy, [Step(0, [0], 0, 1.0), *[Step(0, [0], 0, 0.0)] * 10])
    assert ask(policy, 0, [0, 1]).tolist() == [1.0, 0.0]
    policy = teach(policy, [Step(0, [0], 0, 0.0)] * 7)
    assert ask(policy, 0, [0, 1]).tolist() == [0.0, 1.0]


def test_without_exploration_only_the_best_is_played():
    assert greedy(epsilon=0).pmf(EMPTY, [Action("a"), Action("b")]).tolist() == [0.5, 0.5]
    assert greedy(epsilon=1).pmf(EMPTY, [Action("a"), Action("b")]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("spec", ["epsilon_greedy", "gaussian_thompson"])
@pytest.mark.parametrize(("level", "size"), [(0.0, 1.0), (100.0, 20.0), (-1e4, 1.0)])
def test_rewards_of_any_level_and_size_lead_to_the_better_creative(spec, level, size):
    """Whichever came first, and though nobody said what rewards are like."""
    policy, rng = open_policy({"name": spec}), np.random.default_rng(5)
    for number in range(600):
        chosen = sample(ask(policy, 1, [0, 1, 2, 3]), f"{number}")
        reward = float(level + size * (chosen == 2) + size * rng.normal() / 2)
        policy.learn(Step(1, [0, 1, 2, 3], chosen, reward).decision(number), reward)
    assert ask(policy, 1, [0, 1, 2, 3]).argmax() == 2
    assert ask(policy, 1, [0, 1, 2, 3])[2] > 0.8


def test_while_one_creative_is_all_that_was_shown_it_stays_if_it_earns():
    policy = teach(greedy(epsilon=0.3), [Step(0, [0], 0, 0.7), Step(0, [0], 0, 0.1)])
    assert ask(policy, 0, [0, 1, 2]) == pytest.approx([0.8, 0.1, 0.1])
    policy = teach(greedy(epsilon=0.3), [Step(0, [0], 0, 0.0)])
    assert ask(policy, 0, [0, 1, 2]) == pytest.approx([1 / 3] * 3)
