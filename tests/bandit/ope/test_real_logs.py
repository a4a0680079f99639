"""What comes of logs that others made, and of a placement's own archive."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.readers import open_reader
from streams.events import Action
from tests.bandit.decisions import a_decision
from tests.bandit.histories import archived, interaction

DSJSON = Path(__file__).parents[3].parent / "shared" / "data" / "dsjson"


def events_in(name):
    """Decisions of a file, and what they cost, as its bare JSON says: one a slot."""
    costs = []
    for line in (DSJSON / name).read_text().splitlines():
        event = json.loads(line) if line.strip() else {}
        for logged in event.get("_outcomes", [event] if "_label_cost" in event else []):
            skipped = logged.get("_skipLearn") or event.get("_skipLearn")
            costs += [] if skipped else [logged["_label_cost"]]
    return costs


@pytest.mark.skipif(not DSJSON.is_dir(), reason=f"no {DSJSON} here")
@pytest.mark.parametrize("name", ["dsjson_cb.json", "decisionservice.json", "ccb_data.json"])
def test_the_logged_policy_earned_what_was_logged(name):
    log, costs = partial(open_reader, "dsjson", DSJSON / name), events_in(name)
    found = evaluate(log, [], Options(("ips", "snips")))
    assert found.n == len(costs)
    for row in found.policies[0].estimates:
        assert row.value == pytest.approx(-np.mean(costs), abs=1e-9), row.estimator


@pytest.fixture
def archive(tmp_path):
    """A placement that showed b more and more, learned in real time, with clicks afterwards."""
    rng = np.random.default_rng(7)
    events, sequence = [], 0
    for number in range(1500):
        share = 0.5 + 0.3 * number / 1500
        index = int(rng.random() < share)
        decision = a_decision(
            f"e{number}",
            (Action("a"), Action("b")),
            (1.0 - share, share),
            index,
            at_ms=1750000000000 + 60000 * number,
            context={"device": ("mobile", "desktop")[number % 2]},
        )
        clicked = rng.random() < (0.1, 0.3)[index]
        rewards = [(0.0, None), (1.0, 0.0)] if clicked else [(0.0, None)]
        for reward, previous in rewards:
            status = "provisional" if previous is None else "corrected"
            events.append(interaction(decision, sequence, reward, status=status, previous=previous))
            sequence += 1
    return archived(tmp_path / "archive", events)


def test_a_live_placement_s_archive_makes_the_same_page(archive):
    words = ["evaluate", str(archive), "--placement", "home", "--policy", "constant:b"]
    words += ["--segment", "device", "--creatives", "--format", "html", "--processes", "1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    page = done.stdout
    for said in ("Over time", "By device", "By creative", "The reward model", "time (UTC)"):
        assert said in page, said
    assert "It would have earned" in page
    assert "more than logged" in page
    assert not any(word in page for word in ("src=", "<link", "@import", "url(http"))


def test_a_live_placement_s_figures_are_what_it_earned(archive):
    log = partial(open_reader, "archive", archive, placement="home")
    rewards = [event.reward for event in log()]
    found = evaluate(log, ["constant:b"], Options(("snips",), creatives=True, level=0.999))
    logged, always = found.policies
    assert logged.estimates[0].value == pytest.approx(np.mean(rewards))
    assert 0.3 in always.estimates[0].interval
    assert sum(part.n for part in logged.over_time) == 1500
    assert {one.creative_id: one.shown for one in found.creatives} == {
        name: sum(e.decision.action.id == name for e in log()) for name in "ab"
    }
