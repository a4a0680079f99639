"""Evaluations: asked for by a form, and read once they are there."""

import time

from playwright.sync_api import expect

from tests.axe import serious_faults


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
    assert serious_faults(page) == []
    page.get_by_role("link", name=f"Evaluations of {name}").click()
    expect(page.locator("#evaluations")).to_contain_text("succeeded")
    assert serious_faults(page) == []
    # what is no policy is refused with words
    page.get_by_text("A policy of your own").click()
    page.get_by_label("Its spec, as JSON").fill("{")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("no JSON")
