"""A real Chromium for tests: Debian's, without a head, that asks nobody on its own account."""

import shutil
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium():
    path = shutil.which("chromium")
    assert path, "there is no chromium; make chromium installs it"
    with sync_playwright() as playwright:
        # Launched by Playwright, it has a fresh profile in a folder of its own.
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Watched:
    """A page, with all that went wrong on it and all that it asked for."""

    def __init__(self, page):
        self.page = page
        self.errors = []
        self.hosts = set()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _request(self, request):
        if not request.url.startswith(("data:", "blob:")):
            self.hosts.add(request.url.split("/")[2].rpartition(":")[0])

    def check(self):
        assert self.errors == [], self.errors
        assert self.hosts == {"127.0.0.1"}
