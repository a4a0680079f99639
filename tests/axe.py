"""axe on a page in a browser: what keeps people from using it."""

from pathlib import Path

SCRIPT = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")


def serious_faults(page):
    """What axe finds on the page that it calls serious or worse: the rule, and where."""
    assert SCRIPT.is_file(), "axe-core is missing; make node installs it"
    # Evaluated, since the page's own policy lets in no script that is not a file of its own.
    page.evaluate(SCRIPT.read_text() + "; undefined")
    found = page.evaluate("axe.run()")
    return [
        (fault["id"], [node["html"][:200] for node in fault["nodes"][:3]], fault["help"])
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]
