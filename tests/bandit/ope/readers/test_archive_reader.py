import threading

import msgspec
import pytest

from bandit.ope.readers import open_reader
from streams.archive import run_archive
from streams.errors import ArchiveError
from streams.events import EMPTY, INTERACTIONS, Action, Decision, Interaction, encode
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics


def interaction(sequence, event_id, reward, *, status="closed", previous=None, placement="home"):
    decision = Decision(
        event_id=event_id,
        placement=placement,
        timestamp_ms=sequence,
        context=EMPTY,
        actions=(Action("a"), Action("b")),
        pmf=(0.3, 0.7),
        index=1,
        policy_version="v",
    )
    return Interaction(
        source=0,
        sequence=sequence,
        decision=decision,
        reward=reward,
        status=status,
        timestamp_ms=sequence,
        previous_reward=previous,
    )


def in_place_of_the_policy(made):
    """The same of a decision that the policy was too late for: nothing can be judged by it."""
    fallback = msgspec.structs.replace(made.decision, fallback=True, v=2)
    return msgspec.structs.replace(made, decision=fallback)


@pytest.fixture
def archive(tmp_path):
    log = MemoryLog()
    create_topics(log, partitions=1)
    events = [
        interaction(0, "e0", 0.0, status="provisional"),
        interaction(1, "e1", 0.0, status="provisional"),
        interaction(2, "e0", 1.0, status="corrected", previous=0.0),
        interaction(2, "e0", 1.0, status="corrected", previous=0.0),
        interaction(3, "e2", 0.5, placement="side"),
        interaction(3, "e2", 0.5, placement="side"),
        interaction(4, "e0", 0.25, status="corrected", previous=1.0),
        in_place_of_the_policy(interaction(5, "e3", 1.0)),
    ]
    log.append([Message(INTERACTIONS, e.decision.placement.encode(), encode(e)) for e in events])
    stop = threading.Event()
    stop.set()
    run_archive(log, tmp_path / "archive", stop=stop)
    return tmp_path / "archive"


def test_each_decision_comes_once_with_its_final_reward(archive):
    found = list(open_reader("archive", archive))
    assert [(event.decision.event_id, event.reward) for event in found] == [
        ("e0", 0.25),
        ("e1", 0.0),
        ("e2", 0.5),
    ]
    assert all(event.whole for event in found)


def test_one_placement_can_be_asked_for(archive):
    (found,) = open_reader("archive", archive, placement="side")
    assert found.decision.event_id == "e2"


def test_a_folder_without_an_archive_holds_nothing(tmp_path):
    assert list(open_reader("archive", tmp_path)) == []


def test_a_damaged_archive_is_refused(archive):
    (file,) = (archive / INTERACTIONS).glob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArchiveError):
        list(open_reader("archive", archive))
