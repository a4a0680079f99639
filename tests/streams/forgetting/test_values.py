"""Forgetting goes by what a value is, in every file that holds it, and says what is left."""

import threading
from contextlib import closing

import pytest
from msgspec import Raw

from streams.archive.parquet import read_archive, run_archive
from streams.dead_letters import dead_letter_message
from streams.errors import LogUnavailable
from streams.events import DECISIONS, INTERACTIONS, Action, Decision, Placement, encode
from streams.files.json_values import changed_at, unescaped
from streams.fold import scan_topic
from streams.forgetting.marks import unfinished
from streams.forgetting.values import Wanted, forget, values_of
from streams.join.worker import run_joiner
from streams.logs.base import Message, Record
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.streams.ingest.ingesting import running, wait_until

MAIL = "ada/lövelace@example.org"
SPELLINGS = [
    b'"ada/l\xc3\xb6velace@example.org"',
    b'"ada\\/l\xc3\xb6velace@example.org"',
    b'"ada/l\\u00f6velace@example.org"',
    b'"ada\\/l\\u00F6velace@example.org"',
    b'"\\u0061\\u0064\\u0061/l\xc3\xb6velace@example.org"',
    b'"ada\\u002Fl\xc3\xb6velace\\u0040example.org"',
]
HIDDEN = [
    b'{"user":{"mail":%b},"user":{"mail":"bob"}}',
    b'{"user":{"mail":%b,"mail":"bob"}}',
    b'{"user":{"mail":%b},"user":5}',
    b'{"\\u0075ser":{"mail":%b},"user":{"mail":"bob"}}',
    b'{"user":[{"mail":%b, "mail" : 1}, {"n":1.50}]}',
]


def decided(number, context):
    return Decision(
        event_id=f"e-{number}",
        placement="home",
        timestamp_ms=1000 + number,
        context=Raw(context),
        actions=(Action("a", Raw(b"{}")),),
        pmf=(1.0,),
        index=0,
        policy_version="v",
    )


def appended(log, *contexts):
    log.append(
        [
            Message(DECISIONS, b"e-%d" % n, encode(decided(n, each)))
            for n, each in enumerate(contexts)
        ]
    )


def archive_once(log, data):
    stop = threading.Event()
    stop.set()
    run_archive(log, data / "archive", stop=stop)


def join_all(log, data, count):
    with running(run_joiner, log, data / "checkpoints") as thread:
        wait_until(lambda: sum(1 for _ in scan_topic(log, INTERACTIONS)) >= count, thread)


@pytest.fixture
def log(tmp_path):
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        create_topics(log)
        log.append([Message("catalogue", b"p", encode(Placement(name="home")), partition=0)])
        yield log


def forgotten(log, data, value=MAIL, **options):
    wanted = Wanted("user.mail", values_of(value), options.pop("placement", None))
    options = {"now_ms": 5, "dry_run": False} | options
    return forget(log, f"sqlite:///{data}/log.db", data, wanted, **options)


def spelt(data):
    """The files that have the value in any spelling; Parquet files as they read."""
    files = [p for p in data.rglob("*") if p.is_file() and p.suffix != ".parquet"]
    found = [p.name for p in files if MAIL.encode() in unescaped(p.read_bytes())]
    for topic in (DECISIONS, INTERACTIONS):
        records = read_archive(data / "archive", topic) if (data / "archive").is_dir() else ()
        found += [topic for record in records if MAIL.encode() in unescaped(record.value)]
    return found


def test_every_spelling_is_gone_from_log_archive_and_checkpoints(log, tmp_path):
    contexts = [b'{"user":{"mail":%b}}' % spelling for spelling in SPELLINGS]
    contexts += [context % SPELLINGS[3] for context in HIDDEN]
    appended(log, *contexts, b'{"user":{"mail":"bob"},"n":1.50}')
    join_all(log, tmp_path, len(contexts) + 1)
    archive_once(log, tmp_path)
    dry = forgotten(log, tmp_path, dry_run=True)
    assert "join-0.checkpoint" in spelt(tmp_path)
    report = forgotten(log, tmp_path)
    assert report.records == dry.records == 2 * len(contexts)
    assert [path.endswith("join-0.checkpoint") for path in report.checkpoints_removed] == [True]
    assert report.unfinished == ()
    assert spelt(tmp_path) == []
    join_all(log, tmp_path, len(contexts) + 1)
    archive_once(log, tmp_path)
    assert spelt(tmp_path) == []
    last = [record.value for record in scan_topic(log, DECISIONS)][-1]
    assert b'{"user":{"mail":"bob"},"n":1.50}' in last
    assert forgotten(log, tmp_path).records == 0


@pytest.mark.parametrize("context", HIDDEN)
def test_a_key_that_stands_twice_hides_nothing_and_loses_nothing_else(context):
    path, gone = ["user", "mail"], Raw(b"0")
    before = Raw(context % b'"bob2"')
    kept = changed_at(before, path, lambda value: value)
    assert kept is before
    after = bytes(changed_at(before, path, lambda v: gone if bytes(v) == b'"bob2"' else v))
    assert b"bob2" not in after
    assert (b"1.50" in after) == (b"1.50" in context)


def test_a_record_whose_own_fields_stand_twice_is_seen_through():
    event = encode(decided(1, b'{"user":{"mail":"bob"}}'))
    doubled = event[:-1] + b',"context":{}}'
    wanted = Wanted("user.mail", ["bob"])
    assert wanted.without(DECISIONS, doubled) == encode(decided(1, b"{}"))
    assert wanted.without(DECISIONS, encode(decided(1, b"{}"))) is None
    assert Wanted("user.mail", ["bob"], "other").without(DECISIONS, doubled) is None


@pytest.mark.parametrize(
    ("value", "letter", "gone"),
    [
        (MAIL, b'{"user":{"mail":%b}' % SPELLINGS[3], True),  # no JSON
        (MAIL, b'{"context":{"user":{"mail":%b}}}' % SPELLINGS[5], True),
        (MAIL, b'{"data":"{\\"user\\":{\\"mail\\":\\"ada/l\xc3\xb6velace@example.org\\"}}"}', True),
        ("1", b'{"context":{"user":{"mail":10}},"v":1}', False),
        ("1", b'{"context":{"user":{"mail":1.0}}}', True),
        ("1", b'{"context":{"user":{"mail":21', False),
        ("true", b'{"seen":true,"context":{"user":{"mail":false}}}', False),
    ],
)
def test_a_dead_letter_goes_if_it_has_the_value_and_stays_otherwise(
    log, tmp_path, value, letter, gone
):
    record = Record(DECISIONS, 0, 7, 0, b"k", letter)
    log.append([dead_letter_message(record, "schema_error", f"no such mail: {value}")])
    report = forgotten(log, tmp_path, value)
    (kept,) = scan_topic(log, "dead-letter")
    assert (kept.value == b'"forgotten"') is gone is bool(report.records)
    assert (value in dict(kept.headers)["error"].decode()) is not gone
    assert dict(kept.headers)["offset"] == b"7"


def test_what_a_damaged_file_left_undone_is_said_and_finished_later(log, tmp_path):
    appended(log, b'{"user":{"mail":%b}}' % SPELLINGS[0])
    archive_once(log, tmp_path)
    appended(log, b'{"user":{"mail":%b}}' % SPELLINGS[1])
    archive_once(log, tmp_path)
    damaged, other = sorted((tmp_path / "archive" / DECISIONS).iterdir())
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:-9])
    report = forgotten(log, tmp_path)
    assert report.records == 2
    assert list(report.archive) == [f"{DECISIONS}/{other.name}"]
    assert [damaged.name in told for told in report.unfinished] == [True]
    (mark,) = unfinished(tmp_path)
    assert mark.field == "user.mail"
    damaged.write_bytes(sound)
    again = forgotten(log, tmp_path)
    assert (again.records, again.unfinished) == (0, ())
    assert spelt(tmp_path) == []
    assert unfinished(tmp_path) == []


def test_a_mark_tells_the_field_and_not_the_value(log, tmp_path, monkeypatch):
    appended(log, b'{"user":{"mail":%b}}' % SPELLINGS[0])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as here:
        here.setattr(SqliteLog, "compact", killed)
        with pytest.raises(KeyboardInterrupt):
            forgotten(log, tmp_path)
    (path,) = (tmp_path / "forgetting").iterdir()
    assert b"ada" not in path.read_bytes()
    assert len(unfinished(tmp_path)) == 1
    forgotten(log, tmp_path, "bob")
    assert len(unfinished(tmp_path)) == 1, "another value's call does not finish this one"
    assert forgotten(log, tmp_path).records == 0
    assert unfinished(tmp_path) == []
    assert spelt(tmp_path) == []


def test_a_log_that_others_read_is_told_as_unfinished(log, tmp_path, monkeypatch):
    def busy(_):
        raise LogUnavailable("others read it")

    monkeypatch.setattr(SqliteLog, "compact", busy)
    assert forgotten(log, tmp_path).unfinished == ("others read it",)


def test_what_killed_writers_left_and_what_cannot_be_read_goes_as_well(log, tmp_path):
    left = [
        tmp_path / "checkpoints" / "join-0.checkpoint.unfinished",
        tmp_path / "archive" / DECISIONS / "000.unfinished",
        tmp_path / "checkpoints" / "join-0.checkpoint",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half of it: " + SPELLINGS[0])
    forgotten(log, tmp_path)
    assert [path.exists() for path in left] == [False] * 3


def test_the_archive_of_another_history_is_gone_through_too(log, tmp_path):
    appended(log, b'{"user":{"mail":%b}}' % SPELLINGS[0])
    archive_once(log, tmp_path)
    aside = tmp_path / "archive" / "before-20260101T000000"
    aside.mkdir()
    (tmp_path / "archive" / DECISIONS).rename(aside / DECISIONS)
    report = forgotten(log, tmp_path)
    assert sum(report.archive.values()) == 1
    assert all(MAIL.encode() not in record.value for record in read_archive(aside, DECISIONS))
