"""What a page about health shows, as the API tells it."""

import pytest

from bandit.service.settings import Settings
from streams.dead_letters import dead_letter_message
from streams.logs.base import Record
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    data = tmp_path_factory.mktemp("checkup")
    log = SqliteLog(data / "log.db")
    with running(log, Settings(data=data), partitions=2) as api:
        yield api
    log.close()


def test_the_doctor_tells_what_is_wrong_and_what_to_do(api):
    api.placement("empty", creatives=())
    lost = Record("outcomes", 0, 7, 0, b"e", b"{}")
    api.log.append([dead_letter_message(lost, "late", "too late")])
    found = api.client.get("/v1/doctor").raise_for_status().json()
    assert found["looked_ms"] > 0
    by_check = {}
    for each in found["findings"]:
        by_check.setdefault(each["check"], []).append(each)
    assert {"versions", "disk", "log", "clock", "policies", "lag", "keys"} <= by_check.keys()
    (letters,) = by_check["dead letters"]
    assert (letters["state"], letters["found"]) == ("warning", "1 for late")
    assert letters["do"]
    assert any("'empty' has no live creative" in each["found"] for each in by_check["policies"])


def test_lag_is_by_group_and_partition_with_what_would_mend_it(api):
    name = api.placement("busy")
    for _ in range(5):
        api.rank(name).raise_for_status()
    groups = {g["group"]: g for g in api.client.get("/v1/lag").raise_for_status().json()["groups"]}
    joiner = groups["joiner"]
    assert joiner["lag"] == sum(each["lag"] for each in joiner["partitions"]) == 5
    assert {each["partition"] for each in joiner["partitions"]} == {0, 1}
    assert all(each["committed"] is None for each in joiner["partitions"]), "nobody ever joined"
    assert joiner["starts"] == "copyloop streams join"
    assert groups["learner"]["lag"] == 0


def test_sending_a_letter_again_is_recorded(api):
    letter = api.client.get("/v1/dead-letters").json()["items"][0]
    api.client.post(f"/v1/dead-letters/{letter['id']}/replay", json={}).raise_for_status()
    api.client.post("/v1/dead-letters/replay", json={"ids": [letter["id"]]}).raise_for_status()
    acts = [(act["what"], act["target"]) for act in api.client.get("/v1/acts").json()["items"]]
    assert acts.count(("dead letter replayed", letter["id"])) == 2
