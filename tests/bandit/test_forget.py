"""`copyloop forget`: what somebody may ask for is gone from every file, and the rest is not."""

import json
import os
import subprocess
import threading
import time

import pytest

from bandit.learning.worker import run_learner
from bandit.service.settings import Secret, Settings
from bandit.verification import audit
from streams.archive.parquet import read_archive, run_archive
from streams.checkpoint import exclusive
from streams.events import DECISIONS, INTERACTIONS, decode
from streams.forgetting.values import FORGOTTEN
from streams.join.worker import run_joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.spool import claimed_spool
from tests.bandit.service.api_server import Api, running
from tests.running import COPYLOOP

SALT = "a salt that nobody guesses"
ADA, BOB = "ada.lovelace@example.org", "bob@example.org"


def run_until(run, condition):
    """Runs one of the long-running processes in a thread until the condition holds."""
    stop = threading.Event()
    thread = threading.Thread(target=run, kwargs={"stop": stop})
    thread.start()
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def fold(log, data):
    """Joins, learns and archives what the log has."""
    interactions = TopicPartition(INTERACTIONS, 0)
    decided = sum(1 for _ in records(log, DECISIONS))
    run_until(
        lambda stop: run_joiner(log, data / "checkpoints", stop=stop),
        lambda: log.end_offset(interactions) >= decided,
    )
    run_until(
        lambda stop: run_learner(log, data / "checkpoints", stop=stop),
        lambda: log.committed("learner", interactions) == log.end_offset(interactions),
    )
    stop = threading.Event()
    stop.set()
    run_archive(log, data / "archive", stop=stop)


def records(log, topic):
    return Api("", None, log).records(topic)


@pytest.fixture
def data(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    with running(log, Settings(private_salt=Secret(SALT))) as api:
        api.placement("open", policy={"name": "lin_ts"})
        api.placement("private", protection={"private": ["user.mail"]})
        for name in ("open", "private"):
            for n in range(6):
                user = ADA if n % 2 else BOB
                context = {"user": {"mail": user, "n": 1.50}, "hour": n}
                api.rank(name, context=context, event_id=f"{name}-{n}").raise_for_status()
        # Not every client spells a letter the same way.
        api.client.post(
            "/v1/placements/open/rank",
            content=b'{"context": {"user": [{"mail": "\\u0061da.lovelace@example.org"}]}}',
        ).raise_for_status()
    fold(log, tmp_path)
    log.close()
    return tmp_path


def copyloop(data, *words, code=0, salt=SALT, **options):
    command = [*COPYLOOP, *words, "--data", str(data)]
    environment = {**os.environ, "COPYLOOP_PRIVATE_SALT": salt}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, **options
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def forget(data, *words, **options):
    answer = copyloop(data, "forget", "--field", "user.mail", "--format", "json", *words, **options)
    return json.loads(answer)


def spelt(data, *texts):
    """The files that spell one of the texts, Parquet as it reads."""
    files = [p for p in data.rglob("*") if p.is_file() and p.suffix not in (".lock", ".parquet")]
    found = [p.name for p in files if any(text.encode() in p.read_bytes() for text in texts)]
    for topic in (DECISIONS, INTERACTIONS):
        for record in read_archive(data / "archive", topic):
            found += [topic for text in texts if text.encode() in record.value]
    return found


def hashed(data, placement="private"):
    log = SqliteLog(data / "log.db")
    found = [decode(record.value) for record in records(log, DECISIONS)]
    log.close()
    return {
        d.event_id: json.loads(bytes(d.context))["user"]["mail"]
        for d in found
        if d.placement == placement
    }


def test_a_dry_run_finds_it_all_and_touches_nothing(data):
    before = (data / "log.db").read_bytes()
    found = forget(data, "--value", ADA, "--dry-run")
    assert found["dry_run"] is True
    by_topic = {held["topic"]: held["records"] for held in found["log"]}
    assert by_topic == {DECISIONS: 7, INTERACTIONS: 7}
    assert sum(found["archive"].values()) == 14
    assert spelt(data, ADA)
    assert (data / "log.db").read_bytes() == before


def test_what_is_forgotten_is_in_no_file_and_the_rest_stays(data):
    ids = hashed(data)
    of_ada, of_bob = ids["private-1"], ids["private-0"]
    assert spelt(data, ADA)
    assert spelt(data, of_ada)
    found = forget(data, "--value", "-", input=f"{ADA}\n")
    assert found["rewritten"] is True
    assert {held["topic"]: held["records"] for held in found["log"]} == {
        DECISIONS: 7,
        INTERACTIONS: 7,
    }
    assert spelt(data, ADA, "\\u0061da", of_ada) == []
    assert spelt(data, BOB)
    assert of_bob in hashed(data).values()
    log = SqliteLog(data / "log.db")
    decisions = [decode(record.value) for record in records(log, DECISIONS)]
    assert len(decisions) == 13
    (one,) = [d for d in decisions if d.event_id == "open-1"]
    assert bytes(one.context) == b'{"user":{"mail":"forgotten","n":1.5},"hour":1}'
    marked = [r for r in records(log, DECISIONS) if dict(r.headers).get(FORGOTTEN)]
    assert len(marked) == 7
    log.close()
    (act,) = json.loads(copyloop(data, "acts", "--who", act_of(data), "--format", "json"))
    assert (act["what"], act["target"]) == ("forgot", "user.mail")
    assert act["after"]["records"] == 14
    assert forget(data, "--value", ADA)["log"] == [], "nothing is left to forget"


def act_of(data):
    acts = json.loads(copyloop(data, "acts", "--format", "json"))
    return next(act["who"] for act in acts if act["what"] == "forgot")


def test_the_audit_tells_what_it_cannot_prove_from_what_is_wrong(data):
    log = SqliteLog(data / "log.db")
    assert audit(log).clean
    log.close()
    forget(data, "--value", ADA)
    log = SqliteLog(data / "log.db")
    report = audit(log)
    log.close()
    assert report.clean, report.summary()
    assert report.forgotten == 7
    assert "since something was forgotten" in report.summary()


def test_the_loop_goes_on_and_does_not_write_it_again(data):
    forget(data, "--value", ADA)
    log = SqliteLog(data / "log.db")
    before = log.end_offset(TopicPartition(INTERACTIONS, 0))
    with running(log) as api:
        api.rank("open", context={"user": {"mail": BOB}}).raise_for_status()
    fold(log, data)
    assert log.end_offset(TopicPartition(INTERACTIONS, 0)) == before + 1
    log.close()
    assert spelt(data, ADA) == []


def test_only_one_placement_if_asked(data):
    found = forget(data, "--value", ADA, "--placement", "private")
    assert sum(held["records"] for held in found["log"]) == 6
    assert spelt(data, ADA)


def test_it_is_refused_while_a_joiner_could_write_it_again(data):
    with exclusive(data / "checkpoints", "join-0"):
        copyloop(data, "forget", "--field", "user.mail", "--value", ADA, code=2)
    assert spelt(data, ADA)


def test_the_table_says_what_is_left_to_do(data):
    told = copyloop(data, "forget", "--field", "user.mail", "--value", ADA)
    assert "The value was taken out of the log, where 14 records held it" in told
    assert "left: what a policy learned" in told
    assert ADA not in told


def test_what_waits_in_a_spool_is_told_until_it_is_forwarded(data):
    waiting = Message(DECISIONS, b"e", json.dumps({"context": {"user": {"mail": ADA}}}).encode())
    with claimed_spool(data / "spool", 1 << 20) as spool:
        # Longer than a page of the file, whose pages need not lie in order.
        spool.append([waiting._replace(value=b" " * 20_000 + waiting.value)], 1)
        found = forget(data, "--value", ADA, "--dry-run")
        assert found["spool"] == [str(data / "spool" / "0")]
        assert any("spool" in left for left in found["left"])
        spool.forwarded(spool.peek(1))
        assert forget(data, "--value", ADA, "--dry-run")["spool"] == []
