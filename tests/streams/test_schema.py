"""The published schema says what `decode` takes, and the AsyncAPI document holds together."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streams.dead_letters import dead_letter_message
from streams.errors import EventError
from streams.events import SCHEMA_VERSION, TOPICS, Event, decode, encode
from streams.logs import cloudevents
from streams.logs.base import Record
from streams.schema import BY_TOPIC, EVENTS, asyncapi, event_type, json_schema
from tests.streams.made_events import MADE, json_values

SCHEMA = json_schema()
DOCUMENT = asyncapi()
VALIDATOR = Draft202012Validator(SCHEMA)
FREE = {"context", "features", "brief", "manifest"}


def test_every_type_of_event_is_in_the_schema_and_in_a_topic():
    assert set(EVENTS) == set(get_args(Event))
    assert {reference["$ref"].rsplit("/", 1)[1] for reference in SCHEMA["oneOf"]} == set(MADE)
    assert len({event_type(event) for event in EVENTS}) == len(MADE)


def test_the_schema_is_json_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=15)
@given(data=st.data())
def test_every_event_validates(name, data):
    event = data.draw(MADE[name])
    document = json.loads(encode(event))
    assert decode(encode(event)) == event
    VALIDATOR.validate(document)


def places(value, path=()):
    """Every place in a document that the schema has a say in."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            # Inside another event the type is known, and may be left out.
            if name not in FREE and not (path and name == "type"):
                yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from places(inner, (*path, n))


def mutated(document, path, change):
    """The document with what is at the path replaced, or taken out where `change` is ... ."""
    if not path:
        return change if change is not ... else {}
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if change is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = change
    return document


def refused(document):
    try:
        decode(msgspec.json.encode(document))
    except EventError as error:
        return str(error)
    return None


SHAPE = ("Expected", "Object missing", "Invalid value", "JSON is malformed")


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=40)
@given(data=st.data())
def test_the_schema_refuses_what_decode_does(name, data):
    document = json.loads(encode(data.draw(MADE[name])))
    path = data.draw(st.sampled_from(list(places(document))))
    document = mutated(document, path, data.draw(json_values | st.just(...)))
    refusal = refused(document)
    # What no schema can say (a pmf sums to 1) is for the event itself to refuse.
    assume(refusal is None or refusal.startswith(SHAPE))
    assert VALIDATOR.is_valid(document) == (refusal is None), refusal


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"type": "outcome"},
        {"type": "outing", "v": 1},
        {"type": "tick", "v": SCHEMA_VERSION + 1},
        {"type": "outcome", "event_id": "", "outcome_id": "o", "kind": "k", "timestamp_ms": 1},
        {"type": "outcome", "event_id": "e", "outcome_id": "o", "kind": "k", "timestamp_ms": -1},
        {"type": "outcome", "event_id": "e", "outcome_id": "o", "kind": 1, "timestamp_ms": 1},
    ],
)
def test_wrong_events_do_not_validate(wrong):
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(EventError):
        decode(json.dumps(wrong).encode())


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(document, reference):
    assert reference.startswith("#/"), reference
    for step in reference[2:].split("/"):
        document = document[step]
    return document


def test_every_reference_of_the_asyncapi_document_resolves():
    found = set(references(DOCUMENT))
    assert len(found) > 20
    for reference in found:
        assert isinstance(resolve(DOCUMENT, reference), dict)


def test_the_asyncapi_document_has_a_channel_a_topic_with_its_messages():
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert list(DOCUMENT["channels"]) == list(TOPICS)
    for name, channel in DOCUMENT["channels"].items():
        assert channel["address"] == name
        messages = {event_type(event) for event in BY_TOPIC.get(name, ())} or {"dead-letter"}
        assert set(channel["messages"]) == messages
        for reference in references(channel["messages"]):
            assert resolve(DOCUMENT, reference)["name"] in messages


def test_what_an_operation_is_about_is_in_its_channel():
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in {"send", "receive"}
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


def test_the_payloads_of_the_asyncapi_document_are_the_events():
    for event in EVENTS:
        message = DOCUMENT["components"]["messages"][event_type(event)]
        payload = resolve(DOCUMENT, message["payload"]["$ref"])
        assert payload["properties"]["type"]["enum"] == [event_type(event)]


def test_the_headers_that_events_get_are_told_of():
    messages = DOCUMENT["components"]["messages"]
    for name in map(event_type, EVENTS):
        told = set(messages[name]["headers"]["properties"])
        assert told >= {"traceparent", "replayed-from", "replayed-origin", *cloudevents.HEADERS}


def test_the_headers_of_a_dead_letter_are_those_that_it_gets():
    letter = dead_letter_message(Record("t", 0, 0, 0, b"", b""), "code", "error")
    headers = DOCUMENT["components"]["messages"]["dead-letter"]["headers"]
    assert (
        headers["required"] == [name for name, _ in letter.headers] == list(headers["properties"])
    )


def test_creatives_written_before_lineage_had_a_brief_are_still_read():
    data = (
        b'{"type":"creative","id":"a","placement":"home","parts":{"headline":"Tea"},'
        b'"status":"live","timestamp_ms":1,"features":{},"reason":null,'
        b'"lineage":{"generation_id":"g","model":"m","prompt":"question: Ready for","seed":1},'
        b'"v":1}'
    )
    creative = decode(data)
    assert (creative.lineage.prompt, creative.lineage.seed) == ("question: Ready for", 1)
    assert (creative.lineage.brief, creative.lineage.scores, creative.lineage.parts) == (
        None,
        {},
        {},
    )
    assert encode(creative) == data
