"""Checkpoints of every kind with one byte flipped: each process begins without, and says so."""

import threading

import pytest

from bandit.learning.worker import run_learner
from bandit.service.ops.doctor import examine
from generator.refresh import CHECKPOINT as ROTATION
from generator.refresh import Rotator
from generator.versions.canary import CHECKPOINT as CANARY
from generator.versions.canary import CanaryJudge
from streams.checkpoint import Checkpoints
from streams.errors import CheckpointError
from streams.events import OUTCOMES
from streams.ingest.mapping import TopicMapping
from streams.ingest.worker import run_ingest
from streams.join.worker import run_joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import wall_clock_ms
from tests.bandit.service.api_server import wait_until
from tests.faults.looping import (
    RULE,
    assert_kept,
    logged_ids,
    looping,
    opened,
    traffic,
    until_learned,
)

KINDS = ("join-0", "learn-0", "ingest-clicks-0")
MAPPING = TopicMapping(topic="clicks", event_id="e", kind="'click'")


def ingest(log, checkpoints, *, stop):
    log.create_topic("clicks")
    run_ingest(log, checkpoints, [MAPPING], stop=stop, checkpoint_seconds=0)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def checkpoint_findings(data):
    findings = examine({"data": data}, wall_clock_ms(), {})
    return [each for each in findings if each.check == "checkpoints"]


def test_joiner_learner_and_ingest_begin_without_what_is_damaged(tmp_path, caplog):
    works = (run_joiner, run_learner, ingest)
    checkpoints = tmp_path / "checkpoints"
    files = [checkpoints / f"{each}.checkpoint" for each in KINDS]
    with looping(tmp_path, works=works) as api:
        name = api.placement("home", **RULE)
        before = traffic(api, name, ["a", "b"])
        api.log.create_topic("clicks")
        api.log.append([Message("clicks", b"", b'{"e":"a"}')])
        until_learned(api, ["a", "b"])
        wait_until(lambda: logged_ids(api.log, OUTCOMES).count("a") == 2)
    for path in files:
        flip(path)
    found = checkpoint_findings(tmp_path)
    assert {each.state for each in found} == {"failure"}
    assert all(str(path) in " ".join(each.found for each in found) for path in files)

    with looping(tmp_path, works=works) as api:
        after = traffic(api, name, ["c"])
        until_learned(api, ["c"])
        ingested = logged_ids(api.log, OUTCOMES).count("a")
        assert ingested == 2, "once, by the offsets of its group"
    for path in files:
        assert f"{path} is damaged" in caplog.text
        assert path.with_name(f"{path.name}.damaged").exists()
    found = checkpoint_findings(tmp_path)
    assert [each.state for each in found] == ["warning"] * 3
    with opened(tmp_path) as log:
        assert_kept(log, before)
        assert_kept(log, after)


@pytest.mark.parametrize("name", [ROTATION, CANARY])
def test_rotation_and_canary_begin_without_what_is_damaged(tmp_path, empty_log, name, caplog):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(name, b"\x80", {})
    flip(checkpoints.path(name))
    Rotator(empty_log, checkpoints)
    CanaryJudge(empty_log, checkpoints)
    assert f"{name}.checkpoint is damaged" in caplog.text
    assert not checkpoints.path(name).exists()


def test_a_checkpoint_beyond_the_log_still_stops_the_start(tmp_path, empty_log):
    empty_log.create_topic("clicks")
    empty_log.create_topic(OUTCOMES)
    empty_log.create_topic("dead-letter")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("ingest-clicks-0", b"", {TopicPartition("clicks", 0): 7})
    with pytest.raises(
        CheckpointError, match=r"ingest-clicks-0\.checkpoint is at offset 7, beyond"
    ):
        run_ingest(empty_log, tmp_path, [MAPPING], stop=threading.Event())
    assert checkpoints.path("ingest-clicks-0").exists()
