import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dead_letters import REPLAYED_ORIGIN
from streams.errors import MappingError, UnmappedError
from streams.events import Outcome, decode, encode
from streams.ingest.mapping import Kind, Mapper, Timestamp, TopicMapping, read_mapping
from streams.logs.base import Record

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CLICK = {
    "id": "c-1",
    "type": "ad_click",
    "at": "2026-11-23T10:00:00.250Z",
    "payload": {"ads": [{"decision": "e-1"}, {"decision": "e-2"}], "amount": "12.50"},
}
YAML = """
topic: shop-clicks
event_id: payload.ads[0].decision
kind:
  path: type
  table: {ad_click: click, order_placed: conversion}
  others: skip
value: payload.amount || `1`
timestamp: {path: at, unit: iso}
outcome_id: id
"""
TOML = """
topic = "shop-clicks"
event_id = "payload.ads[0].decision"
value = "payload.amount || `1`"
outcome_id = "id"
timestamp = {path = "at", unit = "iso"}
[kind]
path = "type"
others = "skip"
[kind.table]
ad_click = "click"
order_placed = "conversion"
"""


def record(document=None, *, headers=(), key=b"k", value=None):
    body = json.dumps(document).encode() if value is None else value
    return Record("shop-clicks", 1, 42, 1234, key, body, headers)


def outcome(document, **fields):
    fields = {"event_id": "e", "kind": Kind(constant="click")} | fields
    mapping = TopicMapping(topic="shop-clicks", **fields)
    return Mapper(mapping).outcome(document if isinstance(document, Record) else record(document))


def refusal(document, **fields):
    with pytest.raises(UnmappedError) as raised:
        outcome(document, **fields)
    return raised.value.code, str(raised.value)


@pytest.fixture(params=["yaml", "toml", "json"])
def mapping(request, tmp_path):
    text = {"yaml": YAML, "toml": TOML, "json": json.dumps(msgspec.yaml.decode(YAML))}
    path = tmp_path / f"clicks.{request.param}"
    path.write_text(text[request.param])
    return read_mapping(path)


def test_a_file_says_how_a_record_becomes_an_outcome(mapping):
    assert Mapper(mapping).outcome(record(CLICK)) == Outcome(
        event_id="e-1",
        outcome_id="c-1",
        kind="click",
        timestamp_ms=1795428000250,
        value=12.5,
    )


def test_only_the_kinds_of_the_table_count_if_others_are_skipped(mapping):
    mapper = Mapper(mapping)
    assert mapper.outcome(record(CLICK | {"type": "order_placed"})).kind == "conversion"
    assert mapper.outcome(record(CLICK | {"type": "page_view"})) is None


def test_a_field_may_have_something_to_take_instead(mapping):
    assert Mapper(mapping).outcome(record(CLICK | {"payload": {"ads": CLICK["payload"]["ads"]}}))


def test_without_more_said_it_is_one_at_the_records_own_time_and_place():
    assert outcome({"e": "e-1"}) == Outcome(
        event_id="e-1",
        outcome_id="shop-clicks/1@42",
        kind="click",
        timestamp_ms=1234,
        value=1.0,
        slot=0,
    )


def test_a_record_that_was_sent_again_is_the_same_outcome():
    again = record({"e": "e-1"}, headers=((REPLAYED_ORIGIN, b"shop-clicks/0@7"),))
    assert outcome(again).outcome_id == "shop-clicks/0@7"


def test_cloudevents_are_read_from_their_headers_and_need_no_json():
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"ce-1"),
        ("ce_type", b"shop.ad.clicked"),
        ("ce_time", b"2026-11-23T10:00:00Z"),
        ("ce_subject", b"e-1"),
        ("content-type", b"application/avro"),
        ("traceparent", TRACE.encode()),
    )
    found = outcome(
        record(headers=headers, value=b"\x00\x01avro"),
        event_id="header:ce_subject",
        kind=Kind(path="header:ce_type", table={"shop.ad.clicked": "click"}),
        timestamp=Timestamp(path="header:ce_time", unit="iso"),
        outcome_id="header:ce_id",
    )
    assert found == Outcome(
        event_id="e-1",
        outcome_id="ce-1",
        kind="click",
        timestamp_ms=1795428000000,
        traceparent=TRACE,
    )


def test_structured_cloudevents_are_json_like_any_other():
    event = {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "/shop",
        "type": "shop.ad.clicked",
        "time": "2026-11-23T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {"ad": {"decision_id": "e-1"}, "amount": "2.50"},
    }
    found = outcome(
        record(event, headers=(("content-type", b"application/cloudevents+json"),)),
        event_id="data.ad.decision_id",
        kind=Kind(path="type", table={"shop.ad.clicked": "click"}),
        value="data.amount || `1`",
        timestamp=Timestamp(path="time", unit="iso"),
        outcome_id="id",
    )
    assert found == Outcome(
        event_id="e-1", outcome_id="ce-1", kind="click", timestamp_ms=1795428000000, value=2.5
    )


def test_the_trace_may_be_an_attribute_of_the_cloudevent_and_a_malformed_one_is_left_out():
    attribute, header = ("ce_traceparent", TRACE.encode()), ("traceparent", OTHER_TRACE.encode())
    assert outcome(record({"e": "x"}, headers=(attribute,))).traceparent == TRACE
    # Of the two, the header tells the latest hop.
    assert outcome(record({"e": "x"}, headers=(header, attribute))).traceparent == OTHER_TRACE
    assert outcome(record({"e": "x"}, headers=(("traceparent", b"nonsense"),))).traceparent is None


@pytest.mark.parametrize(
    ("given", "path", "event_id"),
    [
        (record({}, headers=(("id", b"first"), ("id", b"last"))), "header:id", "last"),
        (record({}, key=b"e-7"), "record:key", "e-7"),
        (record({"e": 17}), "e", "17"),
    ],
)
def test_an_id_may_be_a_header_the_key_or_a_whole_number(given, path, event_id):
    assert outcome(given, event_id=path).event_id == event_id


@pytest.mark.parametrize(
    ("unit", "at", "expected"),
    [
        ("ms", 1795428000250, 1795428000250),
        ("ms", "1795428000250", 1795428000250),
        ("ms", 1795428000250.4, 1795428000250),
        ("s", 1795428000, 1795428000000),
        ("s", 1795428000.25, 1795428000250),
        ("s", 1700000000.123, 1700000000123),
        ("iso", "2026-11-23T10:00:00Z", 1795428000000),
        ("iso", "2026-11-23T11:00:00.250+01:00", 1795428000250),
        ("iso", "20261123T100000Z", 1795428000000),
        ("iso", "2026-11-23T10:00:00", 1795428000000),
    ],
)
def test_times_are_read_in_their_unit(unit, at, expected):
    found = outcome({"e": "e", "at": at}, timestamp=Timestamp(path="at", unit=unit))
    assert found.timestamp_ms == expected


@pytest.mark.parametrize(
    ("unit", "at"),
    [
        ("ms", -1),
        ("ms", 2**53),
        ("ms", "soon"),
        ("ms", True),
        ("ms", [1]),
        ("s", 1e300),
        ("iso", "2026-11-23"),
        ("iso", "yesterday at noon"),
        ("iso", 1795428000),
        ("iso", "1969-12-31T23:59:59Z"),
    ],
)
def test_a_time_that_is_none_is_refused(unit, at):
    code, message = refusal({"e": "e", "at": at}, timestamp=Timestamp(path="at", unit=unit))
    assert code == "mapping_field_invalid"
    assert message.startswith("timestamp, from 'at': ")


@pytest.mark.parametrize(
    ("value", "expected"), [(2, 2.0), (0, 0.0), ("12.50", 12.5), (-1e-3, -0.001)]
)
def test_values_are_numbers_or_decimals_in_a_string(value, expected):
    assert outcome({"e": "e", "v": value}, value="v").value == expected


@pytest.mark.parametrize(
    ("field", "found"),
    [
        *(("value", v) for v in (True, "12,50", "NaN", "inf", "1e999", [], {"a": 1}, 10**400)),
        *(("slot", s) for s in (-1, 2**16, 1.5, "x")),
    ],
)
def test_a_value_or_slot_that_is_none_is_refused(field, found):
    code, message = refusal({"e": "e", "v": found}, **{field: "v"})
    assert code == "mapping_field_invalid"
    assert message.startswith(f"{field}, from 'v': ")


@pytest.mark.parametrize(("slot", "expected"), [(3, 3), ("3", 3), (0, 0)])
def test_slots_are_whole_numbers(slot, expected):
    assert outcome({"e": "e", "s": slot}, slot="s").slot == expected
    assert outcome({"e": "e"}, slot=int(slot)).slot == expected


@pytest.mark.parametrize("missing", [{}, {"e": None}, {"e": {}}, [1], None, "e"])
def test_a_field_that_is_missing_is_refused_by_name(missing):
    fields = {"event_id": "e.id"}
    code, message = refusal(missing, **fields)
    assert (code, message) == ("mapping_field_missing", "event_id: nothing, or null, at 'e.id'")


@pytest.mark.parametrize(
    ("field", "path"), [("event_id", "header:ce_id"), ("event_id", "record:key")]
)
def test_a_header_or_key_that_is_missing_is_refused(field, path):
    assert refusal(record({}, key=b""), **{field: path})[0] == "mapping_field_missing"


@pytest.mark.parametrize("event_id", ["", "x" * 257, True, 1.5, []])
def test_an_id_that_is_none_is_refused(event_id):
    code, message = refusal({"e": event_id})
    assert code == "mapping_field_invalid"
    assert "event_id" in message


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(value):
    assert refusal(record(value=value))[0] == "mapping_not_json"


def test_a_kind_that_the_table_lacks_is_refused():
    kind = Kind(path="t", table={"true": "conversion"})
    assert outcome({"e": "e", "t": True}, kind=kind).kind == "conversion"
    code, message = refusal({"e": "e", "t": False}, kind=kind)
    assert (code, message) == (
        "mapping_kind_unknown",
        "kind: 'false' at 't' is not in the table; add it, or skip others",
    )


def test_an_expression_that_trips_over_a_record_refuses_it():
    code, message = refusal({"e": [1, "a"]}, event_id="max_by(e, &@)")
    assert code == "mapping_field_invalid"
    assert message.startswith("event_id, from 'max_by(e, &@)': ")


@pytest.mark.parametrize(
    "path", ["", " ", "a..b", "$.a", "a[", "record:offset", "nothing_such(a)", "a.length(@, @)"]
)
def test_a_path_that_cannot_be_is_refused_at_the_start(path):
    with pytest.raises(MappingError, match="event_id"):
        Mapper(TopicMapping(topic="t", event_id=path, kind="k"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.yaml", "topic: t\nevent_id: e", "missing required field `kind`"),
        ("m.yaml", "topic: t\nevent_id: e\nkind: k\nvalues: 1", "unknown field `values`"),
        ("m.yaml", "topic: t\nevent_id: 1\nkind: k", r"\$.event_id"),
        ("m.yaml", "topic: t\nevent_id: e\nkind: {}", "either a constant or a path"),
        ("m.yaml", "topic: t\nevent_id: e\nkind: {path: a, constant: b}", "either a constant"),
        ("m.yaml", "topic: t\nevent_id: e\nkind: {path: a, others: skip}", "has a table"),
        ("m.yaml", "topic: ''\nevent_id: e\nkind: k", "topic has 0 characters"),
        ("m.yaml", "topic: t\nevent_id: e\nkind: k\nslot: -1", r"\$.slot"),
        ("m.yaml", "topic: [", "m.yaml"),
        ("m.yaml", "- a", "Expected `object`"),
        ("m.toml", "topic = ", "m.toml"),
        ("m.json", "{", "m.json"),
        ("m.yaml", b"\xff\xfe\x00", "m.yaml"),
        ("m.txt", "topic: t", "expected a .yaml, .json or .toml"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(MappingError, match=words):
        read_mapping(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MappingError, match="No such file"):
        read_mapping(tmp_path / "absent.yaml")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abet") | st.text(max_size=3), inner, max_size=4)
    ),
)
PATHS = ["e", "a.b", "a[0]", "a[*].b | [0]", "length(a)", "to_number(a)", "header:h", "record:key"]


@given(
    value=json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30),
    key=st.binary(max_size=5),
    header=st.binary(max_size=5),
    paths=st.lists(st.sampled_from(PATHS), min_size=5, max_size=5),
    unit=st.sampled_from(["ms", "s", "iso"]),
)
def test_any_record_becomes_a_readable_outcome_or_a_refusal(value, key, header, paths, unit):
    event_id, kind, number, time, slot = paths
    mapper = Mapper(
        TopicMapping(
            topic="t",
            event_id=event_id,
            kind=kind,
            value=number,
            timestamp=Timestamp(path=time, unit=unit),
            slot=slot,
        )
    )
    with suppress(UnmappedError):
        found = mapper.outcome(Record("t", 0, 0, 0, key, value, (("h", header),)))
        assert decode(encode(found)) == found
