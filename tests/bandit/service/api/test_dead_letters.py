"""Dead letters over HTTP: pages, filters, and sending them again."""

import json

import pytest

from streams.dead_letters import dead_letter_message
from streams.events import DEAD_LETTER, OUTCOMES
from streams.logs.base import Message, Record
from tests.bandit.service.api_server import code_of


def letter(number, reason, topic="outcomes", value=None):
    body = json.dumps({"placement": f"p{number % 2}", "n": number}).encode()
    record = Record(topic, 0, number, 0, b"k", value or body)
    return dead_letter_message(record, reason, f"error {number}")


@pytest.fixture(scope="module")
def laid_aside(api):
    """Ten letters, in the order in which they came."""
    for number in range(10):
        reason = "late" if number % 3 else "unreadable"
        topic = "outcomes" if number < 8 else "decisions"
        api.log.append([letter(number, reason, topic)])
    return api


def listed(api, **params):
    found = api.pages("/v1/dead-letters", 3, **params)
    return [int(each["error"].split()[1]) for each in found]


def test_the_newest_come_first_page_by_page(laid_aside):
    assert listed(laid_aside) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_what_comes_meanwhile_does_not_shift_the_pages(api, laid_aside):
    first = api.client.get("/v1/dead-letters", params={"limit": 4}).json()
    api.log.append([letter(10, "late")])
    params = {"limit": 4, "after": first["next"]}
    rest = api.client.get("/v1/dead-letters", params=params).json()
    assert [each["error"] for each in rest["items"]] == [f"error {n}" for n in (5, 4, 3, 2)]


def test_filters(laid_aside):
    kept = [n for n in range(9, -1, -1) if n % 3 == 0]
    assert [n for n in listed(laid_aside, reason="unreadable") if n < 10] == kept
    assert listed(laid_aside, topic="decisions") == [9, 8]
    assert [n for n in listed(laid_aside, placement="p1") if n < 10] == [9, 7, 5, 3, 1]
    assert listed(laid_aside, since_ms=2**52) == []
    wrong = laid_aside.client.get("/v1/dead-letters?after=no")
    assert code_of(wrong) == (422, "after_invalid")


def test_one_is_shown_whole(laid_aside):
    newest = laid_aside.client.get("/v1/dead-letters", params={"topic": "decisions"}).json()
    (first, _) = newest["items"]
    assert laid_aside.client.get(f"/v1/dead-letters/{first['id']}").json() == first
    assert (first["source"], first["reason"]) == ("decisions/0@9", "unreadable")
    assert json.loads(first["value"])["n"] == 9
    for odd in ("0-99999", "x", "9-0"):
        missing = laid_aside.client.get(f"/v1/dead-letters/{odd}")
        assert code_of(missing) == (404, "dead_letter_not_found")


def test_bytes_that_are_no_text_are_shown_in_base64(api):
    api.log.append([letter(77, "odd", value=b"\xff")])
    (found,) = api.client.get("/v1/dead-letters", params={"reason": "odd"}).json()["items"]
    assert found["value"] == {"base64": "/w=="}


def test_letters_are_sent_again_as_they_were_or_mended(api):
    api.log.append([letter(100, "again"), letter(101, "again")])
    items = api.client.get("/v1/dead-letters", params={"reason": "again"}).json()["items"]
    ids = [each["id"] for each in items]
    sent = api.client.post("/v1/dead-letters/replay", json={"ids": ids}).json()["sent"]
    assert [place["topic"] for place in sent] == [OUTCOMES, OUTCOMES]
    values = [record.value for record in api.records(OUTCOMES)]
    assert all(each["value"].encode() in values for each in items)
    mended = {
        "type": "outcome", "event_id": "mended-1", "outcome_id": "o", "kind": "click",
        "timestamp_ms": 1,
    }  # fmt: skip
    path = f"/v1/dead-letters/{ids[0]}/replay"
    assert api.client.post(path, json={"value": json.dumps(mended)}).is_success
    (sent,) = (r for r in api.records(OUTCOMES) if r.key == b"mended-1")
    assert json.loads(sent.value) == mended
    assert code_of(api.client.post(path, json={"value": "{}"})) == (422, "schema_error")


def test_all_are_sent_or_none(api):
    (first,) = api.client.get("/v1/dead-letters", params={"limit": 1}).json()["items"]
    before = len(list(api.records(OUTCOMES)))
    body = {"ids": [first["id"], "0-99999"]}
    answer = api.client.post("/v1/dead-letters/replay", json=body)
    assert code_of(answer) == (404, "dead_letter_not_found")
    assert len(list(api.records(OUTCOMES))) == before


def test_what_nobody_of_ours_laid_aside_cannot_be_sent_again(api):
    api.log.append([Message(DEAD_LETTER, b"", b"stray")])
    (stray,) = api.client.get("/v1/dead-letters", params={"limit": 1}).json()["items"]
    assert stray["source"] == "unknown"
    answer = api.client.post(f"/v1/dead-letters/{stray['id']}/replay", json={})
    assert code_of(answer) == (409, "dead_letter_invalid")
