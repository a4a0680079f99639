"""The JSON schemas of the events, and the AsyncAPI document of the topics that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from inspect import cleandoc
from typing import Any, Final

import msgspec

from streams import events
from streams.catalogue.changes import CHANGE
from streams.dead_letters import ADDED, REPLAYED_FROM, REPLAYED_ORIGIN
from streams.events import CATALOGUE, DEAD_LETTER, DECISIONS, OUTCOMES, SCHEMA_VERSION, Event
from streams.events.access import Act, ApiKey, Assignment
from streams.events.creatives import GeneratorVersion
from streams.logs import cloudevents
from streams.logs.cloudevents import HEADER as TRACEPARENT
from streams.logs.cloudevents import STATE as TRACESTATE
from streams.topics import LAYOUT, Topic

BY_TOPIC: Final[Mapping[str, tuple[type[Event], ...]]] = {
    events.DECISIONS: (events.Decision, events.Slate, events.Tick),
    events.OUTCOMES: (events.Outcome, events.Tick),
    events.INTERACTIONS: (events.Interaction, events.SlateInteraction),
    events.POLICIES: (events.PolicySnapshot,),
    events.CATALOGUE: (
        events.Placement,
        events.Creative,
        events.Generation,
        GeneratorVersion,
    ),
    events.ACCESS: (ApiKey,),
    events.ACTS: (Act,),
    events.ASSIGNMENTS: (Assignment,),
}
"""The events that each topic holds; dead letters may hold anything."""
EVENTS: Final = tuple(dict.fromkeys(event for held in BY_TOPIC.values() for event in held))


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) that every event validates against, and no other type.

    >>> {"Decision", "Outcome", "Interaction"} <= json_schema()["$defs"].keys()
    True
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:copyloop:events:{SCHEMA_VERSION}",
        "title": "copyloop events",
        "description": "The `type` of an event tells which it is. Other fields than these may "
        "come with it, and are ignored. What headers a record has, the AsyncAPI document says.",
        "oneOf": [{"$ref": f"#/$defs/{event.__name__}"} for event in EVENTS],
        "$defs": components("#/$defs/{name}"),
    }


def components(ref_template: str) -> dict[str, Any]:
    """Returns the schema of each struct by its name; `ref_template` says how they refer."""
    _, found = msgspec.json.schema_components(
        EVENTS, schema_hook=_any_json, ref_template=ref_template
    )
    for schema in found.values():
        schema["description"] = cleandoc(schema["description"])
    # Defaults become what JSON has: a tuple is an array.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain


def event_type(event: type[Event]) -> str:
    """Returns what the events of a class have as their `type`.

    >>> event_type(events.PolicySnapshot)
    'policy'
    """
    return str(event.__struct_config__.tag)


def _any_json(kind: type) -> dict[str, Any]:
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError  # how msgspec is told that a type is unknown; it names it


BINDING: Final = "0.5.0"
WRITTEN_BY_OTHERS: Final = (DECISIONS, OUTCOMES, CATALOGUE)
TEXT: Final = {"type": "string"}
ABOUT: Final = (
    "Decisions of a contextual bandit, what happened after them, and what was learned. Topics are "
    "Kafka topics, or those of an embedded log, which keeps to the same rules. An event's `type` "
    "tells which it is, and `v` by which version of its schema it was written. With `cloudevents` "
    "in the log's URL, what copyloop writes is a CloudEvent in binary mode as well; what others "
    "write may be one or not."
)
CO_PARTITIONED: Final = (
    "The key picks the partition (murmur2, as Java's clients do). `decisions` and `outcomes` have "
    "equally many, so that all of one event are in the same."
)
BY_KEY: Final = "The key picks the partition, so all of one placement are in order."
SINGLE: Final = "It has one partition, which everyone reads in order."
HEADERS: Final = {
    TRACEPARENT: "The trace that led to it (W3C Trace Context).",
    TRACESTATE: "What goes with the trace.",
    CHANGE: "What a change of the catalogue rests on; it counts if that still holds.",
    REPLAYED_FROM: "The ID of the dead letter that it was sent again from.",
    REPLAYED_ORIGIN: "Where the record was first of all: topic/partition@offset.",
    **cloudevents.HEADERS,
}
LETTER_HEADERS: Final = {
    "reason": "Why nobody could use the record, as a stable code.",
    "error": "What was wrong, in words.",
    "topic": "The topic that the record was in.",
    "partition": "Its partition there.",
    "offset": "Its offset there.",
}


def asyncapi() -> dict[str, Any]:
    """Returns the document, for JSON or YAML."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "copyloop", "version": version("copyloop"), "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in LAYOUT},
        "operations": _operations(),
        "components": {
            "messages": {event_type(event): _message(event) for event in EVENTS}
            | {DEAD_LETTER: _letter()},
            "schemas": components("#/components/schemas/{name}"),
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    partitioning = SINGLE
    if topic.partitioned:
        partitioning = CO_PARTITIONED if topic.name in (DECISIONS, OUTCOMES) else BY_KEY
    settings = {
        "cleanup.policy": ["compact" if topic.compact else "delete"],
        "retention.ms": -1,
    }
    return {
        "address": topic.name,
        "title": f"{topic.holds[0].upper()}{topic.holds[1:]}",
        "description": f"Key: {topic.key}. {partitioning} Records kept: {topic.retention}.",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(topic)
        },
        "bindings": {"kafka": {"topicConfiguration": settings, "bindingVersion": BINDING}},
    }


def _operations() -> dict[str, Any]:
    operations = {}
    for topic in LAYOUT:
        channel = f"#/channels/{topic.name}"
        messages = [{"$ref": f"{channel}/messages/{name}"} for name in _message_names(topic)]
        about = {"channel": {"$ref": channel}, "messages": messages}
        operations[f"{topic.name}.read"] = {
            "action": "send",
            "summary": f"copyloop writes {topic.name}, and anyone may read them.",
            **about,
        }
        if topic.name in WRITTEN_BY_OTHERS:
            operations[f"{topic.name}.write"] = {
                "action": "receive",
                "summary": f"Others may write {topic.name}, and copyloop reads them.",
                **about,
            }
    return operations


def _message_names(topic: Topic) -> list[str]:
    return [event_type(event) for event in BY_TOPIC.get(topic.name, ())] or [DEAD_LETTER]


def _message(event: type[Event]) -> dict[str, Any]:
    name = event_type(event)
    keys = dict.fromkeys(topic.key for topic in LAYOUT if event in BY_TOPIC.get(topic.name, ()))
    return {
        "name": name,
        "title": event.__name__,
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "headers": _headers(HEADERS),
        "bindings": _key_binding(" or ".join(keys)),
    }


def _letter() -> dict[str, Any]:
    return {
        "name": DEAD_LETTER,
        "title": "A record that nobody could use",
        "summary": "The record's own bytes, key and headers; these headers come after its own.",
        "contentType": "application/octet-stream",
        "payload": {"description": "The bytes of the record, whatever they are."},
        "headers": _headers(LETTER_HEADERS) | {"required": list(ADDED)},
        "bindings": _key_binding("that of the record"),
    }


def _headers(described: dict[str, str]) -> dict[str, Any]:
    properties = {name: TEXT | {"description": words} for name, words in described.items()}
    return {"type": "object", "properties": properties}


def _key_binding(words: str) -> dict[str, Any]:
    return {"kafka": {"key": TEXT | {"description": words}, "bindingVersion": BINDING}}
