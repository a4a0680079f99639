"""Values framed with a schema registry, which a server of the test plays."""

import io
import json
import sys
import threading
from datetime import UTC, datetime

import fastavro
import pytest

from streams.errors import LogUnavailable, MappingError
from streams.ingest import framing
from streams.ingest.mapping import Kind, Mapper, Timestamp, TopicMapping
from streams.logs.base import Record
from tests.http_stub import answering

AT_MS = 1795428000250
MONEY = {"type": "record", "name": "shop.Money", "fields": [{"name": "amount", "type": "double"}]}
CLICK = {
    "type": "record",
    "name": "shop.Click",
    "fields": [
        {"name": "decision", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "paid", "type": "shop.Money"},
    ],
}
SCHEMAS = {
    "/schemas/ids/7": {
        "schema": json.dumps(CLICK),
        "references": [{"name": "shop.Money", "subject": "money", "version": 2}],
    },
    "/subjects/money/versions/2": {"schema": json.dumps(MONEY)},
    "/schemas/ids/8": {"schema": "{}", "schemaType": "JSON"},
    "/schemas/ids/9": {"schema": "message A {}", "schemaType": "PROTOBUF"},
}


@pytest.fixture
def asked():
    return []


@pytest.fixture
def registry(asked):
    def answer(handler):
        asked.append(handler.path)
        found = SCHEMAS.get(handler.path)
        return json.dumps(found).encode() if found else (404, {}, b'{"error_code": 40403}')

    with answering("GET", answer) as url:
        yield url


def framed(schema_id, payload):
    value = b"\x00" + schema_id.to_bytes(4) + payload
    return Record("clicks", 0, 1, AT_MS, b"k", value)


def avro_click(decision="e-1"):
    named = {}
    fastavro.parse_schema(MONEY, named_schemas=named)
    schema, out = fastavro.parse_schema(CLICK, named_schemas=named), io.BytesIO()
    at = datetime.fromtimestamp(AT_MS / 1000, UTC)
    row = {"decision": decision, "at": at, "paid": {"amount": 2.5}}
    fastavro.schemaless_writer(out, schema, row)
    return out.getvalue()


def mapper(registry, stop=None, **fields):
    given = {"event_id": "decision", "kind": Kind(constant="click")} | fields
    return Mapper(TopicMapping(topic="clicks", registry=registry, **given), stop)


def test_avro_is_read_by_the_schema_that_the_registry_has(registry, asked):
    reader = mapper(registry, value="paid.amount", timestamp=Timestamp(path="at"))
    for _ in range(2):
        (found,) = reader.outcomes(framed(7, avro_click())).outcomes
        assert (found.event_id, found.value, found.timestamp_ms) == ("e-1", 2.5, AT_MS)
    assert len(asked) == 2, "each schema is asked for once"
    assert reader.outcomes(framed(7, avro_click(None))).refused.code == "mapping_field_missing"


@pytest.mark.parametrize("with_registry", [True, False])
def test_json_schema_is_json_behind_its_number(registry, with_registry):
    reader = mapper(registry if with_registry else None)
    (found,) = reader.outcomes(framed(8, b'{"decision": "e-1"}')).outcomes
    assert found.event_id == "e-1"


@pytest.mark.parametrize(
    ("schema_id", "payload", "words"),
    [
        (9, b"\x00", "is of type PROTOBUF; JSON and AVRO are read"),
        (5, b"x", "the registry has no schema 5"),
        (7, b"\xff", "does not fit schema 7"),
    ],
)
def test_what_no_schema_reads_is_refused(registry, schema_id, payload, words):
    refused = mapper(registry).outcomes(framed(schema_id, payload)).refused
    assert refused.code == "mapping_schema"
    assert words in str(refused)


def test_avro_without_a_registry_says_what_is_missing():
    refused = mapper(None).outcomes(framed(7, avro_click())).refused
    assert refused.code == "mapping_not_json"
    assert "give the mapping the `registry`" in str(refused)


def test_a_registry_that_is_away_is_waited_for(monkeypatch):
    monkeypatch.setattr(framing, "RETRY_SECONDS", 0.01)
    times = iter([(503, {}, b""), (200, {}, b"no json"), (200, {}, b'{"schemaType": "JSON"}')])
    with answering("GET", lambda _: next(times)) as url:
        (found,) = mapper(url).outcomes(framed(8, b'{"decision": "e-1"}')).outcomes
    assert found.event_id == "e-1"


def test_waiting_for_a_registry_ends_with_the_process():
    stop = threading.Event()
    stop.set()
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
        mapper("http://user:secret@127.0.0.1:1", stop).outcomes(framed(7, b""))


def test_a_registry_that_lets_nobody_in_is_a_mistake_in_the_mapping():
    with (
        answering("GET", lambda _: (401, {}, b"")) as url,
        pytest.raises(MappingError, match="says 401"),
    ):
        mapper(url).outcomes(framed(7, b""))


def test_the_registry_has_an_url_and_its_reader_is_an_extra(monkeypatch):
    with pytest.raises(MappingError, match="expected http"):
        mapper("registry:8081")
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(MappingError, match=r"pip install 'copyloop\[avro\]'"):
        mapper("http://registry:8081")
