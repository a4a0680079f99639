import json

import numpy as np
import pytest
from msgspec import Raw

from bandit.ope.base import Batch
from bandit.ope.batches import HELD, Kinds, Pages, segment_of
from bandit.ope.policies import Answer
from bandit.ope.readers.events import LoggedEvent
from streams.events import Action
from tests.bandit.decisions import a_decision


def action(name, **features):
    return Action(name, Raw(json.dumps(features).encode()))


ONE = (Action("a"),)


def event(event_id="e", *, context=None, actions=ONE, pmf=(1.0,), index=0, slot=0):
    decision = a_decision(event_id, actions, pmf, index, context=context or {}, slot=slot)
    return LoggedEvent(decision, 1.0)


HOT = (action("h1", tone="hot", length=0.1), action("h2", tone="hot", length=0.2))
COLD = (action("c1", tone="cold", length=0.1),)


def test_creatives_that_say_the_same_are_of_one_kind_in_whatever_order():
    kinds = Kinds(0.9)
    first, second, third = kinds.of((*HOT, *COLD)).tolist()
    assert first == second != third
    third, second, first = Kinds(0.9).of((*COLD, *HOT)[::1]).tolist()
    assert second == first != third
    assert len(set(Kinds(1.0).of((*HOT, *COLD)).tolist())) == 3
    assert len(set(Kinds(-0.99).of((*HOT, *COLD)).tolist())) == 1


def test_a_marginal_weight_is_that_of_the_kind():
    actions = (*HOT, *COLD)
    logged = event(actions=actions, pmf=(0.1, 0.3, 0.6), index=1)
    pmf = np.array([0.7, 0.1, 0.2])
    found = Kinds(0.9).marginal([logged], [Answer(0.1, pmf)])
    assert found.tolist() == pytest.approx([0.8 / 0.4])
    assert Kinds(0.9).marginal([logged], [Answer(0.1, None)]) is None
    assert Kinds(0.9).marginal([logged._replace(whole=False)], [Answer(0.1, pmf)]) is None


def test_marginal_weights_have_a_mean_of_one():
    rng, actions, pmf = np.random.default_rng(1), (*HOT, *COLD), (0.2, 0.3, 0.5)
    answer = Answer(0.0, np.array([0.6, 0.1, 0.3]))
    chosen = rng.choice(3, 20_000, p=pmf)
    by_index = [
        Kinds(0.9).marginal([event(actions=actions, pmf=pmf, index=i)], [answer])[0]
        for i in range(3)
    ]
    assert np.array(by_index)[chosen].mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("segment", "value"),
    [
        ("slot", "2"),
        ("user.device", "mobile"),
        ("user.new", "true"),
        ("user.age", "31"),
        ("user", "–"),
        ("user.plan.name", "–"),
    ],
)
def test_a_segment_is_a_path(segment, value):
    seen = {"user": {"device": "mobile", "new": True, "age": 31}}
    assert segment_of(event(context=seen, slot=2), segment) == value


def columns(*rows):
    reward, propensity, target = np.array(rows, dtype=np.float64).T
    return Batch(reward, propensity, target)


def test_slots_of_an_event_come_together_again():
    pages = Pages(2)
    pages.add([event("x", slot=0), event("y", slot=0)], columns((1, 0.5, 0.25), (0, 0.5, 1)))
    pages.add([event("x", slot=1)], columns((3, 0.2, 0.1)))
    assert pages.take() is None
    slates = pages.take(all_of_them=True)
    assert slates.reward.tolist() == [[1, 3], [0, 0]]
    assert slates.propensity.tolist() == [[0.5, 0.2], [0.5, 1]]
    assert slates.target.tolist() == [[0.25, 0.1], [1, 1]]
    assert pages.take(all_of_them=True) is None


def test_the_newest_events_wait_for_their_slots():
    n = 2 * HELD
    pages = Pages(1)
    pages.add([event(str(i)) for i in range(n)], columns(*[(1, 0.5, 0.5)] * n))
    assert len(pages.take()) == n - HELD
    assert pages.take() is None
