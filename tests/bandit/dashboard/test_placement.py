"""The overview and a placement's page, as a browser shows them, and the acts on them."""

import json

import pytest
from playwright.sync_api import expect

from tests.bandit.dashboard.visits import saved
from tests.bandit.service.api_server import wait_until

MARKUP = 'A <a href="/x">b</a> &amp; <b>c</b>'
TEXTS = {"a": "Warm feet", "b": MARKUP, "c": "=1+1 socks"}


@pytest.fixture(scope="module")
def shown(dashboard):
    name = dashboard.placement("shown", TEXTS)
    # Whichever the policy comes to show, some click.
    dashboard.visitors(name, {"a": 0.9, "b": 0.3, "c": 0.3}, 60)
    # A page asks for the whole every 15 seconds, so what came later would be long in coming.
    path = f"/v1/placements/{name}/figures"
    wait_until(lambda: dashboard.client.request("GET", path)["delays"])
    return name


def test_shares_move_without_reload_while_traffic_runs(dashboard, page):
    name = dashboard.placement("moving", {"a": "Warm feet", "b": "Cold hands"})
    page.goto(f"{dashboard.ui}/placements/{name}")
    expect(page.locator("#live")).to_have_text("live")
    page.evaluate("window.stayed = true")
    share = page.locator("tr[data-creative=a] [data-is=share]")
    dashboard.visitors(name, {"a": 1.0}, 10)
    expect(share).to_contain_text("%")
    before = share.inner_text()
    dashboard.visitors(name, {"a": 1.0}, 60, seed=2)
    expect(share).not_to_have_text(before)
    expect(page.locator("#total-shown")).to_have_text("70")
    policy = dashboard.client.request("GET", f"/v1/placements/{name}/policy")
    assert policy["pmf"][0]["propensity"] > 0.5
    page.wait_for_function(
        "parseFloat(document.querySelector('tr[data-creative=a] [data-is=share]').innerText) > 50"
    )
    assert page.evaluate("window.stayed")


def test_charts_say_in_words_what_they_show(dashboard, page, shown):
    page.goto(f"{dashboard.ui}/placements/{shown}")
    for chart in ("pmf", "reward", "exploration", "delay"):
        expect(page.locator(f"#{chart} .main-svg").first).to_be_visible()
    legend = page.locator("#pmf .legendtext")
    expect(legend.filter(has_text="socks")).to_be_visible()
    assert MARKUP in legend.all_text_contents(), "a text is shown as it was written"
    assert page.locator("#pmf .legend a").count() == 0
    expect(page.locator("#pmf-says")).to_contain_text("of the pmf")
    expect(page.locator("#delay-says")).to_contain_text("clicks came within")
    expect(page.locator("#fatigue-says")).to_contain_text("Send “seen”")
    expect(page.locator("#segments tbody")).to_contain_text("device: phone")


@pytest.mark.parametrize(
    ("form", "first"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<svg")], ids=["png", "svg"]
)
def test_a_chart_can_be_taken_away(form, first, dashboard, page, shown):
    page.goto(f"{dashboard.ui}/placements/{shown}")
    expect(page.locator("#reward .main-svg").first).to_be_visible()
    assert saved(page, f"[data-take={form}][data-of=reward]").startswith(first)


def test_a_table_can_be_taken_away_and_holds_no_formula(dashboard, page, shown):
    page.goto(f"{dashboard.ui}/placements/{shown}")
    expect(page.locator("tr[data-creative=a] [data-is=shown]")).not_to_have_text("–")
    table = saved(page, "[data-take=csv][data-of=creatives]").decode()
    header, *rows = table.splitlines()
    assert header.startswith("Creative,Status,Share,Posterior,Traffic,Reward rate")
    assert len(rows) == len(TEXTS)
    assert any(row.startswith("'=1+1 socks") for row in rows)


def test_a_creative_is_paused_and_resumed(dashboard, page):
    name = dashboard.placement("pausing", {"a": "Warm feet", "b": "Cold hands"})
    page.goto(f"{dashboard.ui}/placements/{name}")
    page.get_by_role("button", name="Pause a").click()
    expect(page.get_by_role("status").filter(has_text="a is paused.")).to_be_visible()
    assert {dashboard.client.rank(name, {}).creative_id for _ in range(10)} == {"b"}
    page.get_by_role("button", name="Resume a").click()
    expect(page.locator("tr[data-creative=a] .status")).to_have_text("live")


def test_what_changed_meanwhile_is_not_overwritten(dashboard, page):
    name = dashboard.placement("meanwhile", {"a": "Warm feet", "b": "Cold hands"})
    page.goto(f"{dashboard.ui}/placements/{name}")
    path = f"/v1/placements/{name}/creatives/a"
    dashboard.client.request("PATCH", path, {"status": "retired"})
    page.get_by_role("button", name="Pause a").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
    assert dashboard.client.request("GET", path)["status"] == "retired"


def test_a_policy_is_promoted_and_rolled_back(dashboard, page):
    name = dashboard.placement("policies", {"a": "Warm feet", "b": "Cold hands"})
    before = dashboard.client.request("GET", f"/v1/placements/{name}")["policy"]
    page.goto(f"{dashboard.ui}/placements/{name}")
    page.get_by_text("Promote another policy").click()
    page.get_by_label("A policy, as JSON").fill(json.dumps({"name": "uniform"}))
    page.get_by_label("Why", exact=True).fill("to see")
    page.get_by_role("button", name="Promote").click()
    expect(page.locator("#versions tbody tr")).to_have_count(2)
    expect(page.locator("#versions tbody tr").first).to_contain_text("to see")
    found = dashboard.client.request("GET", f"/v1/placements/{name}")
    assert found["policy"]["name"] == "uniform"
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Roll back to 1").click()
    expect(page.locator("#versions tbody tr")).to_have_count(3)
    assert dashboard.client.request("GET", f"/v1/placements/{name}")["policy"] == before


def test_what_is_no_policy_changes_nothing(dashboard, page):
    name = dashboard.placement("no-policy", {"a": "Warm feet"})
    page.goto(f"{dashboard.ui}/placements/{name}")
    page.get_by_text("Promote another policy").click()
    for text, words in (("{", "no JSON"), ('{"name": "best"}', "Nothing was changed")):
        page.get_by_text("Promote another policy").click() if text != "{" else None
        page.get_by_label("A policy, as JSON").fill(text)
        page.get_by_role("button", name="Promote").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
    assert len(dashboard.client.request("GET", f"/v1/placements/{name}/policy/versions")) == 1


def test_a_placement_without_creatives_says_what_to_do(dashboard, page):
    dashboard.placement("bare", {})
    page.goto(f"{dashboard.ui}/placements/bare")
    expect(page.get_by_role("heading", name="No creative yet")).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"{dashboard.api}/v1/placements/bare/creatives")


def test_dark_and_light_are_switched_and_remembered(dashboard, page, shown):
    page.goto(f"{dashboard.ui}/placements/{shown}")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Change between dark and light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


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
