"""Creatives over HTTP: reviewed before they are shown, and shown with their lineage."""

import pytest

from bandit.service.api.creatives import CreativeView
from bandit.service.resource import plain, view_of
from streams.events import Creative, Lineage
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


def test_a_creative_of_several_parts_shows_where_each_came_from():
    parts = {
        "title": Lineage(model="m", prompt="question: Ready for", frame="question"),
        "body": Lineage(model="m", adapter="v2", segment="parents", scores={"grammar": 0.5}),
    }
    creative = Creative(
        id="a",
        placement="home",
        parts={"title": "Ready for tea?", "body": "Put the kettle on."},
        status="live",
        timestamp_ms=1,
        lineage=Lineage(generation_id="g", model="m", seed=1, brief="0b3a", parts=parts),
    )
    lineage = plain(view_of(CreativeView, creative, etag="tag"))["lineage"]
    assert (lineage["brief"], lineage["seed"]) == ("0b3a", 1)
    assert lineage["parts"]["title"]["frame"] == "question"
    assert lineage["parts"]["body"]["scores"] == {"grammar": 0.5}
    assert (lineage["parts"]["body"]["adapter"], lineage["parts"]["body"]["segment"]) == (
        "v2",
        "parents",
    )
