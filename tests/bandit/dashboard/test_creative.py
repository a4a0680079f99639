"""A creative's page, as a browser shows it."""

import msgspec
import pytest
from playwright.sync_api import expect

from streams.events import Creative, Generation, Lineage
from tests.bandit.service.api_server import wait_until

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


def creative(placement, name, status, lineage, reason=None):
    return Creative(
        id=name,
        placement=placement,
        parts={"headline": "Warm feet, all winter", "description": "Socks of merino."},
        status=status,
        timestamp_ms=1,
        lineage=lineage,
        reason=reason,
    )


@pytest.fixture(scope="module")
def written(dashboard):
    """A placement with creatives as the generator leaves them in the log."""
    name = dashboard.placement(
        "written", {"by-hand": "Cold hands", "pic": "Warm feet"}, policy={"name": "uniform"}
    )
    lineage = Lineage(
        generation_id="g1",
        model="smollm2",
        adapter="0123456789abcdef",
        seed=7,
        parent="by-hand",
        prompt="Product: socks",
        scores={"duplicate": 0.31, "fidelity": 0.7},
    )
    brief = {"product": "socks", "environment": {"channel": "google_rsa"}}
    dashboard.write(
        Generation(
            id="g1",
            placement=name,
            brief=msgspec.Raw(msgspec.json.encode(brief)),
            n=2,
            seed=7,
            status="done",
            timestamp_ms=1,
        ),
        creative(name, "good", "live", lineage),
        creative(name, "bad", "rejected", lineage, reason="duplicate: says the same as by-hand"),
    )
    return name


def test_it_shows_where_it_came_from_and_what_the_gates_said(dashboard, page, written):
    page.goto(f"{dashboard.ui}/placements/{written}/creatives/good")
    facts = page.get_by_role("region", name="Lineage")
    for word in ("smollm2", "0123456789abcdef", "7", "Product: socks"):
        expect(facts).to_contain_text(word)
    expect(page.locator("#gates tbody tr")).to_have_count(2)
    expect(page.locator("#gates")).not_to_contain_text("rejected")
    expect(page.locator(".look.google_rsa")).to_contain_text("Warm feet, all winter")
    facts.get_by_role("link", name="by-hand").click()
    expect(page.get_by_role("heading", name="Cold hands")).to_be_visible()
    expect(page.get_by_role("region", name="Lineage")).to_contain_text("Written by hand")


def test_a_rejected_one_says_which_gate_and_why(dashboard, page, written):
    page.goto(f"{dashboard.ui}/placements/{written}/creatives/bad")
    row = page.locator("#gates tr").filter(has_text="duplicate")
    expect(row).to_contain_text("rejected: says the same as by-hand")
    expect(page.locator("#gates tr").filter(has_text="fidelity")).to_contain_text("passed")


def test_history_by_segment(dashboard, page, written):
    dashboard.visitors(written, {"pic": 0.5}, 40)
    figures = f"/v1/placements/{written}/figures"
    wait_until(lambda: dashboard.client.request("GET", figures)["total"]["shown"] == 40)
    page.goto(f"{dashboard.ui}/placements/{written}/creatives/pic")
    expect(page.locator("#by-segment tbody")).to_contain_text("device: phone")
    expect(page.locator("#history .main-svg").first).to_be_visible()
    expect(page.locator("#now-rate")).to_contain_text("%")


def test_a_picture_that_it_carries_is_shown(dashboard, page):
    name = dashboard.placement("pictured", {})
    parts = {"headline": "Warm feet", "image": PIXEL}
    dashboard.client.request(
        "POST", f"/v1/placements/{name}/creatives", {"id": "p", "parts": parts}
    )
    page.goto(f"{dashboard.ui}/placements/{name}/creatives/p")
    picture = page.get_by_role("img", name="The creative's picture")
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 1


def test_text_is_text_whatever_it_says(dashboard, page):
    text = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
    name = dashboard.placement("hostile", {"x/'\"<y>": text, "b": "Cold hands"})
    page.goto(f"{dashboard.ui}/placements/{name}")
    page.get_by_role("link", name="<script>").click()
    expect(page.locator(".look")).to_contain_text("<script>window.ran = 1</script>")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".status").first).to_have_text("paused")
    assert page.evaluate("window.ran") is None
