"""The generator's pages: the review of its creatives, and its versions."""

import json
import time

import msgspec
from playwright.sync_api import expect

from streams.events.creatives import Canary, GateRow, GeneratorVersion
from tests.axe import serious_faults


def version(dashboard, name, status, replaces=None, **fields):
    manifest = json.dumps({"config": {"method": "dpo", "model": "smollm2"}, "loss": 0.6129})
    made = GeneratorVersion(
        id=name,
        status=status,
        timestamp_ms=time.time_ns() // 1_000_000,
        replaces=replaces,
        manifest=msgspec.Raw(manifest.encode()),
        gate=(
            GateRow(rule="win_rate", value=0.61, bound=0.5, passed=True, why="beats its parent"),
            GateRow(rule="distinct", value=0.9, bound=0.8, passed=True, why="few repeats"),
        ),
        **fields,
    )
    dashboard.write(made)


def test_a_generator_version_is_rolled_back(dashboard, page):
    version(dashboard, "first", "retired")
    version(dashboard, "second", "live", replaces="first")
    canary = Canary(since_ms=1, n=400, low=0.01, high=0.05, champion_low=0.02, champion_high=0.04)
    version(dashboard, "third", "canary", canary=canary, reason="passed the gate")
    page.goto(f"{dashboard.ui}/generator")
    row = page.locator("[data-version=second]")
    expect(row).to_contain_text("live")
    expect(row).to_contain_text("2 of 2 passed")
    expect(page.locator("[data-version=third]")).to_contain_text("400 decisions")
    steps = page.get_by_role("region", name="Steps of third")
    expect(steps).to_contain_text("passed the gate")
    assert serious_faults(page) == []
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_label("Why rollback second").fill("reads worse")
    page.get_by_role("button", name="Roll back to first").click()
    expect(page.get_by_role("status").filter(has_text="second is rolled back")).to_be_visible()
    expect(page.locator("[data-version=second]")).to_contain_text("rolled back")
    versions = dashboard.client.request("GET", "/v1/generator/versions")["items"]
    found = {each["id"]: each for each in versions}
    assert (found["first"]["status"], found["second"]["reason"]) == ("live", "reads worse")
    page.locator("#third").get_by_role("button", name="Promote").click()
    expect(page.get_by_role("status").filter(has_text="third is live")).to_be_visible()


def test_a_version_that_comes_shows_without_reload(dashboard, page):
    page.goto(f"{dashboard.ui}/generator")
    page.evaluate("window.stayed = true")
    page.wait_for_timeout(500)
    version(dashboard, "newcomer", "candidate")
    expect(page.locator("[data-version=newcomer]")).to_be_visible(timeout=15_000)
    assert page.evaluate("window.stayed")


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
