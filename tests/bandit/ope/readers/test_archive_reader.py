import threading

import msgspec
import pytest

from bandit.errors import ReaderError
from bandit.ope.readers import open_reader
from streams.archive.parquet import read_archive, run_archive
from streams.errors import ArchiveError
from streams.events import (
    EMPTY,
    INTERACTIONS,
    Action,
    Slate,
    SlateInteraction,
    SlateReward,
    SlateSlot,
)
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit import histories
from tests.bandit.decisions import a_decision


def interaction(sequence, event_id, reward, *, placement="home", **fields):
    decision = a_decision(
        event_id, (Action("a"), Action("b")), (0.3, 0.7), 1, at_ms=sequence, placement=placement
    )
    return histories.interaction(decision, sequence, reward, **fields)


def in_place_of_the_policy(made):
    """The same of a decision that the policy was too late for: nothing can be judged by it."""
    fallback = msgspec.structs.replace(made.decision, fallback=True, v=2)
    return msgspec.structs.replace(made, decision=fallback)


@pytest.fixture
def archive(tmp_path):
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
    return histories.archived(tmp_path / "archive", events)


def test_each_decision_comes_once_with_its_final_reward(archive):
    found = list(open_reader("archive", archive))
    assert [(event.decision.event_id, event.reward) for event in found] == [
        ("e0", 0.25),
        ("e1", 0.0),
        ("e2", 0.5),
    ]
    assert all(event.whole for event in found)


def test_the_slots_of_a_slate_are_decisions_of_their_own(tmp_path):
    slate = Slate(
        event_id="e",
        placement="home",
        timestamp_ms=1,
        context=EMPTY,
        actions=(Action("a"), Action("b"), Action("c")),
        slots=(
            SlateSlot(slot=0, pmf=(0.5, (0.25, 2)), index=1),
            SlateSlot(slot=1, pmf=((0.5, 2),), index=0),
        ),
        policy_version="v",
    )

    def told(sequence, status, *rewards):
        slots = [
            SlateReward(slot=slot, reward=reward, previous_reward=previous)
            for slot, (reward, previous) in enumerate(rewards)
        ]
        return SlateInteraction(
            source=0,
            sequence=sequence,
            decision=slate,
            slots=tuple(slots),
            status=status,
            timestamp_ms=sequence,
        )

    events = [
        told(0, "provisional", (0.0, None), (0.0, None)),
        told(2, "closed", (1.0, 0.0), (0.0, 0.0)),
        told(2, "closed", (1.0, 0.0), (0.0, 0.0)),
    ]
    found = list(open_reader("archive", histories.archived(tmp_path / "archive", events)))
    assert [(each.decision.slot, each.decision.action.id, each.reward) for each in found] == [
        (0, "b", 1.0),
        (1, "a", 0.0),
    ]
    assert [each.decision.propensity for each in found] == [0.25, 0.5]


def test_placements_in_partitions_of_their_own_are_all_read(tmp_path):
    log, stop = MemoryLog(), threading.Event()
    create_topics(log, partitions=2)
    for sequence in range(6):
        made = interaction(sequence, f"e{sequence}", 1.0, placement=f"p{sequence % 2}")
        value = msgspec.json.encode(made)
        log.append([Message(INTERACTIONS, b"", value, partition=sequence % 2)])
    stop.set()
    run_archive(log, tmp_path, stop=stop)
    found = [event.decision.event_id for event in open_reader("archive", tmp_path)]
    assert sorted(found) == [f"e{sequence}" for sequence in range(6)]


@pytest.mark.parametrize("value", [b"{", b"[" * 100_000, b'{"type":"tick"}', b"\xff"])
def test_what_is_no_interaction_is_left_out_as_by_the_learner(archive, tmp_path, value):
    log = MemoryLog()
    create_topics(log)
    readable = list(read_archive(archive, INTERACTIONS))
    for record in readable:
        log.append([Message(INTERACTIONS, record.key, n) for n in (value, record.value)])
    stop = threading.Event()
    stop.set()
    run_archive(log, tmp_path / "mixed", stop=stop)
    assert list(open_reader("archive", tmp_path / "mixed")) == list(open_reader("archive", archive))


def test_one_placement_can_be_asked_for(archive):
    (found,) = open_reader("archive", archive, placement="side")
    assert found.decision.event_id == "e2"


def test_a_folder_without_an_archive_holds_nothing(tmp_path):
    assert list(open_reader("archive", tmp_path)) == []


def test_a_record_that_cannot_be_read_stops_the_reader_or_is_counted(tmp_path):
    made = [interaction(0, "e0", 0.0), interaction(1, "e1", 1.0)]
    newer = msgspec.structs.replace(made[0], v=99)
    path = histories.archived(tmp_path / "archive", [*made, newer])
    with pytest.raises(ReaderError, match=r"interactions 0@2: .*schema version 99 is newer"):
        list(open_reader("archive", path))
    found = open_reader("archive", path, on_bad_row="skip")
    assert [event.decision.event_id for event in found] == ["e0", "e1"]
    assert [(one.reason, one.count) for one in found.skipped] == [("event_invalid", 1)]


@pytest.mark.parametrize(
    "context", [b'{"at_ns":1796077695671000000}', b'{"a":' * 9 + b"1" + b"}" * 9]
)
def test_features_that_nothing_can_read_leave_out_their_decision(tmp_path, context):
    made = [interaction(0, "e0", 0.0), interaction(1, "e1", 1.0)]
    decision = msgspec.structs.replace(made[0].decision, context=msgspec.Raw(context))
    made[0] = msgspec.structs.replace(made[0], decision=decision)
    found = open_reader("archive", histories.archived(tmp_path / "archive", made))
    assert [event.decision.event_id for event in found] == ["e1"]
    (skipped,) = found.skipped
    assert (skipped.reason, skipped.count, skipped.first) == ("features_invalid", 1, "event e0")


def test_a_damaged_archive_is_refused(archive):
    (file,) = (archive / INTERACTIONS).glob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArchiveError):
        list(open_reader("archive", archive))
