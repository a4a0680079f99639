import pytest
from msgspec.structs import replace

from bandit.abtests.data import AbTest, AbTestArm
from generator.refresh import RotationState
from generator.reward.regression import from_ab_tests, from_states
from streams.catalogue.state import Catalogue
from tests.bandit.decisions import a_creative
from tests.generator.shown import interaction


def test_arms_of_a_test_share_its_noise():
    tests = [
        AbTest("t", 201301, (AbTestArm("a", 1000, 10), AbTestArm("b", 1000, 30))),
        AbTest("nothing", 201301, (AbTestArm("a", 1000, 0), AbTestArm("b", 1000, 0))),
    ]
    a, b = from_ab_tests(tests)
    assert (a.group, a.text, a.rate) == ("t", "a", 0.01)
    assert a.variance == b.variance == pytest.approx(0.02 * 0.98 / 1000)


def made_catalogue(placements=("home",), **parts):
    catalogue = Catalogue()
    for placement in placements:
        for name in "ab":
            creative = a_creative(name, placement=placement)
            catalogue.apply(replace(creative, parts=creative.parts | parts), 0)
    return catalogue


def states_of(interactions):
    states = {}
    for each in interactions:
        states.setdefault(each.decision.placement, RotationState()).add(each)
    return states


def shown(number, pmf, index, reward, placement="home"):
    return interaction(number, "ab", index, reward, pmf=pmf, placement=placement)


def test_easy_users_do_not_make_a_creative_look_good():
    """`a` is seen to those who click anything, `b` to the others; both are equally good."""
    seen = []
    for number in range(400):
        easy = number % 2 == 0
        pmf = (0.9, 0.1) if easy else (0.1, 0.9)
        index = 0 if (number // 2) % 10 < round(10 * pmf[0]) else 1
        seen.append(shown(number, pmf, index, 1.0 if easy else 0.0))
    plain = {k: [i.reward for i in seen if i.decision.index == k] for k in (0, 1)}
    assert sum(plain[0]) / len(plain[0]) > 0.85
    a, b = from_states(states_of(seen), made_catalogue(body="text"))
    assert (a.text, b.text) == ("text\na", "text\nb")
    assert a.rate == pytest.approx(0.5, abs=0.05)
    assert b.rate == pytest.approx(0.5, abs=0.05)
    # one over the propensity costs certainty: as if fewer had seen it
    assert a.variance > 0.25 / 200


def test_placements_are_groups_and_strangers_are_left_out():
    seen = [
        shown(n, (0.5, 0.5), n % 2, float(n % 4 == 0), placement)
        for n in range(40)
        for placement in ("home", "shop")
    ]
    states = states_of(seen)
    examples = from_states(states, made_catalogue(("home", "shop")))
    assert [e.group for e in examples] == ["home", "home", "shop", "shop"]
    assert [e.group for e in from_states(states, made_catalogue(("shop",)))] == ["shop", "shop"]


def test_a_placement_where_nobody_or_everybody_clicked_tells_nothing():
    for reward in (0.0, 1.0):
        seen = [shown(n, (0.5, 0.5), n % 2, reward) for n in range(40)]
        assert from_states(states_of(seen), made_catalogue()) == []
