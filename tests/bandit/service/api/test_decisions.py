"""A decision is found in the log by its id, and outcomes of many events are taken at once."""

import json

import pytest

from streams.events import DECISIONS, OUTCOMES, Outcome, encode
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
    api.event(name, event_id, "outcomes", [{"kind": "click"}, {"kind": "impression", "value": 2}])
    api.rank(name)
    found = read(api, event_id).json()
    (decision,) = found["decisions"]
    assert decision["context"] == {"device": "phone"}
    assert [a["id"] for a in decision["actions"]] == [p["id"] for p in asked["pmf"]]
    assert decision["pmf"] == [p["propensity"] for p in asked["pmf"]]
    for field in ("placement", "index", "propensity", "policy_version"):
        assert decision[field] == asked[field]
    kinds = sorted((o["kind"], o["value"]) for o in found["outcomes"])
    assert kinds == [("click", 1), ("impression", 2)]
    assert found["outcomes_complete"]
    for each in ids[::13]:
        assert read(api, each).json()["decisions"][0]["event_id"] == each


def test_it_says_why_an_outcome_counts_or_does_not(api, busy):
    name, _ = busy
    event_id = api.rank(name).json()["event_id"]
    click = {"kind": "click", "outcome_id": "c"}
    api.event(name, event_id, "outcomes", [click, click])
    # The API refuses such a kind; others write to the topic themselves.
    now_ms = api.outcomes(event_id)[0].timestamp_ms
    odd = Outcome(event_id=event_id, outcome_id="o", kind="clck", timestamp_ms=now_ms)
    api.log.append([Message(OUTCOMES, event_id.encode(), encode(odd))])
    found = read(api, event_id).json()
    verdicts = sorted(outcome["verdict"] for outcome in found["outcomes"])
    assert verdicts == ["counted", "duplicate_outcome", "unknown_kind"]
    assert any("no kind 'clck'" in outcome["why"] for outcome in found["outcomes"])
    assert found["waits"]
    assert {each["status"] for each in found["interactions"]} == {"provisional", "corrected"}
    assert found["interactions"][-1]["reward"] == 1.0


def test_an_outcome_without_a_decision_is_told(api, busy):
    name, _ = busy
    api.event(name, "lonely", "outcomes", [{"kind": "click"}])
    found = read(api, "lonely").json()
    assert found["decisions"] == []
    assert [outcome["verdict"] for outcome in found["outcomes"]] == ["waiting"]


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


def send(api, items):
    return api.client.post("/v1/outcomes", json=items)


def test_outcomes_of_several_placements_arrive(api):
    rule = {"kinds": {"click": {}, "reward": {}, "sale": {}}}
    names = [api.placement(name, reward=rule) for name in ("bulk-a", "bulk-b")]
    ids = [api.rank(name).json()["event_id"] for name in names]
    items = [
        {"placement": names[0], "event_id": ids[0], "kind": "click"},
        {"placement": names[1], "event_id": ids[1], "kind": "reward", "value": 0.5},
        {"placement": names[1], "event_id": ids[1], "kind": "sale", "value": 9, "outcome_id": "o",
         "timestamp_ms": 7, "slot": 2},
    ]  # fmt: skip
    answer = send(api, items)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 3, "refused": []})
    assert [o.kind for o in api.outcomes(ids[0])] == ["click"]
    reward, sale = api.outcomes(ids[1])
    assert (reward.kind, reward.value) == ("reward", 0.5)
    assert (sale.outcome_id, sale.value, sale.timestamp_ms, sale.slot) == ("o", 9, 7, 2)


def test_what_comes_twice_is_a_duplicate_as_by_the_other_route(api):
    name = api.placement("bulk-twice")
    event_id = api.rank(name).json()["event_id"]
    send(api, [{"placement": name, "event_id": event_id, "kind": "click"}] * 2)
    api.event(name, event_id, "outcomes", {"kind": "click"})
    assert len({o.outcome_id for o in api.outcomes(event_id)}) == 1


def test_one_that_is_off_does_not_hold_up_the_others(api):
    name = api.placement("bulk-part")
    event_id = api.rank(name).json()["event_id"]
    good = {"placement": name, "event_id": event_id, "kind": "click"}
    items = [
        {"placement": "nowhere", "event_id": event_id, "kind": "click"},
        good,
        good | {"kind": "reward", "value": 2},
        good | {"event_id": ""},
        good | {"colour": "red"},
        7,
        good | {"outcome_id": "second"},
    ]
    answer = send(api, items)
    assert answer.status_code == 207
    assert answer.json()["accepted"] == 2
    assert [(r["index"], r["code"], r["target"]) for r in answer.json()["refused"]] == [
        (0, "placement_not_found", "placement"),
        (2, "reward_out_of_range", "value"),
        (3, "body_invalid", "event_id"),
        (4, "body_invalid", None),
        (5, "body_invalid", None),
    ]
    assert len(api.outcomes(event_id)) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", (400, "body_not_json")),
        (b"[", (400, "body_not_json")),
        (b"{}", (422, "body_invalid")),
        (b"[]", (422, "outcomes_count_invalid")),
        (b"[" + b"1," * 1000 + b"1]", (422, "outcomes_count_invalid")),
    ],
)
def test_a_body_that_is_off_is_refused_whole(api, body, code):
    assert code_of(api.client.post("/v1/outcomes", content=body)) == code


def test_odd_text_is_refused_by_itself(api):
    name = api.placement("bulk-odd")
    good = json.dumps({"placement": name, "event_id": "e-odd", "kind": "click"}).encode()
    body = b"[" + good.replace(b"click", b"\xff") + b"," + good + b"]"
    answer = api.client.post("/v1/outcomes", content=body)
    assert answer.status_code in (207, 400)
    if answer.status_code == 207:
        assert [r["index"] for r in answer.json()["refused"]] == [0]
