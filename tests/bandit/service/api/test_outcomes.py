"""Outcomes of many events and placements in one request."""

import json

import pytest

from tests.bandit.service.api_server import code_of


def send(api, items):
    return api.client.post("/v1/outcomes", json=items)


def test_outcomes_of_several_placements_arrive(api):
    names = [api.placement(name) for name in ("bulk-a", "bulk-b")]
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
