import json

import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.errors import ReviewError
from bandit.review import ReviewDesk
from streams.access import Act
from streams.catalogue import CatalogueReader, catalogue_message, changed
from streams.errors import LogUrlError
from streams.events import ACTS, Creative, Placement, decode
from streams.log import TopicPartition
from streams.memory import MemoryLog
from streams.sqlite import SqliteLog
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


def now(log, name):
    reader = CatalogueReader(log)
    reader.catch_up()
    return reader.catalogue.creative("home", name)


def test_those_that_wait_are_listed(log):
    assert [c.id for c in ReviewDesk(log, "eve").creatives()] == ["a", "b"]
    assert [c.id for c in ReviewDesk(log, "eve").creatives("home", ["live"])] == ["c"]
    with pytest.raises(ReviewError, match="no placement 'away'; the log has: home"):
        ReviewDesk(log, "eve").creatives("away")


def test_a_yes_makes_it_live_and_a_no_keeps_the_reason(log):
    desk = ReviewDesk(log, "eve")
    assert desk.approve("home", "a", 5).status == "live"
    desk.reject("home", "b", "tone: too loud", 6)
    assert now(log, "a").status == "live"
    assert (now(log, "b").status, now(log, "b").reason) == ("rejected", "tone: too loud")
    assert desk.creatives() == []


def test_every_verdict_is_recorded_with_who_gave_it(log):
    ReviewDesk(log, "eve").approve("home", "a", 5)
    [act] = [decode(record.value) for record in log.read(TopicPartition(ACTS, 0), 0)]
    assert isinstance(act, Act)
    assert (act.who, act.target, act.after) == ("eve", "home/a", {"status": "live"})


def test_a_live_one_can_still_be_rejected(log):
    assert ReviewDesk(log, "eve").reject("home", "c", "legal", 5).status == "rejected"


@pytest.mark.parametrize(
    ("name", "message"),
    [("c", "is live; a review cannot"), ("d", "is rejected"), ("x", "has no creative 'x'")],
)
def test_only_what_waits_is_approved(log, name, message):
    with pytest.raises(ReviewError, match=message):
        ReviewDesk(log, "eve").approve("home", name, 5)


def test_what_is_rejected_stays_so_and_a_no_needs_a_reason(log):
    desk = ReviewDesk(log, "eve")
    with pytest.raises(ReviewError, match="is rejected"):
        desk.reject("home", "d", "again", 5)
    with pytest.raises(ReviewError, match="needs a reason"):
        desk.reject("home", "a", "  ", 5)


def test_a_verdict_on_what_was_changed_at_the_same_moment_does_not_count():
    class Crossed(MemoryLog):
        """Someone else's change comes between the look and the write."""

        crossing = None

        def append(self, messages):
            if self.crossing is not None:
                message, self.crossing = self.crossing, None
                super().append([message])
            return super().append(messages)

    log = Crossed()
    create_topics(log)
    log.append([catalogue_message(event) for event in EVENTS])
    desk = ReviewDesk(log, "eve")
    log.crossing = catalogue_message(changed(EVENTS[1], status="rejected", reason="legal"))
    with pytest.raises(ReviewError, match="was changed meanwhile"):
        desk.approve("home", "a", 5)
    assert now(log, "a").status == "rejected"


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
