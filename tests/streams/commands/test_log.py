"""The commands that people run by hand, on a log in a file as they would have it."""

import json
import shlex
import sys

import pytest
import yaml
from typer.testing import CliRunner

from generator.commands.main import app as copyloop
from streams.catalogue.audit_log import latest_acts
from streams.dead_letters import dead_letter_message, origin_of
from streams.errors import DeadLetterError, LogUrlError, MappingError
from streams.events import INTERACTIONS, TOPICS
from streams.fold import scan_topic
from streams.logs.base import Message, Record
from streams.logs.sqlite import SqliteLog
from streams.schema import asyncapi, json_schema
from streams.topics import create_topics

runner = CliRunner()
MAPPING = "topic: clicks\nevent_id: e\nkind: t\n"


@pytest.fixture
def data(tmp_path):
    """A data folder whose log has a topic of the team's, and two dead letters."""
    log = SqliteLog(tmp_path / "log.db")
    create_topics(log, partitions=2)
    log.create_topic("clicks", partitions=2)
    headers = (("traceparent", b"00-1"),)
    records = [
        (Record("clicks", 1, 5, 0, b"user-1", b'{"e":"e-1","n":[1.50]}', headers), "no_kind"),
        (Record("clicks", 0, 6, 0, b"user-2", b"\x1b[2J\xff", headers), "mapping_not_json"),
    ]
    log.append([dead_letter_message(r, code, f"{code}: \x1b[31mred") for r, code in records])
    log.close()
    return tmp_path


def run(*words, stdin=None, code=0):
    done = runner.invoke(copyloop, ["streams", *map(str, words)], input=stdin)
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def refused(*words, error):
    done = runner.invoke(copyloop, ["streams", *map(str, words)])
    assert isinstance(done.exception, error), (done.output, done.exception)
    return str(done.exception)


def only(data, topic):
    log = SqliteLog(data / "log.db")
    (record,) = scan_topic(log, topic)
    log.close()
    return record


def test_the_schema_is_printed_or_written(tmp_path):
    assert json.loads(run("schema")) == json_schema()
    assert json.loads(run("schema", "--format", "asyncapi")) == asyncapi()
    for name, read in (("a.json", json.loads), ("a.yaml", yaml.safe_load)):
        run("schema", "--format", "asyncapi", "--out", tmp_path / name)
        assert read((tmp_path / name).read_text()) == asyncapi()


def test_topics_are_shown_before_they_are_made(tmp_path):
    planned = json.loads(
        run("topics", "--data", tmp_path / "d", "--partitions", 3, "--dry-run", "--format", "json")
    )
    assert not (tmp_path / "d").exists()
    assert [row["topic"] for row in planned] == list(TOPICS)
    assert {row["state"] for row in planned} == {"missing"}
    made = json.loads(
        run("topics", "--data", tmp_path / "d", "--partitions", 3, "--format", "json")
    )
    assert [row | {"state": "missing"} for row in made] == planned
    table = run("topics", "--data", tmp_path / "d")
    assert all(topic in table for topic in TOPICS)
    assert "there" in table


def test_the_rules_of_kafka_are_printed_without_asking_it(tmp_path):
    mapping = tmp_path / "m.yaml"
    mapping.write_text(MAPPING)
    url = "kafka://nowhere.invalid:9092?prefix=ads."
    printed = run("topics", "--log", url, "--acls", "--mapping", mapping)
    commands = [shlex.split(line) for line in printed.splitlines()]
    assert {words[0] for words in commands} == {"kafka-acls"}
    assert {words[5] for words in commands} >= {"User:copyloop-join", "User:copyloop-ingest"}
    assert "ads.clicks" in printed
    run("topics", "--log", "memory://", "--acls", code=2)


def test_a_command_that_needs_the_kafka_client_says_which_extra_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "streams.logs.kafka.options", None)
    for more in (["--acls"], []):
        told = refused("topics", "--log", "kafka://h:9092", *more, error=LogUrlError)
        assert "pip install 'copyloop[kafka]'" in told


def test_lag_is_shown_for_each_group_and_partition(data):
    log = SqliteLog(data / "log.db")
    log.append([Message(INTERACTIONS, b"p", b"", partition=1), Message("clicks", b"k", b"")])
    log.close()
    rows = json.loads(run("lag", "--data", data, "--format", "json"))
    assert {(row["group"], row["topic"]) for row in rows} == {
        ("joiner", "decisions"),
        ("joiner", "outcomes"),
        ("learner", "interactions"),
    }
    assert {row["partition"]: row["lag"] for row in rows if row["group"] == "learner"} == {
        0: 0,
        1: 1,
    }
    (data / "m.yaml").write_text(MAPPING)
    table = run("lag", "--data", data, "--mapping", data / "m.yaml")
    assert "ingest" in table
    assert "clicks" in table


def test_lag_of_a_source_that_is_another_log(data, tmp_path):
    source = SqliteLog(tmp_path / "other" / "log.db")
    source.create_topic("views", partitions=1)
    source.append([Message("views", b"k", b"")] * 3)
    source.close()
    (data / "m.yaml").write_text(MAPPING.replace("clicks", "views"))
    url = f"sqlite:///{tmp_path / 'other' / 'log.db'}"
    given = ["--data", data, "--mapping", data / "m.yaml", "--source", url]
    rows = json.loads(run("lag", *given, "--format", "json"))
    assert [row["lag"] for row in rows if row["group"] == "ingest"] == [3]


def test_dead_letters_are_listed_newest_first_and_counted(data):
    found = json.loads(run("dead-letter", "list", "--data", data, "--format", "json"))
    assert [letter["id"] for letter in found["letters"]] == ["0-1", "0-0"]
    assert found["counts"] == {"no_kind": 1, "mapping_not_json": 1}
    assert found["letters"][0]["value"] == {"base64": "G1sySv8="}
    assert found["letters"][1]["source"] == "clicks/1@5"
    picked = ["dead-letter", "list", "--data", data, "--reason", "no_kind", "--format", "json"]
    assert [letter["id"] for letter in json.loads(run(*picked))["letters"]] == ["0-0"]
    table = run("dead-letter", "list", "--data", data)
    assert table.index("0-1") < table.index("0-0")
    assert "clicks/1@5" in table


def test_a_dead_letter_is_shown_with_its_json_indented(data):
    shown = run("dead-letter", "show", "0-0", "--data", data)
    assert "clicks/1@5" in shown
    assert "traceparent: 00-1" in shown
    assert '  "n": [\n    1.50\n  ]' in shown
    whole = json.loads(run("dead-letter", "show", "0-0", "--data", data, "--format", "json"))
    assert whole["value"] == '{"e":"e-1","n":[1.50]}'


def test_nothing_in_a_dead_letter_reaches_the_terminal(data):
    for words in (["list"], ["show", "0-1"]):
        assert "\x1b" not in run("dead-letter", *words, "--data", data)


def test_the_bytes_of_a_dead_letter_can_be_had_as_they_are(data):
    done = runner.invoke(
        copyloop, ["streams", "dead-letter", "show", "0-1", "--data", str(data), "--raw"]
    )
    assert done.stdout_bytes == b"\x1b[2J\xff"


def test_a_dead_letter_is_sent_again(data):
    (sent,) = json.loads(run("dead-letter", "replay", "0-0", "--data", data, "--format", "json"))
    record = only(data, "clicks")
    assert (sent["id"], sent["topic"], sent["offset"]) == ("0-0", "clicks", record.offset)
    assert record.value == b'{"e":"e-1","n":[1.50]}'
    assert origin_of(record) == "clicks/1@5"


def test_all_of_one_reason_are_sent_again(data):
    run("dead-letter", "replay", "--reason", "mapping_not_json", "--data", data)
    assert only(data, "clicks").value == b"\x1b[2J\xff"
    log = SqliteLog(data / "log.db")
    [act] = latest_acts(log, limit=9)
    log.close()
    assert (act.who[:4], act.what, act.target) == ("cli:", "dead letter replayed", "0-1")


@pytest.mark.parametrize("given", ["file", "stdin"])
def test_a_dead_letter_is_mended_and_sent_again(data, given):
    (data / "mended.json").write_bytes(b'{"e":"e-2"}')
    where, stdin = (data / "mended.json", None) if given == "file" else ("-", b'{"e":"e-2"}')
    run("dead-letter", "replay", "0-1", "--value", where, "--data", data, stdin=stdin)
    assert only(data, "clicks").value == b'{"e":"e-2"}'


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["0-0", "--reason", "late"],
        ["0-0", "0-1", "--value", "x"],
        ["--reason", "late", "--value", "x"],
    ],
)
def test_a_replay_says_exactly_what_it_is_of(data, words):
    run("dead-letter", "replay", *words, "--data", data, code=2)


def test_to_look_makes_no_log(tmp_path):
    for words in (["lag"], ["dead-letter", "list"], ["dead-letter", "show", "0-0"]):
        assert "no log" in refused(*words, "--data", tmp_path / "d", error=LogUrlError)
    assert not (tmp_path / "d").exists()


def test_what_is_not_there_is_an_error(data):
    assert "0-9" in refused("dead-letter", "show", "0-9", "--data", data, error=DeadLetterError)
    absent = ["--mapping", data / "absent.yaml"]
    assert "absent" in refused("lag", "--data", data, *absent, error=MappingError)
