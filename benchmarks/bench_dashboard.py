"""How soon is a page of the dashboard there, and does a tab that is left open grow?

A hundred placements with ten creatives each, visited beforehand. A page is there once its figures
are on it, by the stream, in a Chromium that has its files already. The baseline is the page that
asks the API nothing: the sign-in. For the tab, visitors keep coming to all placements; its heap is
read after garbage is collected, and the slope is of the later three quarters.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from bandit.client import Client
from tests.bandit.dashboard.visits import Dashboard, visiting, wait_for_pages
from tests.chromium import chromium
from tests.running import copyloop_up, free_port

PLACEMENTS = 100
CREATIVES = 10
VISITS = 3_000
ROUNDS = 9
SAMPLE_SECONDS = 10.0
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a head."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A running copyloop with the placements, visited."""
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("bench-dashboard")
    with copyloop_up(folder, "--no-generator", ui=("--ui-port", str(port))) as url:
        found = Dashboard(url, f"http://127.0.0.1:{port}/ui")
        wait_for_pages(found.ui)
        for number in range(PLACEMENTS):
            texts = {f"c{c}": f"Headline {c} of {number}" for c in range(CREATIVES)}
            found.placement(f"p{number:03}", texts)
        visit(found.client, VISITS)
        yield found
        found.client.close()


def visit(client: Client, number: int, seed: int = 1) -> None:
    """Sends visitors to the placements in turn; one in ten clicks."""
    chance = random.Random(seed)
    for each in range(number):
        name = f"p{each % PLACEMENTS:03}"
        decision = client.rank(name, {"device": chance.choice(["phone", "desktop"])})
        if chance.random() < 0.1:
            client.outcome(name, decision.event_id, "click")


def filled(page: Page) -> None:
    """Waits until the last placement's traffic is on the overview."""
    last = page.locator(f"tr[data-placement='p{PLACEMENTS - 1:03}'] [data-is=shown]")
    last.filter(has_text="3").wait_for(timeout=PATIENCE_MS)


def drawn(page: Page) -> None:
    """Waits until no chart of the placement is still to be drawn."""
    loading = page.locator(".says").filter(has_text="Loading").first
    loading.wait_for(state="detached", timeout=PATIENCE_MS)


def there(page: Page) -> None:
    """Waits for the form."""
    page.locator("#credential").wait_for()


def seconds(page: Page, url: str, ready: Callable[[Page], None]) -> float:
    """Returns how long the page takes from its address to its figures."""
    began = time.perf_counter()
    page.goto(url)
    ready(page)
    return time.perf_counter() - began


PAGES = {
    "overview": ("", filled),
    "placement": ("/placements/p000", drawn),
}


@pytest.mark.parametrize("name", PAGES)
def test_interactive(benchmark: Any, dashboard: Dashboard, browser: Browser, name: str) -> None:
    """From address to figures, with the sign-in measured in between."""
    path, ready = PAGES[name]
    with visiting(browser) as watched:
        page = watched.page
        seconds(page, f"{dashboard.ui}{path}", ready)  # the browser has the files from here on
        bare: list[float] = []

        def other() -> None:
            bare.append(seconds(page, f"{dashboard.ui}/sign-in", there))

        benchmark.pedantic(
            lambda: seconds(page, f"{dashboard.ui}{path}", ready), setup=other, rounds=ROUNDS
        )
    benchmark.extra_info["placements"] = PLACEMENTS
    benchmark.extra_info["creatives"] = PLACEMENTS * CREATIVES
    benchmark.extra_info["slowest_seconds"] = benchmark.stats.stats.max
    benchmark.extra_info["times_the_sign_in"] = benchmark.stats.stats.median / statistics.median(
        bare
    )


def test_a_tab_left_open(
    benchmark: Any, dashboard: Dashboard, browser: Browser, pytestconfig: pytest.Config
) -> None:
    """The overview, while visitors come; what its heap gains an hour, and with a million events."""
    tab_seconds = float(pytestconfig.getoption("--tab-seconds"))
    stop = threading.Event()

    def keep_coming() -> None:
        with Client(dashboard.api) as client:
            for seed in range(1_000_000):
                visit(client, PLACEMENTS, seed)
                if stop.wait(0.5):
                    return

    visitors = threading.Thread(target=keep_coming)
    with visiting(browser) as watched:
        page = watched.page
        debugger = page.context.new_cdp_session(page)
        counted = [0]
        debugger.on("Network.eventSourceMessageReceived", lambda _: _count(counted))
        debugger.send("Network.enable")
        page.goto(dashboard.ui)
        filled(page)
        visitors.start()
        samples: list[tuple[float, float]] = []

        def watch() -> None:
            began = time.monotonic()
            while (now := time.monotonic() - began) < tab_seconds:
                page.wait_for_timeout(1000 * SAMPLE_SECONDS)
                debugger.send("HeapProfiler.collectGarbage")
                samples.append((now, debugger.send("Runtime.getHeapUsage")["usedSize"]))

        benchmark.pedantic(watch, rounds=1)
        stop.set()
        visitors.join()
    later = np.array(samples[len(samples) // 4 :])
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0])
    benchmark.extra_info["events"] = counted[0]
    benchmark.extra_info["heap_mib_at_first"] = samples[0][1] / 2**20
    benchmark.extra_info["heap_mib_at_last"] = samples[-1][1] / 2**20
    benchmark.extra_info["kib_an_hour"] = slope * 3600 / 2**10
    benchmark.extra_info["bytes_an_event"] = slope * tab_seconds / max(counted[0], 1)


def _count(counted: list[int]) -> None:
    counted[0] += 1
