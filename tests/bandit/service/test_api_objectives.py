"""Objectives over HTTP: set by name, told with what follows from them, and refused in words."""

import pytest

from tests.bandit.service.api_server import code_of


def put(api, name, **body):
    return api.client.put(f"/v1/placements/{name}", json=body)


def test_an_objective_makes_the_kinds(api):
    aim = {"name": "clicks_then_conversions", "tie": 0.2, "conversion_window_seconds": 86400}
    made = put(api, "aimed", reward={"objective": aim, "window_seconds": 600}).json()
    assert made["reward"]["objective"]["name"] == "clicks_then_conversions"
    kinds = made["reward"]["kinds"]
    assert {name: kind["weight"] for name, kind in kinds.items()} == {
        "click": 0.8,
        "conversion": 0.2,
    }
    assert kinds["conversion"]["window_seconds"] == 86400
    assert made["policy"]["name"] == "text_thompson"
    again = api.client.put("/v1/placements/aimed", json={"reward": made["reward"]})
    assert (again.status_code, again.json()["reward"]) == (200, made["reward"])


def test_the_constrained_one_is_guarded_by_itself(api):
    aim = {"name": "conversions_with_clicks", "least": 0.8}
    made = put(api, "guarded", reward={"objective": aim}).json()
    policy = made["policy"]
    assert (policy["name"], policy["least"]) == ("guarded", 0.8)
    assert policy["policy"]["name"] == "text_thompson"
    api.client.post("/v1/placements/guarded/creatives", json=[{"id": "a", "parts": {"text": "A"}}])
    assert api.rank("guarded").json()["action"]["id"] == "a"


@pytest.mark.parametrize(
    ("reward", "policy", "code", "words"),
    [
        (
            {"objective": {"name": "value_per_impression", "most": 9}, "kinds": {"sale": {}}},
            None, "body_invalid", "leave one of them out",
        ),
        ({"objective": {"name": "value_per_impression"}}, None, "body_invalid", "most"),
        ({"objective": {"name": "profit"}}, None, "body_invalid", "value_per_impression"),
        (
            {"objective": {"name": "conversions_with_clicks"}}, {"name": "thompson"},
            "policy_spec_invalid", "wrap it",
        ),
        (
            {}, {"name": "guarded", "policy": {"name": "thompson"}},
            "policy_spec_invalid", "give the placement that objective",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(api, reward, policy, code, words):
    body = {"reward": reward} | ({} if policy is None else {"policy": policy})
    answer = put(api, "refused", **body)
    assert code_of(answer) == (422, code)
    assert words in str(answer.json()["error"])
