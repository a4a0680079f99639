"""Pictures of the main pages for the README: `make screenshots` makes them anew.

The demo's audience visits the demo's placements, as `copyloop up` serves them, with headlines
written by hand so that no language model is waited for; everything shown came of that. The
Generator page alone is of a loop that taught itself, since that takes a while: `--loop DATA` takes
it from the folder that one ran in.
"""

import argparse
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from rich.progress import track

from bandit.simulate import TasteWorld
from generator.demo.audience import Audience
from tests.bandit.dashboard.visits import Dashboard, visiting, wait_for_pages
from tests.chromium import chromium
from tests.running import copyloop_up, free_port

FOLDER = Path("bandit/dashboard/screenshots")
SIZE = {"width": 1280, "height": 800}
LARGEST_BYTES = 200_000
VISITS_PER_SECOND = 60.0
WINDOW_SECONDS = 20.0
HEADLINES = {
    "coffee": [
        "Fresh beans, every second week",
        "Roasted today, brewed on Monday",
        "The office coffee you never had?",
        "Cancel any time. Nobody does",
        "Better mornings at home",
    ],
    "night-train": [
        "Wake up in Stockholm",
        "A cabin for two, breakfast in bed",
        "Skip the queue, keep the weekend",
        "Fall asleep at home, arrive rested",
        "What if the journey was the best part?",
    ],
    "budget-app": [
        "Know your week before it starts",
        "Free for students, kind to rent",
        "Where did your money go?",
        "Set a limit. Keep it",
        "Your budget, sorted in a minute",
    ],
}
PROPOSED = [
    ("Beans that know your calendar", "headline"),
    ("The best coffee in the world", "headline"),
    ("Two weeks of good mornings, at your door", "headline"),
]


def prepare(dashboard):
    """Makes the placements with their creatives, and some that wait for a review."""
    reward = {"kinds": {"click": {"aggregation": "max"}}, "window_seconds": WINDOW_SECONDS}
    for name, headlines in HEADLINES.items():
        named = {f"{name}-{number}": text for number, text in enumerate(headlines, start=1)}
        dashboard.placement(
            name,
            named,
            reward=reward,
            policy={"name": "text_thompson", "mean": 0.1, "epsilon": 0.05},
            safety={"baseline": f"{name}-1"},
        )
    for number, (text, part) in enumerate(PROPOSED, start=6):
        body = {"id": f"coffee-{number}", "parts": {part: text}, "status": "proposed"}
        dashboard.client.request("POST", "/v1/placements/coffee/creatives", body)


def visit(dashboard, seconds):
    """Lets the audience come for so long, and waits until what it did is counted."""
    world = TasteWorld(1, click_delay_seconds=1.0, conversion_delay_seconds=3.0)
    audience = Audience(dashboard.api, world, list(HEADLINES), visits_per_second=VISITS_PER_SECOND)
    audience.start()
    for second in track(range(round(seconds)), description="visitors come"):
        time.sleep(1.0)
        if second == round(seconds / 2):
            body = {"policy": {"name": "thompson", "alpha": 1, "beta": 9}, "why": "to compare"}
            dashboard.client.request("POST", "/v1/placements/budget-app/policy/promote", body)
    audience.stop()
    for _ in track(range(round(WINDOW_SECONDS) + 4), description="rewards come"):
        time.sleep(1.0)


def evaluate(dashboard):
    """Has a log judged, and returns the report's id once it is there."""
    policies = [{"name": name, "policy": {"name": name}} for name in ("top_two", "epsilon_greedy")]
    path = "/v1/placements/coffee/evaluations"
    body = {"name": "Would another policy earn more?", "policies": policies}
    made = dashboard.client.request("POST", path, body)["id"]
    while (found := dashboard.client.request("GET", f"{path}/{made}"))["status"] != "succeeded":
        assert found["status"] != "failed", found["description"]
        time.sleep(0.5)
    return made


def pages_of(evaluation):
    """The pages that are taken, by the names of their pictures."""
    return {
        "overview": "",
        "placement": "/placements/coffee",
        "review": "/review",
        "evaluation": f"/evaluations/coffee/{evaluation}",
        "health": "/health",
    }


def take(dashboard, folder, pages):
    """Writes the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for name, path in track(pages.items(), description="pictures"):
            with visiting(browser, viewport=SIZE, color_scheme="light") as watched:
                watched.page.goto(f"{dashboard.ui}{path}")
                watched.page.wait_for_timeout(4000)  # until the charts stand still
                picture = folder / f"{name}.png"
                watched.page.screenshot(path=picture)
                size = picture.stat().st_size
                assert size < LARGEST_BYTES, f"{picture} has {size} bytes"
                watched.check()


@contextmanager
def dashboard_of(data):
    """The dashboard of a copyloop that runs in this folder."""
    port = free_port()
    with copyloop_up(data, "--no-generator", ui=("--ui-port", str(port))) as url:
        dashboard = Dashboard(url, f"http://127.0.0.1:{port}/ui")
        wait_for_pages(dashboard.ui)
        yield dashboard
        dashboard.client.close()


def main():
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0, help="how long visitors come")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--loop", type=Path, help="take the Generator page of this folder instead")
    told = parser.parse_args()
    if told.loop is not None:
        with dashboard_of(told.loop) as dashboard:
            take(dashboard, told.out, {"generator": "/generator"})
        return
    with (
        tempfile.TemporaryDirectory(prefix="copyloop-") as data,
        dashboard_of(Path(data)) as dashboard,
    ):
        prepare(dashboard)
        visit(dashboard, told.seconds)
        take(dashboard, told.out, pages_of(evaluate(dashboard)))


if __name__ == "__main__":
    main()
