"""Versions changed on the log itself, by hand: adopt, list, promote, roll back, explain."""

import json

import pytest
from msgspec import Raw
from typer.testing import CliRunner

from bandit.lifecycle import promoted, rejected
from generator.brief.schema import Brief, brief_to_json
from generator.commands.main import generator_app as app
from generator.versions.registry import VersionRegistry
from streams.catalogue.audit_log import latest_acts
from streams.errors import ChangeRefused
from streams.events import Generation, Lineage, Placement
from streams.events.creatives import GateRow, GeneratorVersion
from streams.logs.sqlite import SqliteLog
from tests.bandit.decisions import a_creative
from tests.bandit.histories import data_folder

ROW = GateRow(rule="kl", value=1.0, bound=3.0, passed=True, why="1 nats per token")


@pytest.fixture
def data(tmp_path):
    """A data folder whose log has a champion with a creative, and a canary."""
    brief = brief_to_json(Brief(product="tea"))
    events = [
        Placement(name="home"),
        Generation(
            id="g", placement="home", brief=brief, n=3, seed=1, status="done", timestamp_ms=1
        ),
        GeneratorVersion(id="v1", status="retired", timestamp_ms=1),
        GeneratorVersion(id="v2", status="live", timestamp_ms=2, parent="v1", replaces="v1"),
        GeneratorVersion(id="v3", status="candidate", timestamp_ms=3, parent="v2", gate=(ROW,)),
        a_creative("c2", lineage=Lineage(model="m", adapter="v2")),
    ]
    return data_folder(tmp_path, *events)


def run(data, *words, code=0):
    result = CliRunner().invoke(app, [*words, "--data", str(data)])
    assert result.exit_code == code, result.output
    return result.output


def test_versions_are_listed_the_newest_first(data):
    found = json.loads(run(data, "list", "--format", "json"))
    assert [(each["version"], each["status"]) for each in found] == [
        ("v3", "candidate"),
        ("v2", "live"),
        ("v1", "retired"),
    ]


def test_promoted_and_rolled_back_by_hand(data):
    assert "v3 is live in place of v2" in run(data, "promote", "v3")
    assert "v2 is live again" in run(data, "rollback", "--why", "complaints")
    assert "v1 is live again" in run(data, "rollback", "--why", "complaints")
    log = SqliteLog(data / "log.db")
    registry = VersionRegistry(log, "ann")
    assert registry.catalogue.creative("home", "c2").status == "retired"
    assert latest_acts(log, limit=1)[0].target == "home/c2"
    log.close()
    assert "the bare model writes again" in run(data, "rollback")


def test_explained_step_by_step(data):
    run(data, "promote", "v3", "--why", "reads well")
    told = run(data, "explain", "v3")
    assert "taught beside v2" in told
    assert "1 nats per token" in told
    assert "reads well" in told
    found = json.loads(run(data, "explain", "v3", "--format", "json"))
    assert [state["status"] for state in found["history"]] == ["candidate", "live"]


def test_a_manifest_that_is_none_is_explained(data):
    odd = GeneratorVersion(id="v4", status="candidate", timestamp_ms=4, manifest=Raw(b"[1]"))
    data_folder(data, odd)
    assert 'unreadable: "the manifest is no JSON object' in run(data, "explain", "v4")
    found = json.loads(run(data, "explain", "v4", "--format", "json"))
    assert "unreadable" in found["version"]["manifest"]


def test_a_candidate_on_trial_is_asked_for_creatives(data):
    log = SqliteLog(data / "log.db")
    registry = VersionRegistry(log, "generator")
    registry.try_out("v3", share=0.3)
    assert (registry.catalogue.canary.id, registry.catalogue.canary.canary.share) == ("v3", 0.3)
    request = registry.catalogue.generation("canary-v3-0")
    assert (request.status, request.version, request.n) == ("requested", "v3", 8)
    log.close()


def test_of_two_changes_that_cross_only_the_first_counts(data):
    log = SqliteLog(data / "log.db")
    one, other = VersionRegistry(log, "ann"), VersionRegistry(log, "bob")

    class Late:
        """Lets another change through between looking and writing."""

        def append(self, messages):
            if one.version("v3").status == "candidate":
                one.move(rejected, "v3", "first")
            return log.append(messages)

        def __getattr__(self, name):
            return getattr(log, name)

    other._writer._log = Late()
    with pytest.raises(ChangeRefused, match="look at it again"):
        other.move(promoted, "v3", "second")
    catalogue = VersionRegistry(log, "eve").catalogue
    assert [step.status for step in catalogue.generator_steps("v3")] == ["candidate", "rejected"]
    assert catalogue.champion.id == "v2"
    log.close()
