"""One browser and one `copyloop up` for all tests of the dashboard: both take seconds to start.

Both end with the last test here: Playwright keeps an event loop running in this thread, and others
want one of their own.
"""

import pytest
from playwright.sync_api import expect

from tests.bandit.dashboard.visits import Dashboard, visiting, wait_for_pages
from tests.chromium import chromium
from tests.running import copyloop_up, free_port

# Patience for a machine that is busy; no test asserts a time.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="package")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def dashboard(tmp_path_factory):
    """`copyloop up` without keys and without a generator, on a SQLite log."""
    port = free_port()
    folder = tmp_path_factory.mktemp("dashboard")
    with copyloop_up(folder, "--no-generator", ui=("--ui-port", str(port))) as url:
        found = Dashboard(url, f"http://127.0.0.1:{port}/ui", f"sqlite:///{folder / 'log.db'}")
        wait_for_pages(found.ui)
        yield found
        found.client.close()


@pytest.fixture
def page(browser):
    """A page of a visitor who was never here; at the end nothing may have gone wrong on it."""
    with visiting(browser) as watched:
        yield watched.page
        watched.check()
