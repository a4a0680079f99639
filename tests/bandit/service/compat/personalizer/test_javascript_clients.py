"""Personalizer's JavaScript clients, unmodified, under Node."""

import pytest

from tests.javascript import run_script


@pytest.fixture(scope="module")
def answers(endpoint):
    return run_script("personalizer.mjs", endpoint, "javascript")


def test_the_first_client_ranks_rewards_and_activates(answers):
    first = answers["first"]
    assert first["statuses"] == [201, 204, 204]
    ranked = first["ranked"]
    assert (ranked["eventId"], ranked["ranking"][1]) == (
        "javascript-first",
        {"id": "b", "probability": 0},
    )
    assert ranked["shown"] in ("a", "c")


def test_the_first_client_reads_what_is_wrong(answers):
    refused = answers["first"]["refused"]
    assert (refused["status"], refused["error"]["code"]) == (400, "BadRequest")
    assert refused["error"]["innerError"]["code"] == "InvalidRankRequest"


def test_the_second_client_gets_what_it_expects(answers):
    rest = answers["rest"]
    assert {name: answer["status"] for name, answer in rest.items()} == {
        "ranked": "201",
        "rewarded": "204",
        "activated": "204",
        "slots": "201",
        "slotsRewarded": "204",
        "slotsActivated": "204",
        "configuration": "200",
        "policy": "200",
        "model": "200",
        "modelProperties": "200",
        "logProperties": "200",
        "logsDeleted": "400",
        "refused": "400",
        "evaluations": "200",
    }
    assert rest["refused"]["body"]["error"]["code"] == "InvalidRankRequest"
    assert rest["configuration"]["body"]["rewardWaitTime"] == "PT10M"
    assert [slot["id"] for slot in rest["slots"]["body"]["slots"]] == ["top", "side"]
