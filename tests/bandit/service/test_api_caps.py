"""Caps over HTTP: set, obeyed, told of, and refused where they leave nothing."""

import time

import msgspec
import pytest

from bandit.eligibility import DAY_MS
from bandit.policies import open_policy
from streams.events.placement import Shown
from tests.bandit.service.api_server import code_of


def ids(answer):
    return [entry["id"] for entry in answer["pmf"]]


def policy_of(api, name):
    return api.client.get(f"/v1/placements/{name}/policy").json()


def test_what_a_user_has_seen_enough_has_no_share(api):
    name = api.placement("frequent", caps={"per_user": 2})
    answer = api.rank(name, context={"seen": {"a": 2, "b": 1}}).json()
    assert ids(answer) == ["b", "c"]
    decision = api.decision(answer["event_id"])
    assert [action.id for action in decision.actions] == ["b", "c"]
    assert list(decision.pmf) == [entry["propensity"] for entry in answer["pmf"]]
    assert sum(decision.pmf) == pytest.approx(1.0)


def test_where_everything_is_capped_the_answer_says_so(api):
    name = api.placement("worn", caps={"per_user": 1})
    answer = api.rank(name, context={"seen": {"a": 1, "b": 1, "c": 5}})
    assert code_of(answer) == (409, "all_creatives_capped")


def test_counts_that_cannot_be_read_are_refused(api):
    name = api.placement("unread", caps={"per_user": 1}, seen={"path": "user.ads"})
    answer = api.rank(name, context={"user": {"ads": ["a"]}})
    assert code_of(answer) == (422, "seen_invalid")
    assert answer.json()["error"]["target"] == "context.user.ads"


def test_budgets_follow_the_published_counts(api):
    name = api.placement("spent", caps={"per_day": 5, "total": 9})
    assert policy_of(api, name)["capped"] == []
    today = time.time_ns() // 1_000_000 // DAY_MS
    yesterday = today - 1
    shown = {"a": Shown(9, yesterday, 1), "b": Shown(6, yesterday, 5), "c": Shown(5, today, 5)}
    api.publish(name, open_policy({"name": "thompson"}), **shown)
    served = policy_of(api, name)
    assert served["capped"] == ["a", "c"]
    assert ids(served) == ids(api.rank(name).json()) == ["b"]


def test_slots_share_what_is_left(api):
    name = api.placement("slotted", caps={"per_user": 1})
    body = {"context": {"seen": {"b": 1}}, "slots": [{"id": "top"}, {"id": "side"}]}
    answer = api.rank(name, **body).json()
    assert {slot["action"]["id"] for slot in answer["slots"]} == {"a", "c"}
    too_many = body | {"slots": [{"id": str(n)} for n in range(3)]}
    assert code_of(api.rank(name, **too_many)) == (409, "slot_without_actions")


def test_a_creatives_own_caps_are_kept_and_may_be_changed(api):
    name = api.placement("own-caps", creatives=())
    url = f"/v1/placements/{name}/creatives"
    caps = {"per_user": 1, "per_day": None, "total": None}
    made = api.client.post(
        url, json=[{"id": "x", "parts": {"h": "X"}, "caps": caps}, {"id": "y", "parts": {"h": "Y"}}]
    ).json()["items"]
    assert [each["caps"] for each in made] == [caps, None]
    context = {"seen": {"x": 1, "y": 1}}
    assert ids(api.rank(name, context=context).json()) == ["y"]
    paused = api.client.patch(f"{url}/x", json={"status": "paused"}).json()
    assert paused["caps"] == caps
    raised = {"status": "live", "caps": {"per_user": 2}}
    assert api.client.patch(f"{url}/x", json=raised).json()["caps"] == caps | {"per_user": 2}
    assert set(ids(api.rank(name, context=context).json())) == {"x", "y"}
    assert api.client.get(f"{url}/x").json()["caps"]["per_user"] == 2


def test_a_placements_caps_are_shown_and_checked(api):
    body = {"caps": {"total": 3}, "seen": {"feature": True}}
    made = api.client.put("/v1/placements/shown-caps", json=body).json()
    assert made["caps"] == {"per_user": None, "per_day": None, "total": 3}
    assert made["seen"] == {"path": "seen", "feature": True}
    assert api.client.get("/v1/placements/shown-caps").json() == made
    for caps in ({"total": 0}, {"per_week": 3}, {"per_user": 1.5}):
        answer = api.client.put("/v1/placements/shown-caps", json={"caps": caps})
        assert code_of(answer) == (422, "body_invalid")


def test_fatigue_is_logged_with_the_action(api):
    name = api.placement("tired", seen={"feature": True}, policy={"name": "lin_ts"})
    answer = api.rank(name, context={"seen": {"b": 3}}).json()
    features = [msgspec.json.decode(a.features) for a in api.decision(answer["event_id"]).actions]
    assert features == [{"length": 1}, {"length": 1, "fatigue": {"seen": 0.3}}, {"length": 1}]


def test_a_kinds_cap_arrives_in_the_catalogue(api):
    kinds = {"sale": {"weight": 0.005, "cap": 200}, "click": {}}
    made = api.client.put("/v1/placements/valued", json={"reward": {"kinds": kinds}}).json()
    assert made["reward"]["kinds"]["sale"]["cap"] == 200
    assert made["reward"]["kinds"]["click"]["cap"] is None
