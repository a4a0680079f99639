"""The doctor finds what was broken on purpose, and says what to do about it."""

import json
import os
import subprocess

import msgspec
import pytest

from bandit.service.auth.keys import key_messages, make_key, revoked
from bandit.service.ops import doctor
from bandit.service.ops.doctor import examine
from bandit.service.settings import unknown_variables
from streams.catalogue.state import catalogue_message
from streams.dead_letters import dead_letter_message
from streams.events import DECISIONS, POLICIES, Placement, PolicySnapshot, encode
from streams.events.access import Protection
from streams.forgetting.marks import begin
from streams.logs.base import Message, Record, TopicPartition
from streams.logs.embedded import wall_clock_ms
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative
from tests.running import COPYLOOP

NOW_MS = wall_clock_ms()


@pytest.fixture
def log(tmp_path):
    opened = SqliteLog(tmp_path / "log.db")
    create_topics(opened)
    for group, topics in {"joiner": ["decisions", "outcomes"], "learner": ["interactions"]}.items():
        opened.store_commits(group, {TopicPartition(topic, 0): 0 for topic in topics})
    yield opened
    opened.close()


def found(tmp_path, environment=None, **arguments):
    everything = examine({"data": tmp_path, **arguments}, NOW_MS, environment or {})
    assert all(each.state == "ok" or each.do for each in everything), "it says what to do"
    return everything


def of(findings, check, state):
    return [each.found for each in findings if (each.check, each.state) == (check, state)]


def test_all_is_well_with_a_log_that_is_well(tmp_path, log):
    log.append([catalogue_message(event) for event in (Placement(name="home"), a_creative("a"))])
    findings = found(tmp_path)
    assert [each for each in findings if each.state != "ok"] == []
    assert {each.check for each in findings} >= {
        *("versions", "settings", "disk", "log", "clock", "policies", "lag", "dead letters", "keys")
    }


def test_settings_that_stop_the_start_or_do_nothing(tmp_path, log):
    for variable, value in {
        "COPYLOOP_PORT": "many",
        "COPYLOOP_JWT_JWKS_URL": "http://id.example/keys",
        "COPYLOOP_TLS_CERT": "/nowhere.pem",
        "COPYLOOP_CORS_ORIGINS": "shop",
        "COPYLOOP_REWARD_SECRET": "short",
    }.items():
        (failure,) = of(found(tmp_path, {variable: value}), "settings", "failure")
        assert "COPYLOOP_" in failure
    misspelt = found(tmp_path, {"COPYLOOP_PROT": "80"})
    assert of(misspelt, "settings", "failure") == ["no setting is called COPYLOOP_PROT"]
    (minded,) = of(found(tmp_path, {"COPYLOOP_DURABILITY": "buffered"}), "settings", "warning")
    assert "buffered" in minded
    assert unknown_variables({"COPYLOOP_REWARD_SECRET_FILE": "", "COPYLOOP_LOG_FORMAT": ""}) == []


@pytest.mark.parametrize(
    "made", ["checkpoints/join-0.checkpoint", "archive/decisions/000/a", "spool/1"]
)
def test_a_log_that_was_moved_is_none_that_never_was(tmp_path, made):
    (told,) = of(found(tmp_path), "log", "warning")
    assert "yet" in told
    file = tmp_path / made
    file.parent.mkdir(parents=True)
    file.touch()
    (gone,) = of(found(tmp_path), "log", "failure")
    assert f"but {tmp_path} has what was made of one: {made.split('/')[0]}" in gone
    (finding,) = [each for each in found(tmp_path) if each.check == "log"]
    assert "streams restore" in finding.do


def test_a_log_that_is_not_there_or_not_whole(tmp_path):
    assert of(found(tmp_path), "log", "warning")
    assert not (tmp_path / "log.db").exists(), "to look makes none"
    bare = SqliteLog(tmp_path / "log.db")
    bare.create_topic(DECISIONS)
    bare.close()
    (missing,) = of(found(tmp_path), "log", "failure")
    assert "outcomes" in missing
    (tmp_path / "other.db").write_bytes(b"no database, and too short for one" * 99)
    (odd,) = of(found(tmp_path, log=f"sqlite:///{tmp_path}/other.db"), "log", "failure")
    assert "other.db" in odd


def test_a_damaged_file(tmp_path, log):
    log.append([Message(DECISIONS, b"k", b"v" * 5000) for _ in range(200)])
    log.close()
    data = bytearray((tmp_path / "log.db").read_bytes())
    for page in range(8, len(data) // 8192):
        data[page * 8192 : page * 8192 + 200] = b"\xff" * 200
    (tmp_path / "log.db").write_bytes(data)
    assert of(found(tmp_path), "log", "failure")


def test_files_that_others_may_read_and_what_was_left_half_done(tmp_path, log):
    assert of(found(tmp_path), "files", "warning") == []
    (tmp_path / "log.db").chmod(0o644)
    assert of(found(tmp_path), "files", "warning") == [
        f"{tmp_path}/log.db can be read by others than its owner"
    ]
    cut = tmp_path / "evaluations" / "evaluations" / "home" / "e.json"
    cut.parent.mkdir(parents=True)
    cut.write_text('{"id":"e","ki')
    assert f"{cut} cannot be read" in of(found(tmp_path), "files", "warning")
    begin(tmp_path, "user.mail", "home", ["ada"], NOW_MS)
    (left,) = of(found(tmp_path), "files", "failure")
    assert "'user.mail' of placement 'home' is being forgotten" in left


def test_keys_whose_record_cannot_be_read(tmp_path, log):
    log.append([Message("access", b"0123456789ab", b"{", partition=0)])
    unreadable, closed = of(found(tmp_path), "keys", "failure")
    assert unreadable.startswith("1 keys have a record that cannot be read")
    assert "nobody may ask the API anything" in closed


def test_a_clock_that_lags_behind_the_log(tmp_path, log):
    log.append([Message(DECISIONS, b"k", b"{}", timestamp_ms=NOW_MS + 60_000)])
    (behind,) = of(found(tmp_path), "clock", "failure")
    assert "60 s" in behind


def test_policies_that_are_damaged_and_placements_that_show_nothing(tmp_path, log):
    snapshot = PolicySnapshot(
        placement="home",
        version="0123456789abcdef@0",
        spec={},
        partition=0,
        offset=0,
        state=b"?",
        timestamp_ms=1,
    )
    log.append(
        [
            catalogue_message(Placement(name="home")),
            catalogue_message(Placement(name="odd", policy={"name": "no such policy"})),
            Message(POLICIES, b"home", encode(snapshot)),
        ]
    )
    findings = found(tmp_path)
    damaged, unserved = of(findings, "policies", "failure")
    assert "hash" in damaged
    assert "'odd'" in unserved
    assert of(findings, "policies", "warning") == ["'home' has no live creative"]


def test_who_is_behind_and_who_never_ran(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    create_topics(log)
    log.append([Message(DECISIONS, b"k", b"{}")] * 10_005)
    never = of(found(tmp_path), "lag", "failure")
    assert never == ["group 'joiner' in decisions/0 never read anything of 10005 records"]
    log.store_commits("joiner", {TopicPartition(DECISIONS, 0): 1})
    assert of(found(tmp_path), "lag", "warning") == [
        "group 'joiner' in decisions/0 is 10004 records behind"
    ]
    log.close()


def test_dead_letters_by_reason(tmp_path, log):
    record = Record(DECISIONS, 0, 0, 1, b"k", b"{")
    log.append([dead_letter_message(record, "late", "it was") for _ in range(3)])
    assert of(found(tmp_path), "dead letters", "warning") == ["3 for late"]


def test_keys_that_end_and_doors_that_are_open_or_shut_for_all(tmp_path, log):
    (exposed,) = of(found(tmp_path, host="0.0.0.0"), "keys", "failure")
    assert "there are no keys" in exposed
    soon, _ = make_key("site", ["rank", "admin"], NOW_MS, lasts_seconds=86_400)
    log.append(key_messages("me", "created", None, soon, NOW_MS))
    ends, mighty = of(found(tmp_path, host="0.0.0.0"), "keys", "warning")
    assert "1.0 days" in ends
    assert "administers" in mighty
    log.append(key_messages("me", "revoked", soon, revoked(soon, NOW_MS), NOW_MS))
    assert of(found(tmp_path), "keys", "failure") == [
        "no key opens anything: nobody may ask the API anything"
    ]


def test_a_protection_that_lacks_its_secret(tmp_path, log):
    guarded = Placement(name="home", protection=Protection(private=("user",)))
    log.append([catalogue_message(guarded)])
    assert len(of(found(tmp_path), "protection", "failure")) == 1
    with_salt = found(tmp_path, {"COPYLOOP_PRIVATE_SALT": "0123456789abcdef"})
    assert of(with_salt, "protection", "failure") == []


def test_little_room_and_other_versions(tmp_path, log, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_BYTES", 1 << 62)
    monkeypatch.setattr(doctor, "requires", lambda name: ["msgspec<0.1", "no-such-package>=1"])
    findings = found(tmp_path)
    assert of(findings, "disk", "failure")
    outdated, missing = of(findings, "versions", "failure")
    assert outdated.startswith("msgspec is ")
    assert missing == "no-such-package is missing"


def test_the_command_exits_by_what_it_finds(tmp_path, log):
    def run(code, **environment):
        command = [*COPYLOOP, "doctor", "--data", str(tmp_path)]
        done = subprocess.run(
            [*command, "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    well = run(0)
    assert {each["state"] for each in well} <= {"ok", "warning"}
    ill = run(1, COPYLOOP_PROT="80")
    assert set(msgspec.convert(ill[0], dict)) == {"check", "state", "found", "do"}
