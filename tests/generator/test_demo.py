"""The demo, small: the same processes, model and steps as `make demo`, with less traffic."""

import json
import subprocess

import pytest
from rich.console import Console

from generator.demo.story import DemoSettings, run_demo
from generator.errors import BackendMissing
from generator.models import opening
from streams.events import POLICIES, PolicySnapshot, decode
from streams.logs.base import TopicPartition
from streams.logs.opening import open_log
from tests.bandit.histories import catalogue_of
from tests.running import COPYLOOP

PLACEMENTS = ["budget-app", "coffee", "night-train"]


def copyloop(*arguments):
    command = [*COPYLOOP, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture(scope="module")
def demo(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("demo") / "data"
    quick = ("--creatives", 3, "--learn-seconds", 6, "--compete-seconds", 4, "--visits", 60)
    return folder, copyloop("demo", "--data", folder, "--seed", 3, *quick)


@pytest.mark.model
def test_the_demo_ends_well_and_says_where_its_data_is(demo):
    folder, done = demo
    assert done.returncode == 0, done.stderr + (folder / "up.log").read_text()
    said = " ".join(done.stdout.split())
    assert folder.name in said
    assert "everything agrees" in said
    assert all(name in said for name in PLACEMENTS)
    assert {"log.db", "archive", "checkpoints", "up.log"} <= {p.name for p in folder.iterdir()}


@pytest.mark.model
def test_every_decision_of_the_demo_can_be_derived_again(demo):
    done = copyloop("audit", "--data", demo[0], "--format", "json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["clean"]
    assert report["decisions"] > 200
    assert report["versions_verified"] == report["versions"] > len(PLACEMENTS)


@pytest.mark.model
def test_the_model_writes_twice_and_is_shown_the_winners_the_second_time(demo):
    log = open_log(f"sqlite:///{demo[0] / 'log.db'}")
    catalogue = catalogue_of(log)
    for placement in PLACEMENTS:
        first, second = catalogue.generations(placement)
        assert first.status == second.status == "done"
        assert first.winners == ()
        texts = {c.parts["headline"] for c in catalogue.creatives(placement)}
        assert second.winners
        assert set(second.winners) <= texts
        written_by = {c.lineage.generation_id for c in catalogue.live(placement)}
        assert written_by == {first.id, second.id}
    log.close()


@pytest.mark.model
def test_the_policies_learned_from_the_demos_clicks(demo):
    log = open_log(f"sqlite:///{demo[0] / 'log.db'}")
    snapshots = [decode(r.value) for r in log.read(TopicPartition(POLICIES, 0), 0)]
    assert {s.placement for s in snapshots if isinstance(s, PolicySnapshot)} == set(PLACEMENTS)
    assert all(s.offset > 0 for s in snapshots)
    log.close()


def test_without_a_model_the_headlines_come_from_a_file_and_it_says_so(tmp_path):
    quick = ("--learn-seconds", 3, "--compete-seconds", 2, "--visits", 60)
    done = copyloop("demo", "--light", "--data", tmp_path / "data", *quick)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "no model writes" in said
    assert "second round, coffee: 8 creatives" in said
    assert "everything agrees" in said


def test_without_its_packages_it_says_what_to_install_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "find_spec", lambda package: None)
    folder = tmp_path / "data"
    settings = DemoSettings(
        directory=folder, seed=1, model="smollm2", creatives=2, learn_seconds=1.0,
        compete_seconds=1.0, visits_per_second=1.0,
    )  # fmt: skip
    with pytest.raises(BackendMissing, match=r"copyloop\[generator\].*demo --light"):
        run_demo(settings, Console())
    assert not folder.exists()


def test_the_demo_never_writes_into_a_folder_that_is_there(tmp_path):
    done = copyloop("demo", "--data", tmp_path)
    assert done.returncode == 2
    assert "demo_failed" in done.stderr
