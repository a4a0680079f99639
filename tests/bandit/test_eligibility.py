"""Caps: who is left to choose from, and what the log counts."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from bandit.eligibility import DAY_MS, constraints_of, count_shown
from bandit.errors import RequestError
from bandit.policies import open_policy
from streams.events import Action
from streams.events.placement import Caps, Seen, Shown
from tests.bandit.histories import ACTIONS, creative, decision, placement

DAY = 20_000
NOON_MS = DAY * DAY_MS + DAY_MS // 2


def raw(value):
    return Raw(json.dumps(value).encode())


def constraints(default=UNSET, own=None, *, seen=UNSET, shown=None):
    """The constraints of a placement with creatives a, b and c."""
    creatives = {
        action.id: msgspec.structs.replace(creative(action), caps=(own or {}).get(action.id, UNSET))
        for action in ACTIONS
    }
    return constraints_of(placement(caps=default, seen=seen), creatives, shown or {})


def left(limits, context=None, now_ms=NOON_MS):
    return [action.id for action in limits.left(raw(context or {}), ACTIONS, now_ms)]


def test_without_caps_there_are_no_constraints():
    assert constraints() is None


@pytest.mark.parametrize(("times", "allowed"), [(4, ["a", "b", "c"]), (5, ["b", "c"])])
def test_a_total_is_reached_exactly(times, allowed):
    limits = constraints(own={"a": Caps(total=5)}, shown={"a": Shown(times, DAY, 1)})
    assert left(limits) == allowed


def test_a_daily_cap_ends_with_its_day():
    limits = constraints(Caps(per_day=5), shown={"b": Shown(9, DAY, 5), "c": Shown(9, DAY, 4)})
    assert left(limits) == ["a", "c"]
    assert left(limits, now_ms=NOON_MS + DAY_MS) == ["a", "b", "c"]


def test_a_users_cap_is_held_against_what_the_context_says():
    limits = constraints(Caps(per_user=2))
    assert left(limits, {"seen": {"a": 2, "b": 1, "unknown": 9}}) == ["b", "c"]
    assert left(limits, {}) == left(limits, {"seen": None}) == ["a", "b", "c"]


def test_what_was_seen_may_lie_deeper():
    limits = constraints(Caps(per_user=1), seen=Seen(path="user.ads"))
    assert left(limits, {"user": {"ads": {"c": 1}}, "seen": {"a": 1}}) == ["a", "b"]


def test_a_creatives_own_caps_replace_the_placements():
    shown = {action.id: Shown(7, DAY, 7) for action in ACTIONS}
    limits = constraints(Caps(total=7), {"b": Caps(total=8)}, shown=shown)
    assert left(limits) == ["b"]


def test_the_counts_may_move_on():
    limits = constraints(Caps(total=1))
    assert left(limits) == ["a", "b", "c"]
    assert left(limits.after({"a": Shown(1, DAY, 1)})) == ["b", "c"]


def test_nothing_left_is_refused():
    limits = constraints(Caps(per_user=1))
    with pytest.raises(RequestError) as caught:
        limits.allowed(raw({"seen": {"a": 1, "b": 1, "c": 1}}), ACTIONS, NOON_MS)
    assert (caught.value.status, caught.value.code) == (409, "all_creatives_capped")


@pytest.mark.parametrize("seen", [3, [1], {"a": -1}, {"a": "2"}, {"a": 1.5}, {"a": None}])
def test_counts_that_are_none_are_refused(seen):
    limits = constraints(Caps(per_user=1), seen=Seen(path="user.ads"))
    with pytest.raises(RequestError) as caught:
        limits.left(raw({"user": {"ads": seen}}), ACTIONS, NOON_MS)
    assert (caught.value.code, caught.value.target) == ("seen_invalid", "context.user.ads")


def test_the_live_creatives_stay_the_same_tuple_while_the_same_are_capped():
    limits = constraints(Caps(total=5), shown={"a": Shown(5, DAY, 1)})
    assert constraints(Caps(total=9)).left(raw({}), ACTIONS, NOON_MS) is ACTIONS
    before = limits.left(raw({}), ACTIONS, NOON_MS)
    later = limits.after({"a": Shown(5, DAY, 1), "b": Shown(1, DAY, 1)})
    assert later.left(raw({}), ACTIONS, NOON_MS) is before


def test_how_often_it_was_seen_becomes_a_feature():
    limits = constraints(seen=Seen(feature=True))
    actions = (Action("a", raw({"length": 3})), Action("b"), Action("c", Raw(b"{ }")), Action("d"))
    context = raw({"seen": {"a": 1, "b": 10, "c": 12, "d": 0}})
    found = limits.left(context, actions, NOON_MS)
    assert [msgspec.json.decode(action.features) for action in found] == [
        {"length": 3, "fatigue": {"seen": 0.1}},
        {"fatigue": {"seen": 1.0}},
        {"fatigue": {"seen": 1.0}},
        {},
    ]


@given(days=st.lists(st.integers(0, 3), max_size=12))
def test_showings_are_counted_by_day(days):
    policy, shown = open_policy({"name": "uniform"}), {}
    for day in days:
        made = decision("e", policy, "v", actions=ACTIONS[:1])
        count_shown(shown, msgspec.structs.replace(made, timestamp_ms=day * DAY_MS + 5))
    latest = max(days, default=0)
    expected = {"a": Shown(len(days), latest, days.count(latest))} if days else {}
    assert shown == expected
