from bandit.policies import open_policy
from tests.bandit.service.api_server import code_of

BOLD = {"name": "thompson", "alpha": 5.0}


def policy(name, what):
    return f"/v1/placements/{name}/policy/{what}"


def test_a_policy_is_promoted_compared_and_taken_back(api):
    name = api.placement("versioned")
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
