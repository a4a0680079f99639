import json

import pytest
from msgspec import UNSET, Raw
from msgspec.structs import replace
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.errors import GeneratorVersionError, GeneratorVersionUnknown, ReviewError
from bandit.lifecycle import (
    VERSION_TRANSITIONS,
    creatives_with,
    on_trial,
    promoted,
    rejected,
    review,
    rolled_back,
)
from streams.catalogue.state import Catalogue
from streams.catalogue.writer import CatalogueWriter
from streams.errors import LogUrlError
from streams.events import Generation, Lineage, Placement
from streams.events.creatives import GeneratorVersion
from tests.bandit.decisions import a_creative
from tests.bandit.histories import data_folder, new_log

EVENTS = (
    Placement(name="home"),
    a_creative("a", "Text of a", "screened"),
    a_creative("b", "Text of b", "proposed"),
    a_creative("c"),
    a_creative("d", status="rejected"),
)


@pytest.fixture
def log():
    return new_log(*EVENTS)


@pytest.fixture
def data(tmp_path):
    return ["--data", str(data_folder(tmp_path, *EVENTS))]


def judge(log, name, reason=None):
    return review(CatalogueWriter(log), "home", name, reason, "eve")


def test_those_that_wait_are_listed(log):
    catalogue = CatalogueWriter(log).catalogue
    assert [c.id for c in creatives_with(catalogue)] == ["a", "b"]
    assert [c.id for c in creatives_with(catalogue, "home", ["live"])] == ["c"]
    with pytest.raises(ReviewError, match="no placement 'away'; the log has: home"):
        creatives_with(catalogue, "away")


def test_a_yes_makes_it_live_and_a_no_keeps_the_reason(log):
    assert judge(log, "a").status == "live"
    found = judge(log, "b", "tone: too loud ")
    assert (found.status, found.reason) == ("rejected", "tone: too loud")
    assert creatives_with(CatalogueWriter(log).catalogue) == []


def test_a_live_one_can_still_be_rejected(log):
    assert judge(log, "c", "legal").status == "rejected"


@pytest.mark.parametrize(
    ("name", "message"),
    [("c", "is live; a review cannot"), ("d", "is rejected"), ("x", "has no creative 'x'")],
)
def test_only_what_waits_is_approved(log, name, message):
    with pytest.raises(ReviewError, match=message):
        judge(log, name)


def test_what_is_rejected_stays_so_and_a_no_needs_a_reason(log):
    with pytest.raises(ReviewError, match="is rejected"):
        judge(log, "d", "again")
    with pytest.raises(ReviewError, match="needs a reason"):
        judge(log, "a", "  ")


def run(*arguments, answers=None):
    return CliRunner().invoke(
        app, ["creatives", *map(str, arguments)], input=answers, catch_exceptions=False
    )


def test_the_commands_list_approve_and_reject(data):
    listed = json.loads(run("list", "--format", "json", *data).stdout)
    assert [row["id"] for row in listed] == ["a", "b"]
    assert "a is live: Text of a" in run("approve", "home", "a", *data).stdout
    assert "b is rejected" in run("reject", "home", "b", "--reason", "tone: loud", *data).stdout
    assert json.loads(run("list", "--format", "json", *data).stdout) == []
    rejected = run("list", "--status", "rejected", "--format", "json", *data).stdout
    assert {row["reason"] for row in json.loads(rejected)} == {"", "tone: loud"}


def test_review_goes_through_what_waits(data):
    said = run("review", *data, answers="y\nn\ntoo loud\n").stdout
    assert "1 of 2, home/a" in said
    assert "headline: Text of b" in said
    assert "nothing waits" in run("review", *data).stdout
    rejected = json.loads(run("list", "--status", "rejected", "--format", "json", *data).stdout)
    assert {row["id"]: row["reason"] for row in rejected}["b"] == "too loud"


def test_review_may_skip_and_end(data):
    run("review", *data, answers="s\nq\n")
    assert len(json.loads(run("list", "--format", "json", *data).stdout)) == 2


def test_a_log_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(LogUrlError, match="there is no log"):
        run("list", "--data", tmp_path)


SAID = {"now_ms": 9, "by": "ann", "why": "because"}


def catalogue(*events):
    found = Catalogue()
    found.apply(Placement(name="home"), 0)
    return then(found, events)


def then(found, events):
    for event in events:
        found.apply(event, 1)
    return found


def version(name, status, replaces=None):
    return GeneratorVersion(id=name, status=status, timestamp_ms=1, replaces=replaces)


def written(name, adapter, status="live", **values):
    return a_creative(name, status=status, lineage=Lineage(adapter=adapter, **values))


def statuses(events):
    return {event.id: event.status for event in events}


def test_who_is_promoted_replaces_the_champion_whose_creatives_stay():
    found = catalogue(version("a", "live"), version("b", "canary"), written("1", "a"))
    made = promoted(found, "b", **SAID)
    assert statuses(made) == {"a": "retired", "b": "live"}
    assert then(found, made).champion == GeneratorVersion(
        id="b", status="live", timestamp_ms=9, replaces="a", reason="because", by="ann"
    )
    assert promoted(found, "b", **SAID) == []


def test_a_rollback_goes_back_and_retires_the_creatives_in_one():
    found = catalogue(
        version("a", "retired"),
        version("b", "live", replaces="a"),
        written("1", "a"),
        written("2", "b"),
        written("3", "b", status="screened"),
        written("4", "b", status="rejected"),
        written("5", None, parts={"headline": Lineage(adapter="b")}),
    )
    made = rolled_back(found, **SAID)
    assert statuses(made) == {
        "b": "rolled_back", "a": "live", "2": "retired", "3": "rejected", "5": "retired",
    }  # fmt: skip
    assert made[2].reason == "version_withdrawn: b: because"
    assert then(found, made).champion.id == "a"


def test_a_rollback_passes_over_versions_that_were_taken_back():
    found = catalogue(
        version("a", "retired"),
        version("b", "rolled_back", replaces="a"),
        version("c", "live", replaces="b"),
    )
    assert statuses(rolled_back(found, **SAID)) == {"c": "rolled_back", "a": "live"}


def test_two_versions_that_replaced_each_other_end_at_the_bare_model():
    found = catalogue(version("a", "rolled_back", replaces="b"), version("b", "live", replaces="a"))
    assert statuses(then(found, rolled_back(found, **SAID)).generator_versions()) == {
        "a": "rolled_back", "b": "rolled_back",
    }  # fmt: skip
    with pytest.raises(GeneratorVersionError, match="the bare model writes already"):
        rolled_back(found, **SAID)


def test_a_candidate_goes_on_trial_in_place_of_the_one_before():
    found = catalogue(version("a", "canary"), version("b", "candidate"), written("1", "a"))
    asked = Generation(
        id="g", placement="home", brief=Raw(b'{"product":"tea"}'), n=3, seed=5, status="done",
        timestamp_ms=1, winners=("w",), accepted=3,
    )  # fmt: skip
    made = on_trial(then(found, [asked]), "b", share=0.2, creatives=6, **SAID)
    assert statuses(made[:3]) == {"a": "rejected", "1": "retired", "b": "canary"}
    assert (made[2].canary.share, made[2].canary.since_ms) == (0.2, 9)
    beside, request = made[3:]
    assert request == replace(
        asked, id="canary-b-0", n=6, status="requested", timestamp_ms=9, winners=(), accepted=0,
        reason="version b is on trial", version="b",
    )  # fmt: skip
    # The champion is asked for as many, and not with the seed of what it wrote last.
    assert beside == replace(
        request, id="beside-b-0", seed=4, version=UNSET,
        reason="to hold version b against, which is on trial",
    )  # fmt: skip


def test_who_is_rejected_never_speaks_again():
    found = then(catalogue(version("a", "candidate")), [version("b", "live")])
    then(found, rejected(found, "a", **SAID))
    with pytest.raises(GeneratorVersionError, match="'a' is rejected and cannot become live"):
        promoted(found, "a", **SAID)
    with pytest.raises(GeneratorVersionError, match="it may become retired, rolled_back"):
        rejected(found, "b", **SAID)
    with pytest.raises(GeneratorVersionUnknown, match="'c'; the latest are: a, b"):
        rejected(found, "c", **SAID)


def test_every_status_that_may_be_come_to_may_be_left_or_is_the_end():
    assert {status for after in VERSION_TRANSITIONS.values() for status in after} < set(
        VERSION_TRANSITIONS
    )
