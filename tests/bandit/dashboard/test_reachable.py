"""The pages can be used by keyboard, by screen reader, and on a phone."""

import pytest
from playwright.sync_api import expect

from tests.axe import serious_faults
from tests.bandit.dashboard.visits import visiting

PHONE = {"width": 360, "height": 740}
PAGES = [
    "",
    "/placements/reachable",
    "/placements/reachable/creatives/a",
    "/review",
    "/generator",
    "/evaluations?placement=reachable",
    "/health",
    "/sign-in",
    "/absent",
]


@pytest.fixture(scope="module")
def reachable(dashboard):
    texts = {
        "a": "Warm feet",
        "b": "Averyveryverylongwordthatdoesnotbreakanywhereatallinthistext" * 2,
    }
    dashboard.placement("reachable", texts)
    dashboard.visitors("reachable", {"a": 0.5}, 30)
    proposed = {"id": "c", "parts": {"headline": texts["b"]}, "status": "proposed"}
    dashboard.client.request("POST", "/v1/placements/reachable/creatives", proposed)
    return dashboard


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_and_a_phone_shows_it_whole(scheme, path, browser, reachable):
    with visiting(browser, viewport=PHONE, color_scheme=scheme) as watched:
        page = watched.page
        page.goto(reachable.ui + path)
        if path.startswith("/placements"):
            chart = "history" if "creatives" in path else "fatigue"
            expect(page.locator(f"#{chart}-says")).not_to_have_text("Loading …")
        assert serious_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_keyboard_skips_to_the_content_and_tells_what_a_figure_is(page, reachable):
    page.goto(f"{reachable.ui}/placements/reachable")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("dl").get_by_role("button", name="Lift over uniform").focus()
    page.keyboard.press("Enter")
    expect(page.locator(":popover-open")).to_contain_text("logged propensities")
    page.keyboard.press("Escape")
    expect(page.locator(":popover-open")).to_have_count(0)
