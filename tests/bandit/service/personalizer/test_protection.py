"""What protects a placement protects it from Personalizer's clients too."""

import json

import pytest
from azure.ai.personalizer import PersonalizerAdministrationClient, PersonalizerClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from bandit.service.settings import Secret, Settings
from streams.events import DECISIONS
from streams.memory import MemoryLog
from tests.bandit.service.api_server import running

ACTIONS = [{"id": each, "features": [{"kind": each}]} for each in "ab"]
PROTECTION = {"private": ["FromUrl.user.id"], "signed_rewards": True}


@pytest.fixture(scope="module")
def api():
    secrets = {"private_salt": "salt " * 8, "reward_secret": "s" * 32}
    settings = Settings(**{name: Secret(value) for name, value in secrets.items()})
    with running(MemoryLog(), settings) as api:
        api.placement("guarded", (), protection=PROTECTION)
        yield api


def post(api, path, body):
    return api.client.post(f"/placements/guarded/personalizer/v1.1-preview.3/{path}", json=body)


@pytest.mark.parametrize("slots", [None, [{"id": "top", "baselineAction": "a"}]])
def test_private_fields_never_reach_the_log(api, slots):
    body = {"actions": ACTIONS, "contextFeatures": [{"user": {"id": "ann", "age": 30}}]}
    path = "rank" if slots is None else "multislot/rank"
    answer = post(api, path, body if slots is None else body | {"slots": slots})
    assert answer.status_code == 201, answer.text
    (decision,) = api.logged(DECISIONS, answer.json()["eventId"])
    user = json.loads(bytes(decision.context))["FromUrl"][0]["user"]
    assert user["age"] == 30
    assert "ann" not in user["id"]


def test_strangers_cannot_reward(api):
    event_id = post(api, "rank", {"actions": ACTIONS}).json()["eventId"]
    assert post(api, f"events/{event_id}/reward", {"value": 1}).status_code == 204
    refused = post(api, "events/made-up/reward", {"value": 1})
    assert (refused.status_code, refused.json()["error"]["innerError"]["code"]) == (
        403,
        "reward_unsigned",
    )
    assert post(api, "events/made-up/activate", None).status_code == 403
    unsigned = post(api, "rank", {"actions": ACTIONS, "eventId": "mine"})
    assert unsigned.json()["error"]["innerError"]["code"] == "event_id_unsigned"


def test_its_configuration_leaves_the_protection_as_it_is(api):
    read = api.client.get("/placements/guarded/personalizer/v1.0/configurations/service").json()
    written = api.client.put(
        "/placements/guarded/personalizer/v1.0/configurations/service",
        json=read | {"rewardWaitTime": "PT1M"},
    )
    assert written.status_code == 200, written.text
    assert api.client.get("/v1/placements/guarded").json()["protection"] == PROTECTION


def test_a_key_opens_what_its_scopes_say():
    with running(MemoryLog()) as api:
        made = api.client.post("/v1/keys", json={"name": "app", "scopes": ["rank"]})
        key = AzureKeyCredential(made.raise_for_status().json()["key"])
        with PersonalizerClient(api.url, key) as client:
            assert client.rank({"actions": ACTIONS, "eventId": "e"})["eventId"] == "e"
            with pytest.raises(HttpResponseError) as refused:
                client.reward("e", {"value": 1.0})
            assert refused.value.status_code == 403
        with (
            PersonalizerClient(api.url, AzureKeyCredential("wrong")) as client,
            pytest.raises(ClientAuthenticationError),
        ):
            client.rank({"actions": ACTIONS})
        with (
            PersonalizerAdministrationClient(api.url, key) as admin,
            pytest.raises(HttpResponseError) as refused,
        ):
            admin.reset_policy()
        assert refused.value.status_code == 403
