"""Review: by keyboard, and with care for what others do meanwhile."""

from playwright.sync_api import expect


def propose(dashboard, placement, creative, text, status="proposed"):
    body = {"id": creative, "parts": {"headline": text}, "status": status}
    dashboard.client.request("POST", f"/v1/placements/{placement}/creatives", body)


def creative(dashboard, placement, name):
    return dashboard.client.request("GET", f"/v1/placements/{placement}/creatives/{name}")


def test_a_creative_is_approved_by_keyboard_and_served(dashboard, page):
    name = dashboard.placement("review-keys", {"shown": "Old words"}, policy={"name": "uniform"})
    for number, text in enumerate(["Warm feet", "Cold hands", "Wrong words"]):
        propose(dashboard, name, f"c{number}", text)
    page.goto(f"{dashboard.ui}/review?placement={name}")
    expect(page.locator("[data-creative=c0]")).to_be_focused()
    page.keyboard.press("a")
    expect(page.get_by_text("c0 is approved.")).to_be_visible()
    expect(page.locator("[data-creative=c1]")).to_be_focused()
    served = {dashboard.client.rank(name, {}).parts["headline"] for _ in range(40)}
    assert served == {"Old words", "Warm feet"}

    page.keyboard.press("j")
    expect(page.locator("[data-creative=c2]")).to_be_focused()
    page.keyboard.press("r")
    page.keyboard.type("tone: not ours")
    page.keyboard.press("Enter")
    expect(page.get_by_text("c2 is rejected.")).to_be_visible()
    assert creative(dashboard, name, "c2")["reason"] == "tone: not ours"

    page.keyboard.press("e")
    page.keyboard.press("End")
    page.keyboard.type(" no more")
    expect(page.get_by_role("button", name="Approve as edited")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("c1 is edited and approved.")).to_be_visible()
    assert creative(dashboard, name, "c1")["parts"] == {"headline": "Cold hands no more"}
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    acts = dashboard.client.request("GET", "/v1/acts?limit=1000")["items"]
    assert [a["after"]["status"] for a in acts if a["target"] == f"{name}/c0"][-1] == "live"


def test_what_changed_meanwhile_is_not_approved_unread(dashboard, page):
    name = dashboard.placement("review-twice", {"shown": "Old words"})
    propose(dashboard, name, "late", "As it was read")
    page.goto(f"{dashboard.ui}/review?placement={name}")
    path = f"/v1/placements/{name}/creatives/late"
    dashboard.client.request("PATCH", path, {"status": "screened"})
    page.keyboard.press("a")
    expect(page.get_by_role("alert")).to_contain_text("changed by somebody else")
    assert creative(dashboard, name, "late")["status"] == "screened"
