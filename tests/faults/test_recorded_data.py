"""A data folder that an earlier copyloop left, and this one goes on with."""

from pathlib import Path

import pytest

from bandit.service.ops.doctor import examine
from generator.refresh import Rotator
from streams.archive.parquet import ARCHIVED, read_archive
from streams.checkpoint import Checkpoints
from streams.events import DECISIONS, INTERACTIONS
from streams.logs.embedded import wall_clock_ms
from streams.spool import claimed_spool
from tests.faults.looping import (
    assert_kept,
    closed,
    looping,
    opened,
    traffic,
    until_closed,
    until_learned,
)
from tests.faults.make_recorded_data import DECIDED, SPOOLED, unpack
from tests.streams.logs.log_laws import read_all

RECORDED = Path(__file__).parent.parent / "data" / "recorded_data.tar.xz"
IDS = [f"e{n}" for n in range(DECIDED)]


@pytest.fixture
def data(tmp_path):
    unpack(RECORDED, tmp_path)
    return tmp_path


def test_it_is_taken_up_where_it_was_left(data, caplog):
    with opened(data) as log:
        before = read_all(log, INTERACTIONS)
        assert closed(log) < set(IDS), "some windows had not ended"
    with looping(data) as api:
        acknowledged = traffic(api, "home", ["new"])
        until_learned(api, ["new"])
        until_closed(api, IDS)
    assert not list((data / "checkpoints").glob("*.damaged")), caplog.text
    with opened(data) as log:
        after = read_all(log, INTERACTIONS)
        assert after[: len(before)] == before
        assert_kept(log, (IDS, IDS))
        assert_kept(log, acknowledged)
        rotator = Rotator(log, Checkpoints(data / "checkpoints"))
        assert rotator.states().keys() == {"home"}


def test_archive_spool_and_checkpoints_are_read(data):
    with opened(data) as log:
        for topic in ARCHIVED:
            archived = list(read_archive(data / "archive", topic))
            assert archived == read_all(log, topic)[: len(archived)]
    assert len([*read_archive(data / "archive", DECISIONS)]) >= DECIDED
    with claimed_spool(data / "spool", 1 << 20) as spool:
        batch = spool.peek(10)
        assert [message.key for message in batch.messages] == [
            f"e{n}".encode() for n in range(SPOOLED)
        ]
    findings = examine({"data": data}, wall_clock_ms(), {})
    assert [each for each in findings if each.state == "failure"] == []
