"""A decision is found in the log by its id, without an index."""

import pytest

from streams.events import DECISIONS
from streams.logs.base import Message
from tests.bandit.service.api_server import code_of


def read(api, event_id, **params):
    return api.client.get(f"/v1/decisions/{event_id}", params=params)


@pytest.fixture(scope="module")
def busy(api):
    """A placement with decisions of other people before and after those of a test."""
    name = api.placement("busy")
    ids = [api.rank(name, context={"n": n}).json()["event_id"] for n in range(40)]
    return name, ids


def test_a_decision_is_found_with_its_outcomes(api, busy):
    name, ids = busy
    asked = api.rank(name, context={"device": "phone"}).json()
    event_id = asked["event_id"]
    api.event(name, event_id, "outcomes", [{"kind": "click"}, {"kind": "view", "value": 2}])
    api.rank(name)
    found = read(api, event_id).json()
    (decision,) = found["decisions"]
    assert decision["context"] == {"device": "phone"}
    assert [a["id"] for a in decision["actions"]] == [p["id"] for p in asked["pmf"]]
    assert decision["pmf"] == [p["propensity"] for p in asked["pmf"]]
    for field in ("placement", "index", "propensity", "policy_version"):
        assert decision[field] == asked[field]
    assert sorted((o["kind"], o["value"]) for o in found["outcomes"]) == [("click", 1), ("view", 2)]
    assert found["outcomes_complete"]
    for each in ids[::13]:
        assert read(api, each).json()["decisions"][0]["event_id"] == each


def test_all_slots_of_an_event_are_found(api, busy):
    asked = api.rank(busy[0], slots=[{"id": "top"}, {"id": "side"}]).json()
    found = read(api, asked["event_id"]).json()["decisions"]
    assert [d["slot"] for d in found] == [0, 1]
    assert [d["actions"][d["index"]]["id"] for d in found] == [
        slot["action"]["id"] for slot in asked["slots"]
    ]


def test_an_id_of_yours_is_looked_for_in_the_last_hour_or_since(api, busy):
    name, _ = busy
    api.rank(name, event_id="mine/1").raise_for_status()
    assert len(read(api, "mine%2F1").json()["decisions"]) == 1
    api.rank(name, event_id="mine-1").raise_for_status()
    assert len(read(api, "mine-1").json()["decisions"]) == 1
    assert len(read(api, "mine-1", since_ms=0).json()["decisions"]) == 1
    assert code_of(read(api, "mine-1", since_ms=2**52)) == (404, "decision_not_found")
    assert code_of(read(api, "f" * 32)) == (404, "decision_not_found")


def test_a_decision_that_nobody_can_read_is_not_found(api, busy):
    api.log.append([Message(DECISIONS, b"broken-1", b"{}")])
    assert code_of(read(api, "broken-1")) == (404, "decision_not_found")
