"""Whether everybody can use a page, as axe sees it."""

from tests.javascript import FOLDER

SCRIPT = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")


def faults(page):
    """Runs axe on the page as it is; returns the faults that keep somebody out."""
    assert SCRIPT.is_file(), "axe is missing; make node"
    # by the debugger, not by a script element, which the pages' policy rightly refuses
    page.evaluate(SCRIPT.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


def is_wider_than_its_window(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")
