import random

import msgspec
import pytest

from bandit.ope.estimators.snips import rank_winners
from bandit.ope.intervals import wilson_interval
from streams.events import Action
from tests.bandit import histories
from tests.bandit.decisions import a_decision

A, B = Action("a"), Action("b")


def interaction(sequence, index, propensity, reward, **fields):
    pmf = (propensity, 1 - propensity) if index == 0 else (1 - propensity, propensity)
    decision = a_decision(f"e{sequence}", (A, B), pmf, index, at_ms=sequence)
    return histories.interaction(decision, sequence, reward, **fields)


def test_more_evidence_for_the_same_rate_ranks_higher():
    few = [interaction(i, 0, 0.5, float(i < 2)) for i in range(4)]
    many = [interaction(100 + i, 1, 0.5, float(i < 50)) for i in range(100)]
    first, second = rank_winners(few + many)
    assert (first.creative_id, second.creative_id) == ("b", "a")
    assert first.estimate == second.estimate == 0.5
    assert first.lower > second.lower


def test_a_correction_replaces_the_reward_and_is_no_second_showing():
    (winner,) = rank_winners(
        [
            interaction(0, 0, 0.5, 0.0, status="provisional"),
            interaction(1, 0, 0.5, 1.0, previous=0.0, status="corrected"),
            interaction(2, 0, 0.5, 1.0, previous=1.0, status="closed"),
        ]
    )
    assert (winner.shown, winner.estimate) == (1, 1.0)


def test_an_arm_shown_mostly_to_easy_visitors_does_not_look_good_for_it():
    """Both arms earn .5 from easy visitors and .1 from others; the policy shows `a` to the easy."""
    rng = random.Random(7)
    log = []
    for sequence in range(20_000):
        easy = rng.random() < 0.5
        propensity_a = 0.9 if easy else 0.1
        index = 0 if rng.random() < propensity_a else 1
        reward = float(rng.random() < (0.5 if easy else 0.1))
        propensity = propensity_a if index == 0 else 1 - propensity_a
        log.append(interaction(sequence, index, propensity, reward))
    found = {winner.creative_id: winner for winner in rank_winners(log)}
    assert found["a"].estimate == pytest.approx(0.3, abs=0.03)
    assert found["b"].estimate == pytest.approx(0.3, abs=0.03)
    assert found["a"].effective_n < found["a"].shown


def test_no_interactions_no_winners():
    assert rank_winners([]) == []


def test_wilson_interval_covers_at_its_level():
    """The one-sided bound lies above the true rate in at most about 5 % of samples."""
    rng = random.Random(1)
    above = 0
    for _ in range(2000):
        clicks = sum(rng.random() < 0.1 for _ in range(150))
        above += wilson_interval(clicks / 150, 150)[0] > 0.1
    assert above / 2000 < 0.075


def test_what_was_shown_in_place_of_the_policy_counts_for_nothing():
    own = [interaction(i, 0, 0.5, float(i % 2)) for i in range(10)]
    forced = interaction(99, 1, 1.0, 1.0)
    fallback = msgspec.structs.replace(forced.decision, fallback=True, v=2)
    assert rank_winners([*own, msgspec.structs.replace(forced, decision=fallback)]) == (
        rank_winners(own)
    )
