"""A creative is looked at by a person before it is shown."""

import pytest

from tests.bandit.service.api_server import code_of


@pytest.fixture
def proposed(api, request):
    name = api.placement(f"review-{abs(hash(request.node.name))}", [])
    body = {"id": "x/y", "parts": {"headline": "Warm"}, "status": "proposed"}
    api.client.post(f"/v1/placements/{name}/creatives", json=body).raise_for_status()
    return f"/v1/placements/{name}/creatives/x/y"


def review(api, path, headers=None, **body):
    return api.client.post(f"{path}/review", json=body, headers=headers or {})


def test_an_approved_creative_is_served(api, proposed):
    name = proposed.split("/")[3]
    assert code_of(api.rank(name)) == (409, "no_live_creatives")
    answer = review(api, proposed, verdict="approve")
    assert (answer.status_code, answer.json()["status"]) == (200, "live")
    assert answer.headers["etag"] == answer.json()["etag"]
    assert api.rank(name).json()["action"]["id"] == "x/y"
    again = review(api, proposed, verdict="approve")
    assert code_of(again) == (409, "status_transition_invalid")


def test_an_edited_creative_is_served_with_its_new_text(api, proposed):
    before = api.client.get(proposed).json()["features"]
    parts = {"headline": "Warm feet on every trail"}
    assert review(api, proposed, verdict="edit", parts=parts).json()["parts"] == parts
    assert api.client.get(proposed).json()["features"] != before, "policies read the new text"
    assert api.rank(proposed.split("/")[3]).json()["action"]["parts"] == parts


def test_a_rejected_creative_says_why_and_is_never_served(api, proposed):
    assert code_of(review(api, proposed, verdict="reject")) == (422, "reason_missing")
    answer = review(api, proposed, verdict="reject", reason="claims: unproven").json()
    assert (answer["status"], answer["reason"]) == ("rejected", "claims: unproven")
    assert code_of(review(api, proposed, verdict="approve")) == (409, "status_transition_invalid")
    assert code_of(api.rank(proposed.split("/")[3])) == (409, "no_live_creatives")


def test_an_edit_needs_a_text_and_nothing_else_takes_one(api, proposed):
    assert code_of(review(api, proposed, verdict="edit")) == (422, "body_invalid")
    wrong = review(api, proposed, verdict="approve", parts={"headline": "h"})
    assert code_of(wrong) == (422, "body_invalid")


def test_nothing_is_approved_that_was_edited_unseen(api, proposed):
    tag = {"if-match": api.client.get(proposed).headers["etag"]}
    api.client.patch(proposed, json={"caps": {"total": 5}}).raise_for_status()
    answer = review(api, proposed, tag, verdict="approve")
    assert code_of(answer) == (412, "precondition_failed")


def test_an_approval_that_is_sent_again_is_the_same(api, proposed):
    key = {"idempotency-key": f"approve {proposed}"}
    first = review(api, proposed, key, verdict="approve").json()
    assert review(api, proposed, key, verdict="approve").json() == first
