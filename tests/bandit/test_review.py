import json

import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.errors import ReviewError
from bandit.review import creatives_with, review
from streams.catalogue.state import catalogue_message
from streams.catalogue.writer import CatalogueWriter
from streams.errors import LogUrlError
from streams.events import Creative, Placement
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics


def creative(name, status, placement="home"):
    return Creative(
        id=name,
        placement=placement,
        parts={"headline": f"Text of {name}"},
        status=status,
        timestamp_ms=1,
    )


EVENTS = (
    Placement(name="home"),
    creative("a", "screened"),
    creative("b", "proposed"),
    creative("c", "live"),
    creative("d", "rejected"),
)


@pytest.fixture
def log():
    log = MemoryLog()
    create_topics(log)
    log.append([catalogue_message(event) for event in EVENTS])
    return log


@pytest.fixture
def data(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    create_topics(log)
    log.append([catalogue_message(event) for event in EVENTS])
    log.close()
    return ["--data", str(tmp_path)]


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
