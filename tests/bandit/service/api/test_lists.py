"""Lists of what there is: pages, and filters."""

import pytest

from tests.bandit.service.api_server import code_of


@pytest.fixture(scope="module")
def stocked(api):
    """Placements with creatives of every status, and generations."""
    for name in ("list-a", "list-b"):
        api.placement(name, [], policy={"name": "uniform" if name == "list-a" else "thompson"})
        new = [
            {"id": f"{name}-{status}", "parts": {"headline": status}, "status": status}
            for status in ("proposed", "screened", "live", "paused")
        ]
        api.client.post(f"/v1/placements/{name}/creatives", json=new).raise_for_status()
        for product in ("socks", "socks", "hats"):
            body = {"brief": {"product": product}, "seed": 1}
            api.client.post(f"/v1/placements/{name}/generations", json=body).raise_for_status()
    return api


def ids(items):
    return [item["id"] for item in items]


def test_placements_by_prefix_and_policy(stocked):
    assert [p["name"] for p in stocked.pages("/v1/placements", 2, prefix="list-")] == [
        "list-a",
        "list-b",
    ]
    found = stocked.pages("/v1/placements", 2, prefix="list-", policy="uniform")
    assert [p["name"] for p in found] == ["list-a"]


def test_a_page_goes_on_although_its_placement_was_deleted(api):
    for name in ("gone-1", "gone-2", "gone-3"):
        api.placement(name, [])
    first = api.client.get("/v1/placements", params={"prefix": "gone-", "limit": 2}).json()
    api.client.delete("/v1/placements/gone-2")
    params = {"prefix": "gone-", "after": first["next"]}
    rest = api.client.get("/v1/placements", params=params).json()
    assert [p["name"] for p in rest["items"]] == ["gone-3"]


def test_creatives_of_all_placements_by_status(stocked):
    waiting = stocked.pages("/v1/creatives", 2, status=["proposed", "screened"])
    assert ids(waiting) == [f"list-{p}-{s}" for p in "ab" for s in ("proposed", "screened")]
    assert {c["placement"] for c in waiting} == {"list-a", "list-b"}
    assert ids(stocked.pages("/v1/placements/list-a/creatives", 2, status="paused")) == [
        "list-a-paused"
    ]
    unknown = stocked.client.get("/v1/creatives", params={"status": "lost"})
    assert code_of(unknown) == (422, "body_invalid")


def test_creatives_since(stocked):
    made = stocked.pages("/v1/placements/list-a/creatives", 2)[0]["timestamp_ms"]
    path = "/v1/placements/list-a/creatives"
    assert len(stocked.pages(path, 2, since_ms=made)) == 4
    assert stocked.pages(path, 2, since_ms=made + 1) == []
    assert stocked.pages(path, 2, generation="none") == []
    assert stocked.pages(path, 2, model="none") == []


def test_generations_of_all_placements(stocked):
    every = stocked.pages("/v1/generations", 2)
    assert [g["placement"] for g in every] == ["list-a"] * 3 + ["list-b"] * 3
    assert ids(stocked.pages("/v1/generations", 2, placement="list-b")) == ids(every)[3:]
    assert stocked.pages("/v1/generations", 2, status="done") == []
    assert len(stocked.pages("/v1/placements/list-a/generations", 2, status="requested")) == 3


def test_briefs_tell_what_was_generated_from_them(stocked):
    briefs = stocked.pages("/v1/briefs", 2)
    assert [(b["placement"], b["brief"]["product"], len(b["generations"])) for b in briefs] == [
        ("list-a", "socks", 2),
        ("list-a", "hats", 1),
        ("list-b", "socks", 2),
        ("list-b", "hats", 1),
    ]
    assert briefs[0]["waiting"] == 2
    assert stocked.client.get(f"/v1/briefs/{briefs[2]['id']}").json() == briefs[2]
    assert code_of(stocked.client.get("/v1/briefs/none")) == (404, "brief_not_found")
    assert len(stocked.pages("/v1/briefs", 2, placement="list-a")) == 2
