"""The overview, as a browser shows it."""

from playwright.sync_api import expect


def test_it_shows_traffic_as_it_comes_without_reload(dashboard, page):
    name = dashboard.placement("overview-live", {"a": "Warm feet", "b": "Cold hands"})
    page.goto(dashboard.ui)
    row = page.locator(f"tr[data-placement='{name}']")
    expect(row.locator("[data-is=shown]")).to_have_text("0")
    page.evaluate("window.stayed = true")
    dashboard.visitors(name, {"a": 0.5}, 20)
    expect(row.locator("[data-is=shown]")).to_have_text("20")
    expect(row.locator("[data-is=rate]")).to_contain_text("%")
    assert page.evaluate("window.stayed")
