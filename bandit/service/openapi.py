"""The hot routes' part of the OpenAPI document.

FastAPI never sees these routes, so their schemas come from the msgspec types that decode them:
what is documented is what is checked.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, Final, NamedTuple

import msgspec

from bandit.service.front import OF_EVENTS, RANK, HotRoute
from bandit.service.requests import (
    OutcomeRequest,
    OutcomesAnswer,
    OutcomesRequest,
    RankAnswer,
    RankRequest,
    RewardRequest,
)

_ERRORS: Final = {
    "400": "`body_not_json`",
    "404": "`placement_not_found`",
    "409": "`no_live_creatives`",
    "413": "`body_too_large`",
    "422": "The body or the event id is refused; `code` and `target` say why and where",
    "503": "`log_unavailable` or `overloaded`: nothing was written; try again",
}
_REFUSAL: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "target"],
            "properties": {
                "code": {"type": "string", "description": "Stable; branch on it."},
                "message": {"type": "string"},
                "target": {"type": ["string", "null"]},
            },
        }
    },
}
REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A refusal; `code` says why",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
}
"""What FastAPI's routes answer with otherwise."""

_EVENT: Final = "01935d3ac1f0a9b4e0c2d7f85b61e3aa"


class _Documented(NamedTuple):
    route: HotRoute
    summary: str
    request: Any
    example: Any
    status: str
    answer: Any
    answer_example: Any


_ROUTES: Final = (
    _Documented(
        RANK,
        "Choose one creative",
        RankRequest,
        {"context": {"device": "phone", "hour": 20}},
        "200",
        RankAnswer,
        {
            "event_id": _EVENT,
            "placement": "homepage",
            "action": {"id": "warm-feet", "parts": {"headline": "Warm feet, all winter"}},
            "index": 0,
            "propensity": 0.75,
            "pmf": [
                {"id": "warm-feet", "propensity": 0.75},
                {"id": "dry-socks", "propensity": 0.25},
            ],
            "policy_version": "3f1c0a9be2d47581@42",
        },
    ),
    _Documented(
        OF_EVENTS[b"reward"],
        "Say what a decision earned",
        RewardRequest,
        {"value": 1.0},
        "204",
        None,
        None,
    ),
    _Documented(
        OF_EVENTS[b"outcomes"],
        "Say what happened after a decision",
        OutcomesRequest,
        [{"kind": "click"}, {"kind": "conversion", "value": 19.9, "outcome_id": "order-1"}],
        "202",
        OutcomesAnswer,
        {"accepted": 2},
    ),
    _Documented(
        OF_EVENTS[b"activate"],
        "Make a deferred decision count",
        None,
        None,
        "204",
        None,
        None,
    ),
)


def add_hot_routes(document: dict[str, Any]) -> dict[str, Any]:
    """Returns FastAPI's OpenAPI document with the hot routes added to it."""
    types = [RankRequest, RankAnswer, RewardRequest, OutcomeRequest, OutcomesRequest]
    types.append(OutcomesAnswer)
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    for component in components.values():
        component["description"] = cleandoc(component["description"])
    known = document.setdefault("components", {}).setdefault("schemas", {})
    known.update(components, Refusal=_REFUSAL)
    by_type = dict(zip(map(id, types), schemas, strict=True))
    for documented in _ROUTES:
        operation = _operation(documented, by_type)
        document["paths"][documented.route.template] = {"post": operation}
    return document


def _operation(documented: _Documented, schemas: dict[int, dict[str, Any]]) -> dict[str, Any]:
    names = [part[1:-1] for part in documented.route.template.split("/") if part.startswith("{")]
    content = REFUSED["default"]["content"]
    responses: dict[str, Any] = {
        status: {"description": words, "content": content} for status, words in _ERRORS.items()
    }
    responses[documented.status] = {"description": "It is in the log"}
    if documented.answer is not None:
        responses[documented.status]["content"] = _content(
            schemas[id(documented.answer)], documented.answer_example
        )
    operation: dict[str, Any] = {
        "tags": ["decisions"],
        "summary": documented.summary,
        "description": documented.route.handler.__doc__,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "responses": responses,
    }
    if documented.request is not None:
        content = _content(schemas[id(documented.request)], documented.example)
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema, "example": example}}
