"""A change of a placement changes what it names, and resets nothing in silence."""

import pytest

from streams.events import CORRECTIONS
from tests.bandit.service.api_server import code_of

RULE = {"window_seconds": 60, "kinds": {"click": {}, "sale": {"weight": 2}}}


@pytest.fixture
def name(api, request):
    name = f"changed {request.node.name}"[:200].replace("%", "")
    body = {"reward": RULE, "learn": "window", "unit": "context.user", "caps": {"total": 7}}
    api.client.put(f"/v1/placements/{name}", json=body).raise_for_status()
    return name


def now(api, name):
    return api.client.get(f"/v1/placements/{name}").json()


def put(api, name, body, **headers):
    return api.client.put(f"/v1/placements/{name}", json=body, headers=headers)


def patch(api, name, body, **headers):
    return api.client.patch(f"/v1/placements/{name}", json=body, headers=headers)


def test_a_put_that_would_reset_something_asks_for_if_match(api, name):
    before = now(api, name)
    answer = put(api, name, {"reward": {"window_seconds": 5}})
    assert code_of(answer) == (428, "precondition_required")
    message = answer.json()["error"]["message"]
    assert "caps, learn, reward.kinds, unit" in message
    assert now(api, name) == before
    meant = put(api, name, {"reward": {"window_seconds": 5}}, **{"If-Match": before["etag"]})
    assert meant.status_code == 200
    assert now(api, name)["learn"] == "realtime"


def test_a_put_that_names_what_there_is_needs_no_if_match(api, name):
    body = {"reward": RULE, "learn": "realtime", "unit": "context.shop", "caps": None}
    assert put(api, name, body).status_code == 200
    after = now(api, name)
    assert (after["learn"], after["unit"], after["caps"]) == ("realtime", "context.shop", None)
    # What a PUT never resets needs no naming.
    assert after["reward"]["corrections"] == CORRECTIONS
    assert after["policy"]["name"] == "adaptive"


def test_what_get_answers_can_be_put_back(api, name):
    got = now(api, name)
    assert put(api, name, got).status_code == 200
    assert now(api, name) == got
    changed = got | {"learn": "realtime"}
    assert put(api, name, changed).status_code == 200
    assert now(api, name)["learn"] == "realtime"
    # Its tag is the one of before, so somebody came between.
    assert code_of(put(api, name, got)) == (412, "precondition_failed")
    other = put(api, name, now(api, name) | {"name": "another"})
    assert code_of(other) == (422, "body_invalid")
    assert other.json()["error"]["target"] == "name"


def test_a_patch_changes_what_it_names_alone(api, name):
    before = now(api, name)
    answer = patch(api, name, {"reward": {"kinds": {"sale": None, "lead": {"weight": 3}}}})
    assert answer.status_code == 200
    after = now(api, name)
    assert list(after["reward"]["kinds"]) == ["click", "lead"]
    left = {"reward", "etag"}
    assert {k: v for k, v in after.items() if k not in left} == {
        k: v for k, v in before.items() if k not in left
    }
    assert after["reward"]["window_seconds"] == 60
    cleared = patch(api, name, {"caps": None, "shortlist": None, "unit": None}).json()
    assert [cleared[field] for field in ("caps", "shortlist", "unit")] == [None, None, None]
    assert patch(api, name, {}).json()["etag"] == cleared["etag"]


def test_a_patch_moves_between_objectives_and_kinds(api, name):
    objective = {"name": "value_per_impression", "kind": "purchase", "most": 20}
    found = patch(api, name, {"reward": {"objective": objective}}).json()["reward"]
    assert list(found["kinds"]) == ["purchase"]
    found = patch(api, name, {"reward": {"objective": None}}).json()["reward"]
    assert (found["objective"], list(found["kinds"])) == (None, ["click", "reward"])


@pytest.mark.parametrize(
    ("body", "status", "code", "target"),
    [
        ({"caps": {"total": 0}}, 422, "body_invalid", "caps.total"),
        ({"nope": 1}, 422, "body_invalid", "nope"),
        ({"cap": None}, 422, "body_invalid", "cap"),
        ([1], 422, "body_invalid", None),
        ({"reward": {"window_seconds": -1}}, 422, "body_invalid", "reward"),
        ({"reward": 3}, 422, "body_invalid", "reward"),
        ({"policy": {"name": "zz"}}, 422, "policy_spec_invalid", "policy"),
    ],
)
def test_a_patch_that_makes_no_placement_is_refused(api, name, body, status, code, target):
    before = now(api, name)
    answer = patch(api, name, body)
    assert code_of(answer) == (status, code)
    assert answer.json()["error"]["target"] == target
    assert now(api, name) == before


def test_a_patch_needs_a_placement_and_keeps_to_if_match(api, name):
    assert code_of(patch(api, "none", {})) == (404, "placement_not_found")
    stale = now(api, name)["etag"]
    assert patch(api, name, {"learn": "realtime"}).status_code == 200
    late = patch(api, name, {"unit": "context.x"}, **{"If-Match": stale})
    assert code_of(late) == (412, "precondition_failed")
    assert api.client.patch(f"/v1/placements/{name}", content=b"{").status_code in (400, 415)


@pytest.mark.parametrize("path", ["%ff", "a%fe", "%EF%BF%BD"])
def test_a_name_of_other_bytes_than_utf_8_is_refused(api, path):
    answer = api.client.put(f"/v1/placements/{path}", json={})
    assert code_of(answer) == (422, "name_invalid")
    assert "UTF-8" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["%20", "%C2%A0%20"])
def test_a_blank_name_is_refused(api, path):
    assert code_of(api.client.put(f"/v1/placements/{path}", json={})) == (422, "name_invalid")


def test_a_patch_of_another_policy_begins_with_its_defaults(api, name):
    assert patch(api, name, {"policy": {"name": "thompson", "beta": 9}}).status_code == 200
    assert now(api, name)["policy"]["beta"] == 9
    assert patch(api, name, {"policy": {"alpha": 2}}).status_code == 200
    known = now(api, name)["policy"]
    assert (known["name"], known["alpha"], known["beta"]) == ("thompson", 2, 9)
