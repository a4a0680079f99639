"""What protects a placement protects it from Personalizer's clients too."""

import pytest
from azure.ai.personalizer import PersonalizerAdministrationClient, PersonalizerClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from bandit.service.settings import Secret, Settings
from streams.logs.embedded import MemoryLog
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
