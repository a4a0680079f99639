"""What a request must be: the rules, and where each refusal points."""

import pytest

A = {"id": "a", "features": [{"kind": "x"}]}
B = {"id": "b", "features": [{"kind": "y"}]}
LONG = "x" * 257


def many(count):
    return [{"id": str(n), "features": [{"n": n}]} for n in range(count)]


def refused(response, version="v1.1-preview.3"):
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "target", "details", "innerError"}
    assert response.headers["x-ms-error-code"] == error["code"]
    return error["code"], error["innerError"]["code"], error["target"]


def post(api, path, body, version="/v1.1-preview.3"):
    return api.client.post(f"/personalizer{version}/{path}", json=body)


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        ({}, "body_invalid", None),
        ({"actions": []}, "actions_count_invalid", "actions"),
        ({"actions": many(51)}, "actions_count_invalid", "actions"),
        ({"actions": [A, A]}, "duplicate_action_id", "actions"),
        ({"actions": [{"id": "", "features": [{"a": 1}]}]}, "action_id_invalid", "actions[0].id"),
        ({"actions": [A, {"id": LONG, "features": [{"a": 1}]}]}, "action_id_invalid",
         "actions[1].id"),
        ({"actions": [A, {"id": "b"}]}, "action_without_features", "actions[1].features"),
        ({"actions": [A, {"id": "b", "features": []}]}, "action_without_features",
         "actions[1].features"),
        ({"actions": [A, {"id": "b", "features": [None, {"x": None}]}]},
         "action_without_features", "actions[1].features"),
        ({"actions": [{"id": "a", "features": [{"tags": ["x", "y"]}]}]}, "features_invalid",
         "actions[0].features[0].tags"),
        ({"actions": [A], "contextFeatures": [{"user": {"ages": [1, True]}}]}, "features_invalid",
         "contextFeatures[0].user.ages"),
        ({"actions": [A], "contextFeatures": {"not": "a list"}}, "body_invalid", "contextFeatures"),
        ({"actions": [A], "eventId": LONG}, "event_id_invalid", "eventId"),
        ({"actions": [A], "eventId": ""}, "event_id_invalid", "eventId"),
        ({"actions": [A, B], "excludedActions": ["a", "b"]}, "all_actions_excluded",
         "excludedActions"),
    ],
)  # fmt: skip
def test_a_rank_is_refused(api, body, code, target):
    assert refused(post(api, "rank", body)) == ("InvalidRankRequest", code, target)


TOP = {"id": "top", "baselineAction": "a"}
SIDE = {"id": "side", "baselineAction": "b"}


@pytest.mark.parametrize(
    ("slots", "code", "target"),
    [
        ([], "slots_count_invalid", "slots"),
        ([TOP, SIDE, {"id": "third", "baselineAction": "a"}], "slots_count_invalid", "slots"),
        ([{"id": LONG, "baselineAction": "a"}], "slot_id_invalid", "slots[0].id"),
        ([TOP, {**TOP, "baselineAction": "b"}], "duplicate_slot_id", "slots"),
        ([{"id": "top"}], "body_invalid", "slots[0]"),
        ([{**TOP, "baselineAction": "z"}], "baseline_unknown", "slots[0].baselineAction"),
        ([TOP, {**SIDE, "excludedActions": ["b"]}], "baseline_excluded",
         "slots[1].baselineAction"),
        ([TOP, {**SIDE, "baselineAction": "a"}], "duplicate_baseline", "slots"),
        ([{**TOP, "features": [{"tags": ["x"]}]}], "features_invalid",
         "slots[0].features[0].tags"),
        ([TOP, {**SIDE, "excludedActions": ["a"]}], "slot_without_actions", "slots[1]"),
    ],
)  # fmt: skip
def test_slots_are_refused(api, slots, code, target):
    answer = post(api, "multislot/rank", {"actions": [A, B], "slots": slots})
    assert refused(answer)[1:] == (code, target)


@pytest.mark.parametrize("value", [1.01, -1.5, None, "1", True])
def test_a_reward_is_refused(api, value):
    code, inner, target = refused(post(api, "events/e/reward", {"value": value}))
    assert (code, target) == ("InvalidRewardRequest", "value")
    assert inner in ("reward_out_of_range", "body_invalid")


def test_rewards_of_slots_are_refused(api):
    twice = {"reward": [{"slotId": "top", "value": 1}, {"slotId": "top", "value": 0}]}
    assert refused(post(api, "multislot/events/e/reward", twice))[1] == "duplicate_slot_id"
    wild = {"reward": [{"slotId": "top", "value": 7}]}
    assert refused(post(api, "multislot/events/e/reward", wild))[2] == "reward[0].value"


def test_what_is_no_json_is_refused(api):
    answer = api.client.post("/personalizer/v1.0/rank", content=b"{")
    assert answer.json()["error"]["code"] == "BadRequest"
    inner = answer.json()["error"]["innerError"]
    assert inner == {"code": "InvalidRankRequest", "innererror": {"code": "body_not_json"}}


def test_as_many_as_may_be_are_taken(api):
    actions = many(50)
    assert post(api, "rank", {"actions": actions, "eventId": "x" * 256}).status_code == 201
    slots = [{"id": f"s{n}", "baselineAction": str(n)} for n in range(20)]
    answer = post(api, "multislot/rank", {"actions": actions, "slots": slots})
    assert len({slot["rewardActionId"] for slot in answer.json()["slots"]}) == 20


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/personalizer/v1.0/rank", 201),
        ("/personalizer/v1.1-preview.1/rank", 201),
        ("/personalizer/v1.1-preview.9/rank", 201),
        ("/personalizer/rank?api-version=2022-09-01-preview", 201),
        ("/placements/default//personalizer/v1.0/rank", 201),
        ("/placements/default/personalizer/v1.0/rank", 201),
        ("/placements/nobody/personalizer/v1.0/rank", 404),
        ("/personalizer/rank", 400),
        ("/personalizer/rank?api-version=2021-01-01", 400),
        ("/personalizer/v2.0/rank", 400),
        ("/personalizer/v1.0/unknown", 404),
    ],
)
def test_addresses(api, path, status):
    answer = api.client.post(path, json={"actions": [A]})
    assert answer.status_code == status, answer.text


def test_another_method_is_refused(api):
    assert api.client.get("/personalizer/v1.0/rank").status_code == 405


def test_too_large_a_body_is_refused(api):
    answer = api.client.post("/personalizer/v1.1-preview.1/rank", content=b" " * (1 << 21))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PayloadSizeExceeded")
