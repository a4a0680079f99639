"""What tests of the dashboard do: make a placement, send it visitors, look at the pages."""

import random
import time
from contextlib import contextmanager

import httpx

from bandit.client import Client
from tests.chromium import Watched

PATIENCE_SECONDS = 30


class Dashboard:
    """A running copyloop: where its API and its pages are, and a client of the API."""

    def __init__(self, api, ui, key=None):
        self.api = api
        self.ui = ui
        self.client = Client(api, api_key=key)

    def placement(self, name, headlines, **body):
        """Makes a placement that learns at once, with a creative for each headline."""
        reward = {"kinds": {"click": {"aggregation": "max"}}, "window_seconds": 600}
        self.client.request(
            "PUT", f"/v1/placements/{name}", {"learn": "realtime", "reward": reward} | body
        )
        creatives = [{"id": key, "parts": {"headline": text}} for key, text in headlines.items()]
        if creatives:
            self.client.request("POST", f"/v1/placements/{name}/creatives", creatives)
        return name

    def visitors(self, name, clicks, number, seed=1):
        """Sends visitors, who click on a creative as often as `clicks` says."""
        chance = random.Random(seed)
        for _ in range(number):
            device = chance.choice(["phone", "desktop"])
            decision = self.client.rank(name, {"device": device})
            if chance.random() < clicks.get(decision.creative_id, 0.0):
                self.client.outcome(name, decision.event_id, "click")


def wait_for_pages(url):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} gave no answer in {PATIENCE_SECONDS} s")


@contextmanager
def visiting(browser, **options):
    """A page of a visitor who was never here."""
    context = browser.new_context(**options)
    try:
        yield Watched(context.new_page())
    finally:
        context.close()


def saved(page, selector):
    """The bytes of what a click on this saves."""
    with page.expect_download() as download:
        page.locator(selector).click()
    return download.value.path().read_bytes()
