"""The generator's versions on a page: what they are, and acts on them."""

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
