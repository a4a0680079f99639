"""Personalizer's Python clients, unmodified, against everything that `copyloop up` starts."""

import pytest
from azure.ai.personalizer import PersonalizerAdministrationClient, PersonalizerClient
from azure.cognitiveservices.personalizer import PersonalizerClient as FirstClient
from azure.cognitiveservices.personalizer.models import (
    ErrorResponseException,
    RankableAction,
    RankRequest,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from msrest.authentication import CognitiveServicesCredentials
from msrest.exceptions import HttpOperationError

KEY = AzureKeyCredential("any")
ACTIONS = [{"id": each, "features": [{"kind": each}]} for each in "abc"]


@pytest.fixture(scope="module")
def first(endpoint):
    # An endpoint as the portal gave it, with a slash at its end.
    with FirstClient(f"{endpoint}/", CognitiveServicesCredentials("any")) as client:
        yield client


@pytest.fixture(scope="module")
def client(endpoint):
    with PersonalizerClient(endpoint, KEY) as client:
        yield client


@pytest.fixture(scope="module")
def admin(endpoint):
    with PersonalizerAdministrationClient(endpoint, KEY) as client:
        yield client


def test_the_first_client_ranks_rewards_and_activates(first):
    actions = [RankableAction(id=each, features=[{"kind": each}, {"size": 2}]) for each in "abc"]
    ranked = first.rank(
        RankRequest(
            actions=actions,
            context_features=[{"device": "phone"}, {"hours": [1, 2.5]}],
            excluded_actions=["b"],
            event_id="first-1",
            defer_activation=True,
        )
    )
    assert ranked.event_id == "first-1"
    assert ranked.reward_action_id in ("a", "c")
    assert [(one.id, one.probability > 0) for one in ranked.ranking][1] == ("b", False)
    assert sum(one.probability for one in ranked.ranking) == pytest.approx(1)
    assert ranked.ranking[0].id == ranked.reward_action_id
    first.events.activate("first-1")
    first.events.reward("first-1", value=0.5)


def test_the_first_client_reads_what_is_wrong(first):
    with pytest.raises(ErrorResponseException) as refused:
        first.rank(RankRequest(actions=[]))
    error = refused.value.error.error
    assert refused.value.response.status_code == 400
    assert (error.code, error.target) == ("BadRequest", "actions")
    assert error.inner_error.code == "InvalidRankRequest"
    assert error.inner_error.innererror.code == "actions_count_invalid"
    with pytest.raises(HttpOperationError):
        first.events.reward("first-1", value=1.5)


def test_the_second_client_ranks_rewards_and_activates(client):
    ranked = client.rank({"actions": ACTIONS, "contextFeatures": [{"device": "tv"}]})
    assert ranked["rewardActionId"] == ranked["ranking"][0]["id"]
    assert len(ranked["eventId"]) == 32
    client.reward(ranked["eventId"], {"value": 1.0})
    client.activate(ranked["eventId"])


def test_the_second_client_fills_slots(client):
    ranked = client.rank_multi_slot(
        {
            "actions": ACTIONS,
            "slots": [
                {"id": "top", "baselineAction": "a", "features": [{"size": "large"}]},
                {"id": "side", "baselineAction": "b", "excludedActions": ["c"]},
            ],
            "eventId": "slots-1",
            "deferActivation": True,
        }
    )
    assert [slot["id"] for slot in ranked["slots"]] == ["top", "side"]
    shown = [slot["rewardActionId"] for slot in ranked["slots"]]
    assert len(set(shown)) == 2
    assert shown[1] in ("a", "b")
    client.reward_multi_slot("slots-1", {"reward": [{"slotId": "top", "value": 1.0}]})
    client.activate_multi_slot("slots-1")


def test_a_client_of_another_placement_finds_it_once_it_is_configured(endpoint, admin):
    place = f"{endpoint}/placements/shop"
    with PersonalizerClient(place, KEY) as client:
        with pytest.raises(ResourceNotFoundError):
            client.rank({"actions": ACTIONS})
        with PersonalizerAdministrationClient(place, KEY) as shop:
            shop.update_service_configuration(admin.get_service_configuration())
        assert client.rank({"actions": ACTIONS})["rewardActionId"] in "abc"


def test_the_configuration_comes_back_as_it_was_written(endpoint):
    with PersonalizerAdministrationClient(f"{endpoint}/placements/kept", KEY) as admin:
        wanted = {
            "rewardWaitTime": "PT5M",
            "defaultReward": -0.25,
            "rewardAggregation": "sum",
            "explorationPercentage": 0.4,
            "modelExportFrequency": "PT1M",
            "logRetentionDays": 90,
            "modelRetrainDays": 7,
            "learningMode": "Apprentice",
            "isAutoOptimizationEnabled": True,
            "autoOptimizationFrequency": "P7D",
            "autoOptimizationStartDate": "2026-01-01T00:00:00Z",
        }
        written = admin.update_service_configuration(wanted)
        assert {name: written[name] for name in wanted} == wanted
        assert written["lastConfigurationEditDate"].endswith("Z")
        assert admin.get_service_configuration() == written


def test_learning_settings_are_read_written_and_reset(endpoint, admin):
    with PersonalizerAdministrationClient(f"{endpoint}/placements/settings", KEY) as settings:
        settings.update_service_configuration(admin.get_service_configuration())
        fresh = settings.get_policy()
        wanted = {"name": "mine", "arguments": "--cb_explore_adf --squarecb --cb_type mtr -q Fj"}
        assert settings.update_policy(wanted) == wanted
        assert settings.get_policy() == wanted
        with pytest.raises(HttpResponseError) as refused:
            settings.update_policy({"name": "bad", "arguments": "--cb_explore_adf -f /etc/passwd"})
        assert refused.value.status_code == 400
        assert refused.value.response.json()["error"]["code"] == "InvalidPolicyConfiguration"
        assert settings.reset_policy() == fresh


def test_the_model_and_the_log_tell_of_themselves(client, admin):
    client.rank({"actions": ACTIONS})
    assert len(b"".join(admin.export_model())) > 100
    assert set(admin.get_model_properties()) == {"creationTime", "lastModifiedTime"}
    dates = admin.get_log_properties()["dateRange"]
    assert dates["from"] <= dates["to"]


@pytest.mark.parametrize("what", ["delete_logs", "reset_model", "import_model"])
def test_what_the_log_does_not_allow_is_refused_with_a_reason(admin, what):
    arguments = [b"a model"] if what == "import_model" else []
    with pytest.raises(HttpResponseError) as refused:
        getattr(admin, what)(*arguments)
    error = refused.value.response.json()["error"]
    assert (refused.value.status_code, error["code"]) == (400, "OperationNotAllowed")
    assert error["message"]
