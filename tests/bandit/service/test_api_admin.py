import json

import pytest

from bandit.policies import DEFAULT, open_policy
from streams.catalogue.state import CatalogueReader
from streams.events import Generation
from tests.bandit.service.api_server import code_of


def creatives(name):
    return f"/v1/placements/{name}/creatives"


def test_a_placement_is_made_changed_and_ended(api):
    made = api.client.put("/v1/placements/lived", json={"learn": "window"})
    assert made.status_code == 201
    assert made.json()["learn"] == "window"
    assert made.json()["reward"]["window_seconds"] == 600
    assert api.client.get("/v1/placements/lived").json() == made.json()
    again = api.client.put("/v1/placements/lived", json={"learn": "realtime"})
    assert (again.status_code, again.json()["learn"]) == (200, "realtime")
    assert api.client.delete("/v1/placements/lived").status_code == 204
    gone = (404, "placement_not_found")
    assert code_of(api.client.get("/v1/placements/lived")) == gone
    assert code_of(api.client.delete("/v1/placements/lived")) == gone
    assert code_of(api.rank("lived")) == gone
    assert api.client.put("/v1/placements/lived", json={}).status_code == 201


def test_putting_the_same_again_writes_nothing(api):
    api.client.put("/v1/placements/still", json={})
    reader = CatalogueReader(api.log)
    reader.catch_up()
    assert api.client.put("/v1/placements/still", json={}).status_code == 200
    assert not reader.catch_up()


def test_a_policy_is_kept_in_full_so_that_a_default_may_change_later(api):
    answer = api.client.put("/v1/placements/full", json={"policy": {"name": "thompson"}}).json()
    assert answer["policy"] == open_policy({"name": "thompson"}).spec
    assert answer["policy"].keys() > {"name"}


def test_a_new_placement_has_the_default_for_its_rewards(api):
    shares = api.client.put("/v1/placements/shares", json={}).json()["policy"]
    assert shares == open_policy(DEFAULT).spec
    wide = api.client.put("/v1/placements/wide", json={"reward": {"maximum": 20}}).json()["policy"]
    assert wide["name"] == "hybrid"
    assert api.rank(api.placement("ranked", ["a", "b"], reward={"minimum": -1})).status_code == 200


def test_a_policy_that_is_left_out_stays_as_it_is(api):
    policy = api.client.put("/v1/placements/old", json={"policy": {"name": "thompson"}}).json()
    answer = api.client.put("/v1/placements/old", json={"reward": {"window_seconds": 9}}).json()
    assert answer["policy"] == policy["policy"]
    assert answer["reward"]["window_seconds"] == 9
    too_wide = api.client.put("/v1/placements/old", json={"reward": {"maximum": 9}})
    assert code_of(too_wide) == (422, "policy_spec_invalid")


def test_a_policy_that_cannot_learn_from_the_rewards_is_refused(api):
    body = {"reward": {"minimum": -1}, "policy": {"name": "thompson"}}
    answer = api.client.put("/v1/placements/negative", json=body)
    assert code_of(answer) == (422, "policy_spec_invalid")


def test_the_reward_rule_arrives_in_the_catalogue(api):
    rule = {
        "kinds": {"click": {"weight": 0.2, "aggregation": "max"}, "sale": {"window_seconds": 99}},
        "default": -1, "window_seconds": 7, "grace_seconds": 0, "minimum": -2, "maximum": 3,
    }  # fmt: skip
    body = {"reward": rule, "policy": {"name": "gaussian_thompson"}}
    answer = api.client.put("/v1/placements/ruled", json=body).json()
    assert answer["reward"]["kinds"]["sale"] == {
        "weight": 1.0,
        "aggregation": "sum",
        "window_seconds": 99,
        "cap": None,
    }
    reader = CatalogueReader(api.log)
    reader.catch_up()
    found = reader.catalogue.placement("ruled").reward
    assert (found.minimum, found.maximum, found.default) == (-2, 3, -1)
    assert found.kinds["click"].weight == 0.2
    assert found.kinds["sale"].window_seconds == 99


def test_a_policy_that_cannot_be_corrected_does_not_learn_in_real_time(api):
    body = {"policy": {"name": "vw", "args": "--cb_explore_adf --squarecb --cb_type mtr"}}
    assert code_of(api.client.put("/v1/placements/vw", json=body | {"learn": "realtime"})) == (
        422,
        "policy_spec_invalid",
    )


def test_pages_follow_one_another(api):
    name = api.placement("paged", [f"c{n}" for n in range(5)])
    seen, after = [], {}
    while True:
        page = api.client.get(creatives(name), params={"limit": 2, **after}).json()
        seen += [creative["id"] for creative in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == ["c0", "c1", "c2", "c3", "c4"]
    names = [p["name"] for p in api.client.get("/v1/placements?limit=1000").json()["items"]]
    assert names == sorted(names)
    assert name in names


def test_a_creative_is_live_at_once_and_can_be_ranked(api):
    name = api.placement("first", [])
    body = {"parts": {"headline": "Warm feet", "description": "All winter"}}
    (made,) = api.client.post(creatives(name), json=body).json()["items"]
    assert made["status"] == "live"
    assert made["features"]
    assert api.rank(name).json()["action"] == {"id": made["id"], "parts": body["parts"]}
    assert api.client.get(f"{creatives(name)}/{made['id']}").json() == made
    assert code_of(api.client.post(creatives(name), json=body)) == (409, "creative_exists")


def test_features_given_are_kept(api):
    name = api.placement("given", [])
    body = {"id": "x/y é", "parts": {"headline": "h"}, "features": {"a": [1, 2.5], "é": "x"}}
    api.client.post(creatives(name), json=body)
    (action,) = api.decision(api.rank(name).json()["event_id"]).actions
    assert bytes(action.features).decode() == '{"a":[1,2.5],"é":"x"}'
    assert api.client.get(f"{creatives(name)}/x/y é").json()["features"] == body["features"]


def test_many_creatives_come_all_or_none(api):
    name = api.placement("all", ["a"])
    new = [{"id": "b", "parts": {"headline": "b"}}, {"id": "a", "parts": {"headline": "a"}}]
    assert code_of(api.client.post(creatives(name), json=new)) == (409, "creative_exists")
    twice = [new[0], new[0]]
    assert code_of(api.client.post(creatives(name), json=twice)) == (409, "creative_exists")
    assert len(api.client.get(creatives(name)).json()["items"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"parts": {}},
        {"parts": {"headline": 1}},
        {"parts": {"headline": "\ud800"}},
        {"parts": {"headline": "h"}, "id": ""},
        {"parts": {"headline": "h"}, "id": "x" * 257},
        {"parts": {"headline": "h"}, "status": "rejected"},
        {"parts": {"headline": "h"}, "features": []},
        {"parts": {"headline": "h"}, "features": {"a": "\ud800"}},
        {"parts": {"headline": "h"}, "colour": "red"},
        [],
    ],
)
def test_a_creative_that_is_off_is_refused(api, body):
    api.placement("picky", [])
    answer = api.client.post(
        creatives("picky"), content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert code_of(answer) == (422, "body_invalid")


def test_the_status_moves_only_as_it_may(api):
    name = api.placement("moves", [])
    body = {"id": "c", "parts": {"headline": "h"}, "status": "proposed"}
    api.client.post(creatives(name), json=body)

    def move(status, **more):
        return api.client.patch(f"{creatives(name)}/c", json={"status": status, **more})

    invalid = (409, "status_transition_invalid")
    assert code_of(move("live")) == invalid
    for status in ("screened", "live", "paused", "live", "live", "retired"):
        answer = move(status)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert code_of(move("live")) == invalid
    assert code_of(move("rejected")) == (422, "reason_missing")
    assert move("rejected", reason="claims: unproven").json()["reason"] == "claims: unproven"
    assert code_of(move("proposed")) == invalid
    assert code_of(api.client.patch(f"{creatives(name)}/d", json={"status": "live"})) == (
        404,
        "creative_not_found",
    )


def test_a_paused_creative_is_not_shown(api):
    name = api.placement("pausing", ["a", "b"])
    api.client.patch(f"{creatives(name)}/a", json={"status": "paused"})
    assert [entry["id"] for entry in api.rank(name).json()["pmf"]] == ["b"]
    live = api.client.get(creatives(name), params={"status": "live"}).json()["items"]
    assert [creative["id"] for creative in live] == ["b"]


def test_a_generation_is_asked_for_in_the_log(api):
    name = api.placement("generates")
    path = f"/v1/placements/{name}/generations"
    body = {"brief": {"product": "socks"}, "n": 4, "seed": 7, "winners": ["Warm feet"]}
    answer = api.client.post(path, json=body)
    assert answer.status_code == 202
    asked = answer.json()
    assert asked["status"] == "requested"
    assert api.client.get(f"{path}/{asked['id']}").json() == asked
    assert api.client.get(path).json()["items"] == [asked]
    reader = CatalogueReader(api.log)
    reader.catch_up()
    found = reader.catalogue.generation(asked["id"])
    assert isinstance(found, Generation)
    assert (bytes(found.brief), found.n, found.seed) == (b'{"product":"socks"}', 4, 7)
    assert found.winners == ("Warm feet",)
    other = api.placement("other")
    assert code_of(api.client.get(f"/v1/placements/{other}/generations/{asked['id']}")) == (
        404,
        "generation_not_found",
    )


def test_a_generation_without_a_seed_gets_one(api):
    name = api.placement("seeded")
    path = f"/v1/placements/{name}/generations"
    seeds = {api.client.post(path, json={"brief": {}}).json()["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_the_policy_is_shown_with_its_pmf(api):
    name = api.placement("shown", ["a", "b"], policy={"name": "uniform"})
    path = f"/v1/placements/{name}/policy"
    found = api.client.get(path, params={"context": '{"device": "phone"}'}).json()
    assert found["spec"] == {"name": "uniform"}
    assert found["pmf"] == [{"id": "a", "propensity": 0.5}, {"id": "b", "propensity": 0.5}]
    assert (found["offset"], found["age_ms"]) == (0, None)
    assert found["version"] == api.rank(name).json()["policy_version"]
    bare = api.placement("shown-bare", [])
    assert api.client.get(f"/v1/placements/{bare}/policy").json()["pmf"] == []


def test_a_policy_that_looks_for_the_best_tells_its_verdict(api):
    name = api.placement("searched", ["a", "b"], policy={"name": "top_two"})
    verdict = api.client.get(f"/v1/placements/{name}/policy").json()["verdict"]
    assert verdict == {"creative_id": "a", "posterior": 0.5, "decided": False}
    other = api.placement("earning", policy={"name": "thompson"})
    assert api.client.get(f"/v1/placements/{other}/policy").json()["verdict"] is None
