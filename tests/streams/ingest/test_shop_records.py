"""Records as shops send them: batches, clicks of others, change events, tombstones, BOMs."""

import json
import logging

import pytest

from streams.dead_letters import read_dead_letters, replay
from streams.errors import MappingError, UnmappedError
from streams.ingest.mapping import Kind, Mapper, Timestamp, TopicMapping
from streams.ingest.worker import IngestCounts
from streams.logs.base import Record
from streams.logs.sqlite import SqliteLog
from tests.streams.commands.test_log import run
from tests.streams.ingest.ingesting import ingest_all, outcomes, with_clicks, write

AT_MS = 1795428000250
SECOND = 1000
BATCH = TopicMapping(
    topic="clicks",
    each="events",
    when="ad.decision",
    event_id="ad.decision",
    kind=Kind(path="type", table={"click": "click"}, others="skip"),
    timestamp=Timestamp(path="batch:sent_at"),
)


def record(document, *, headers=(), at_ms=AT_MS):
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Record("clicks", 1, 42, at_ms, b"k", value, headers)


def event(decision, kind="click"):
    return {"type": kind, "ad": {"decision": decision} if decision else None}


def mapped(document, **fields):
    fields = {"event_id": "e", "kind": Kind(constant="click")} | fields
    return Mapper(TopicMapping(topic="clicks", **fields)).outcomes(record(document))


def test_each_of_a_batch_is_an_outcome_of_its_own():
    document = {"sent_at": AT_MS, "events": [event("e-1"), event("e-2"), event("e-1")]}
    found = Mapper(BATCH).outcomes(record(document))
    assert [o.event_id for o in found.outcomes] == ["e-1", "e-2", "e-1"]
    assert [o.outcome_id for o in found.outcomes] == [f"clicks/1@42#{n}" for n in range(3)]
    assert {o.timestamp_ms for o in found.outcomes} == {AT_MS}


@pytest.mark.parametrize("kind", ["view", None, 1.5, ["click"], {}])
def test_what_is_not_ours_is_skipped(kind):
    document = {"sent_at": AT_MS, "events": [event("e-1"), event("e-2", kind), event(None)]}
    found = Mapper(BATCH).outcomes(record(document))
    assert ([o.event_id for o in found.outcomes], found.skipped, found.refused) == (
        ["e-1"],
        2,
        None,
    )


@pytest.mark.parametrize(
    ("condition", "document", "is_ours"),
    [
        ("source == 'copyloop'", {"source": "copyloop"}, True),
        ("source == 'copyloop'", {"source": "other"}, False),
        ("source == 'copyloop'", {}, False),
        ("n", {"n": 0}, True),
        ("n", {"n": ""}, False),
        ("n", {"n": []}, False),
        ("header:ours", {}, False),
        ("starts_with(e, 'e')", {}, True),
    ],
)
def test_a_condition_is_one_of_jmespath(condition, document, is_ours):
    found = mapped({"e": "e-1"} | document, when=condition)
    assert (len(found.outcomes), found.skipped) == ((1, 0) if is_ours else (0, 1))


def test_one_of_a_batch_that_cannot_be_used_keeps_no_other_from_counting(empty_log, tmp_path):
    log = with_clicks(empty_log)
    mapping = TopicMapping(topic="clicks", each="@", event_id="e", kind="t")
    good, bad = {"e": "e-1", "t": "click"}, {"t": "click"}
    write(log, [good, bad, good | {"e": "e-3"}], {"no": "list"}, [])
    ingest_all(log, tmp_path, [mapping])
    assert [o.event_id for o in outcomes(log)] == ["e-1", "e-3"]
    letters = sorted(read_dead_letters(log), key=lambda letter: letter.reason)
    assert [x.reason for x in letters] == ["mapping_field_invalid", "mapping_field_missing"]
    # Corrected and sent again, the others are the same outcomes as before.
    replay(
        log, letters[1:], value=json.dumps([good, bad | {"e": "e-2"}, good | {"e": "e-3"}]).encode()
    )
    ingest_all(log, tmp_path, [mapping])
    found = outcomes(log)
    assert sorted({o.event_id for o in found}) == ["e-1", "e-2", "e-3"]
    assert len({o.outcome_id for o in found}) == 3


def test_tombstones_are_skipped_and_a_mark_of_utf_8_is_no_mistake(empty_log, tmp_path):
    log, counts = with_clicks(empty_log), IngestCounts()
    mapping = TopicMapping(topic="clicks", event_id="e", kind=Kind(constant="click"))
    write(log, b"", b'\xef\xbb\xbf{"e": "e-1"}', b"")
    ingest_all(log, tmp_path, [mapping], counts=counts)
    assert [o.event_id for o in outcomes(log)] == ["e-1"]
    assert (counts.records, counts.outcomes, counts.skipped, counts.refused) == (3, 1, 2, 0)
    assert list(read_dead_letters(log)) == []


def test_a_record_whose_headers_say_all_needs_no_value(empty_log, tmp_path):
    log = with_clicks(empty_log)
    mapping = TopicMapping(topic="clicks", event_id="header:e", kind=Kind(constant="click"))
    write(log, b"", headers=(("e", b"e-1"),))
    ingest_all(log, tmp_path, [mapping])
    assert [o.event_id for o in outcomes(log)] == ["e-1"]


def debezium(op, after, **more):
    source = {"connector": "mysql", "ts_us": AT_MS * 1000}
    return {
        "schema": {},
        "payload": {"op": op, "before": None, "after": after, "source": source},
    } | more


def test_change_events_of_debezium_are_read():
    mapping = TopicMapping(
        topic="clicks",
        event_id="payload.after.decision",
        kind=Kind(path="payload.op", table={"c": "click", "r": "click"}, others="skip"),
        timestamp=Timestamp(path="payload.after.clicked_at", unit="us"),
    )
    row = {"decision": "e-1", "clicked_at": AT_MS * 1000}
    created = Mapper(mapping).outcomes(record(debezium("c", row)))
    assert [(o.event_id, o.timestamp_ms) for o in created.outcomes] == [("e-1", AT_MS)]
    deleted = Mapper(mapping).outcomes(record(debezium("d", None)))
    assert (deleted.outcomes, deleted.skipped, deleted.refused) == ([], 1, None)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (AT_MS * 1000, {"unit": "us"}),
        (AT_MS * 1_000_000, {"unit": "ns"}),
        (str(AT_MS * 1000), {"unit": "us"}),
        (AT_MS + 7_200_000, {"plus": -7200}),
        (AT_MS + 7_200_000, {"minus": 7200}),
        # The wall clock of Berlin, as MySQL's DATETIME is told: an hour ahead in November.
        (AT_MS + 3_600_000, {"zone": "Europe/Berlin"}),
        ((AT_MS + 3_600_000) * 1000, {"zone": "Europe/Berlin", "unit": "us"}),
        ("2026-11-23T11:00:00.250", {"zone": "Europe/Berlin", "unit": "iso"}),
        ("2026-11-23T10:00:00.250Z", {"zone": "Europe/Berlin", "unit": "iso"}),
        (AT_MS // 86_400_000, {"unit": "days", "plus": Timestamp(path="time", unit="us")}),
        (AT_MS + 1500, {"minus": Timestamp(path="age", unit="s")}),
    ],
)
def test_times_are_put_together(given, fields):
    time_us = AT_MS % 86_400_000 * 1000
    document = {"e": "e-1", "at": given, "time": time_us, "age": 1.5}
    (found,) = mapped(document, timestamp=Timestamp(path="at", **fields)).outcomes
    assert found.timestamp_ms == AT_MS


def test_a_zone_that_is_none_or_a_sum_that_cannot_be_is_refused():
    with pytest.raises(MappingError, match="Europe/Berlen"):
        mapped({}, timestamp=Timestamp(path="at", zone="Europe/Berlen"))
    with pytest.raises(ValueError, match="a number in a unit"):
        Timestamp(path="at", plus=Timestamp(path="b", unit="iso"))
    found = mapped({"e": "e", "at": 5}, timestamp=Timestamp(path="at", minus=60))
    assert isinstance(found.refused, UnmappedError)
    assert "whole number" in str(found.refused)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (AT_MS * 1000, "after that of its record (1 so far)"),
        (AT_MS * 1000, "its unit seems 1,000 times too large"),
        (AT_MS // 1000, "its unit seems 1,000 times too small"),
        (AT_MS + 2 * 86_400_000, "2.0 days after"),
    ],
)
def test_times_that_cannot_be_meant_are_told(at, words, caplog):
    with caplog.at_level(logging.WARNING):
        mapped({"e": "e-1", "at": at}, timestamp=Timestamp(path="at"))
    assert words in caplog.text


def test_a_command_makes_a_topic_of_ones_own_in_a_log_in_a_file(tmp_path):
    mapping = tmp_path / "clicks.yaml"
    mapping.write_text("topic: shop-clicks\nevent_id: e\nkind: {constant: click}\n")
    run("topics", "--data", tmp_path, "--mapping", mapping, "--partitions", 2)
    log = SqliteLog(tmp_path / "log.db")
    assert log.partitions("shop-clicks") == 2
    log.close()
