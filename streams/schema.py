"""The events' JSON Schema, for whoever writes them or reads them without this package.

It is made from the very structs that decode the events, so it cannot fall behind them. What it
cannot say, such as that a pmf sums to 1, their descriptions say.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any, Final

import msgspec

from streams import events
from streams.access import Act, ApiKey
from streams.assignments import Assignment
from streams.events import SCHEMA_VERSION, Event
from streams.generator_versions import GeneratorVersion

BY_TOPIC: Final[Mapping[str, tuple[type[Event], ...]]] = {
    events.DECISIONS: (events.Decision, events.Tick),
    events.OUTCOMES: (events.Outcome, events.Tick),
    events.INTERACTIONS: (events.Interaction,),
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
