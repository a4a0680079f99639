"""What tests of the dashboard do: make a placement, send it visitors, look at the pages."""

import random
import time
from contextlib import contextmanager

import httpx

from bandit.client import Client
from streams.catalogue.state import catalogue_message
from streams.events import Creative
from streams.logs.opening import open_log
from tests.bandit.service.api_server import wait_until
from tests.chromium import Watched

PATIENCE_SECONDS = 30


class Dashboard:
    """A running copyloop: where its API and its pages are, and a client of the API."""

    def __init__(self, api, ui, log=None):
        self.api = api
        self.ui = ui
        self.log = log
        self.client = Client(api)

    def write(self, *events):
        """Writes to the catalogue as the generator does, and waits until the API has read it."""
        log = open_log(self.log)
        log.append([catalogue_message(event) for event in events])
        log.close()
        for event in events:
            if isinstance(event, Creative):
                path = f"/v1/placements/{event.placement}/creatives/{event.id}"
                wait_until(lambda path=path: self.client.answer(path).is_success)

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
