from bandit.learning.fold import PlacementFold
from bandit.learning.trials import Plan
from bandit.policies import open_policy
from streams.events import POLICIES, encode
from streams.logs.base import Message
from tests.bandit.histories import decision, interaction
from tests.bandit.service.api_server import code_of, wait_until

BOLD = {"name": "thompson", "alpha": 5.0}


def policy(name, what):
    return f"/v1/placements/{name}/policy/{what}"


def test_a_policy_is_promoted_compared_and_taken_back(api):
    name = api.placement("versioned", policy={"name": "thompson"})
    first = api.client.get(f"/v1/placements/{name}").json()["policy"]
    answer = api.client.post(policy(name, "promote"), json={"policy": BOLD, "why": "bolder"})
    assert answer.status_code == 200
    assert answer.json()["policy"] == open_policy(BOLD).spec
    (differs,) = api.client.get(policy(name, "diff")).json()
    assert differs == {"parameter": "alpha", "before": 1.0, "after": 5.0}
    back = api.client.post(policy(name, "rollback"), json={})
    assert back.json()["policy"] == first
    found = api.client.get(policy(name, "versions")).json()
    assert [v["number"] for v in found] == [1, 2, 3]
    assert [v["why"] for v in found] == [None, "bolder", "rolled back to version 1"]
    assert [v["decisions"] for v in found] == [None] * 3


def test_what_versions_decided_is_counted_where_that_is_asked_for(api):
    name = api.placement("tallied")
    (found,) = api.client.get(policy(name, "versions"), params={"count": True}).json()
    assert (found["decisions"], found["reward"]) == (0, 0.0)


def test_putting_the_same_after_a_promotion_writes_nothing(api):
    name = api.placement("put-again")
    api.client.post(policy(name, "promote"), json={"policy": BOLD, "why": "bolder"})
    api.placement(name, policy=BOLD)
    assert api.client.get(policy(name, "versions")).json()[-1]["why"] == "bolder"


def test_what_cannot_be_is_refused(api):
    name = api.placement("unversioned")
    post, get = api.client.post, api.client.get
    assert code_of(post(policy(name, "rollback"), json={})) == (404, "version_unknown")
    assert code_of(post(policy(name, "rollback"), json={"version": 9})) == (404, "version_unknown")
    assert code_of(get(policy(name, "diff"))) == (404, "version_unknown")
    slow = {"policy": {"name": "vw"}}
    assert code_of(post(policy(name, "promote"), json=slow)) == (422, "policy_spec_invalid")
    for what in ("versions", "diff"):
        assert code_of(get(policy("nowhere", what))) == (404, "placement_not_found")
    assert code_of(post(policy("nowhere", "rollback"), json={})) == (404, "placement_not_found")


def test_a_challenger_is_named_and_promoted(api):
    name, x = "challenged", {"challengers": {"x": BOLD}, "safety": {"promote": True}}
    made = api.client.put(f"/v1/placements/{name}", json=x)
    assert made.status_code == 201, made.json()
    assert made.json()["challengers"]["x"] == open_policy(BOLD).spec
    assert made.json()["safety"] == {"promote": True, "fall_back": False, "baseline": None}
    promote = policy(name, "promote")
    absent = api.client.post(promote, json={"challenger": "y"})
    assert code_of(absent) == (404, "version_unknown")
    for neither in ({}, {"challenger": "x", "policy": BOLD}):
        assert code_of(api.client.post(promote, json=neither)) == (422, "body_invalid")
    answer = api.client.post(promote, json={"challenger": "x"}).json()
    assert (answer["policy"], answer["challengers"]) == (open_policy(BOLD).spec, {})


def test_settings_that_contradict_themselves_are_refused(api):
    put = api.client.put
    bad = {"safety": {"fall_back": True}}
    assert code_of(put("/v1/placements/unsafe", json=bad)) == (422, "body_invalid")
    bad = {"challengers": {"x": {"name": "x"}}}
    assert code_of(put("/v1/placements/unsafe", json=bad)) == (422, "policy_spec_invalid")


def test_how_challengers_do_is_told_with_the_policy(api):
    name = api.placement("tried", challengers={"x": BOLD})
    assert api.client.get(f"/v1/placements/{name}/policy").json()["trials"] == []
    placement = PlacementFold(BOLD, plan=Plan({"x": BOLD}, None, 0, 0.0, 1.0))
    made = decision("e", open_policy(BOLD), "v", placement=name)
    placement.take(interaction(made, 0, 1.0), 0)
    snapshot = placement.snapshot(name, 0)
    api.log.append([Message(POLICIES, name.encode(), encode(snapshot))])

    def told():
        return api.client.get(f"/v1/placements/{name}/policy").json()["trials"]

    wait_until(told)
    assert [(trial["name"], trial["n"]) for trial in told()] == [("champion", 1), ("x", 1)]
