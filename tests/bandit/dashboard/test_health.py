"""Health: what is wrong, and mending it."""

import json
import time
from contextlib import closing

from playwright.sync_api import expect

from streams.dead_letters import dead_letter_message
from streams.events import OUTCOMES, Outcome, encode
from streams.logs.base import Message, Record
from streams.logs.opening import open_log
from tests.axe import serious_faults


def test_a_dead_letter_is_mended_and_replayed(dashboard, page):
    name = dashboard.placement("letters", {"a": "A"})
    decision = dashboard.client.rank(name, {})
    spoilt = json.dumps({"event_id": decision.event_id, "kind": "click"}) + "}"
    record = Record("outcomes", 0, 0, 0, decision.event_id.encode(), spoilt.encode())
    with closing(open_log(dashboard.log)) as log:
        log.append([dead_letter_message(record, "event_invalid", "it is no JSON")])
    page.goto(f"{dashboard.ui}/health?reason=event_invalid")
    letter = page.locator(".letter")
    expect(letter).to_have_count(1)
    expect(page.locator("[data-group=joiner]")).to_contain_text("records behind")
    expect(page.locator("#findings")).to_contain_text("event_invalid")
    letter.locator("summary").click()
    assert serious_faults(page) == []
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


def test_an_event_says_why_each_outcome_counts_or_does_not(dashboard, page):
    name = dashboard.placement("why", {"a": "A"})
    event_id = dashboard.client.rank(name, {}).event_id
    for _ in range(2):
        dashboard.client.outcome(name, event_id, "click", outcome_id="c-1")
    # The API refuses a kind that nobody rewards; other programs write to the log as they like.
    unknown = Outcome(
        event_id=event_id, outcome_id="c-2", kind="clck", timestamp_ms=time.time_ns() // 1_000_000
    )
    with closing(open_log(dashboard.log)) as log:
        log.append([Message(OUTCOMES, event_id.encode(), encode(unknown))])
    page.goto(f"{dashboard.ui}/health")
    page.get_by_label("Event id").fill(event_id)
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#event")).to_contain_text("may still count")
    for number, verdict in enumerate(("counted", "duplicate_outcome", "unknown_kind")):
        expect(page.locator("#outcomes tbody tr").nth(number)).to_contain_text(verdict)
    assert serious_faults(page) == []
    page.get_by_label("Event id").fill("f" * 32)
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#event")).to_contain_text("no decision")
