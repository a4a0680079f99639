"""Review, Generator, Evaluations and Health, as a browser shows them and a person uses them."""

import json
import time

import msgspec
import pytest
from playwright.sync_api import expect

from streams.catalogue import catalogue_message
from streams.dead_letter import dead_letter_message
from streams.generator_versions import Canary, GateRow, GeneratorVersion
from streams.log import Record
from streams.sqlite import SqliteLog
from tests.bandit.dashboard.axe import faults, is_wider_than_its_window
from tests.bandit.dashboard.visits import visiting

PAGES = ["review", "generator", "evaluations", "health"]


@pytest.fixture(scope="module")
def log(dashboard, tmp_path_factory):
    """The log that the dashboard's API serves, for what no route writes."""
    (path,) = tmp_path_factory.getbasetemp().glob("dashboard0/log.db")
    log = SqliteLog(path)
    yield log
    log.close()


def propose(dashboard, placement, creative, text, status="proposed"):
    body = {"id": creative, "parts": {"headline": text}, "status": status}
    dashboard.client.request("POST", f"/v1/placements/{placement}/creatives", body)


def creative(dashboard, placement, name):
    return dashboard.client.request("GET", f"/v1/placements/{placement}/creatives/{name}")


def version(log, name, status, replaces=None, **fields):
    manifest = json.dumps({"method": "dpo", "model": "smollm2", "rows": 216, "loss": 0.6129})
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
    log.append([catalogue_message(made)])


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_page_says_what_to_do(dashboard, page, name):
    page.goto(f"{dashboard.ui}/{name}")
    expect(page.locator("main h1")).to_be_visible()
    assert faults(page) == []


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


def test_a_generator_version_is_rolled_back(dashboard, page, log):
    version(log, "first", "retired")
    version(log, "second", "live", replaces="first")
    canary = Canary(since_ms=1, n=400, low=0.01, high=0.05, champion_low=0.02, champion_high=0.04)
    version(log, "third", "canary", canary=canary)
    page.goto(f"{dashboard.ui}/generator")
    row = page.locator("[data-version=second]")
    expect(row).to_contain_text("live")
    expect(row).to_contain_text("2 of 2 passed")
    expect(page.locator("[data-version=third]")).to_contain_text("400 decisions")
    assert faults(page) == []
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


def test_a_version_that_comes_shows_without_reload(dashboard, page, log):
    page.goto(f"{dashboard.ui}/generator")
    page.evaluate("window.stayed = true")
    page.wait_for_timeout(500)
    version(log, "newcomer", "candidate")
    expect(page.locator("[data-version=newcomer]")).to_be_visible(timeout=15_000)
    assert page.evaluate("window.stayed")


def test_an_evaluation_is_started_and_read(dashboard, page):
    reward = {"window_seconds": 0.5, "grace_seconds": 0.1}
    name = dashboard.placement("judged", {"a": "A", "b": "B"}, reward=reward, learn="window")
    dashboard.visitors(name, {"a": 0.5}, 60)
    figures = f"/v1/placements/{name}/figures"
    deadline = time.monotonic() + 30
    while dashboard.client.request("GET", figures)["lifts"][0]["n"] < 60:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    page.goto(f"{dashboard.ui}/evaluations?placement={name}")
    page.get_by_label("What you want to know").fill("Would top two earn more?")
    page.get_by_label("top_two").check()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Would top two earn more?")).to_be_visible()
    table = page.locator("#judged tbody")
    expect(table).to_contain_text("top_two", timeout=90_000)
    expect(table).to_contain_text("online")
    assert faults(page) == []
    page.get_by_role("link", name=f"Evaluations of {name}").click()
    expect(page.locator("#evaluations")).to_contain_text("succeeded")
    assert faults(page) == []
    # what is no policy is refused with words
    page.get_by_text("A policy of your own").click()
    page.get_by_label("Its spec, as JSON").fill("{")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("no JSON")


def test_a_dead_letter_is_mended_and_replayed(dashboard, page, log):
    name = dashboard.placement("letters", {"a": "A"})
    decision = dashboard.client.rank(name, {})
    spoilt = json.dumps({"event_id": decision.event_id, "kind": "click"}) + "}"
    record = Record("outcomes", 0, 0, 0, decision.event_id.encode(), spoilt.encode())
    log.append([dead_letter_message(record, "event_invalid", "it is no JSON")])
    page.goto(f"{dashboard.ui}/health?reason=event_invalid")
    letter = page.locator(".letter")
    expect(letter).to_have_count(1)
    expect(page.locator("[data-group=joiner]")).to_contain_text("records behind")
    expect(page.locator("#findings")).to_contain_text("event_invalid")
    letter.locator("summary").click()
    assert faults(page) == []
    letter.locator("textarea").fill("{")
    letter.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("alert")).to_contain_text("was not sent")
    page.goto(f"{dashboard.ui}/health?reason=event_invalid")
    page.locator(".letter summary").click()
    outcome = {
        "type": "outcome", "event_id": decision.event_id, "outcome_id": "mended",
        "kind": "click", "timestamp_ms": time.time_ns() // 1_000_000,
    }  # fmt: skip
    page.locator(".letter textarea").fill(json.dumps(outcome))
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status").filter(has_text="was sent again")).to_be_visible()
    found = dashboard.client.request("GET", f"/v1/decisions/{decision.event_id}")
    assert [each["outcome_id"] for each in found["outcomes"]] == ["mended"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_fit_a_phone_dark_and_light(dashboard, browser, scheme):
    name = dashboard.placement(f"phone-{scheme}", {"a": "A"})
    propose(dashboard, name, "long", "A headline that is far longer than a phone is wide " * 3)
    size = {"width": 360, "height": 740}
    with visiting(browser, viewport=size, color_scheme=scheme) as watched:
        for each in PAGES:
            watched.page.goto(f"{dashboard.ui}/{each}")
            assert not is_wider_than_its_window(watched.page), each
            assert faults(watched.page) == [], each
        watched.check()
