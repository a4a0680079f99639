"""The hot routes' part of the OpenAPI document.

FastAPI never sees these routes, so their schemas come from the msgspec types that decode them:
what is documented is what is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from bandit.service.api.decisions import OutcomeItem
from bandit.service.compat.openfeature.wire import EvaluateBody, TrackBody
from bandit.service.hot import OF_EVENTS, RANK, HotRoute
from bandit.service.requests import (
    ActivateRequest,
    OutcomeRequest,
    OutcomesAnswer,
    OutcomesRequest,
    RankAnswer,
    RankRequest,
    RankSlotsAnswer,
    RewardRequest,
)

_ERRORS: Final = {
    "400": "`body_not_json`",
    "404": "`placement_not_found`",
    "409": "`no_live_creatives` or `slot_without_actions`",
    "413": "`body_too_large`, or `message_too_large` for the log",
    "422": "The body or the event id is refused; `code` and `target` say why and where",
    "503": "`log_unavailable`, `log_moved`, `append_denied`, `message_invalid`, `spool_full`, "
    "`spool_failed` or `overloaded`: nothing was taken; try again",
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
    """A hot route: what it takes and answers, each with examples by name."""

    route: HotRoute
    summary: str
    request: Any
    examples: dict[str, Any]
    status: str
    answers: tuple[Any, ...] = ()
    answer_examples: Mapping[str, Any] = MappingProxyType({})
    body_required: bool = True


_DECIDED: Final = {"event_id": _EVENT, "placement": "homepage"}
_VERSION: Final = {"policy_version": "3f1c0a9be2d47581@42"}
_WARM_FEET: Final = {
    "action": {"id": "warm-feet", "parts": {"headline": "Warm feet, all winter"}},
    "index": 0,
    "propensity": 0.75,
    "pmf": [{"id": "warm-feet", "propensity": 0.75}, {"id": "dry-socks", "propensity": 0.25}],
}
_DRY_SOCKS: Final = {
    "action": {"id": "dry-socks", "parts": {"headline": "Socks that dry overnight"}},
    "index": 0,
    "propensity": 1.0,
    "pmf": [{"id": "dry-socks", "propensity": 1.0}],
}

_ROUTES: Final = (
    _Documented(
        RANK,
        "Choose one creative, or one for each of several slots",
        RankRequest,
        {
            "one": {"context": {"device": "phone", "hour": 20}},
            "several slots": {
                "context": {"device": "phone", "hour": 20},
                "slots": [
                    {"id": "top", "features": {"wide": True}},
                    {"id": "side", "excluded": ["long-read"]},
                ],
            },
        },
        "200",
        (RankAnswer, RankSlotsAnswer),
        {
            "one": {**_DECIDED, **_WARM_FEET, **_VERSION},
            "several slots": {
                **_DECIDED,
                "slots": [
                    {"slot": 0, "id": "top", **_WARM_FEET},
                    {"slot": 1, "id": "side", **_DRY_SOCKS},
                ],
                **_VERSION,
            },
        },
    ),
    _Documented(
        OF_EVENTS[b"reward"],
        "Say what a decision earned",
        RewardRequest,
        {"one": {"value": 1.0}, "one of several slots": {"value": 1.0, "slot": 1}},
        "204",
    ),
    _Documented(
        OF_EVENTS[b"outcomes"],
        "Say what happened after a decision",
        OutcomesRequest,
        {
            "several": [
                {"kind": "click"},
                {"kind": "reward", "value": 0.5, "outcome_id": "order-1"},
            ],
            "in two slots": [{"kind": "click", "slot": 0}, {"kind": "click", "slot": 1}],
        },
        "202",
        (OutcomesAnswer,),
        {"several": {"accepted": 2}},
    ),
    _Documented(
        OF_EVENTS[b"activate"],
        "Make a deferred decision count",
        ActivateRequest,
        {"all": {}, "the slots that were shown": {"slots": [0, 1]}},
        "204",
        body_required=False,
    ),
)


def add_hot_routes(document: dict[str, Any]) -> dict[str, Any]:
    """Returns FastAPI's OpenAPI document with the hot routes added to it."""
    types = [OutcomeRequest, OutcomeItem, EvaluateBody, TrackBody]
    types += [kind for each in _ROUTES for kind in (each.request, *each.answers)]
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
    responses[documented.status] = {"description": "It is in the log, or on its way there"}
    if documented.answers:
        responses[documented.status]["content"] = _content(
            [schemas[id(answer)] for answer in documented.answers], documented.answer_examples
        )
    return {
        "tags": ["decisions"],
        "summary": documented.summary,
        "description": documented.route.handler.__doc__,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "requestBody": {
            "required": documented.body_required,
            "content": _content([schemas[id(documented.request)]], documented.examples),
        },
        "responses": responses,
    }


def _content(schemas: list[dict[str, Any]], examples: Mapping[str, Any]) -> dict[str, Any]:
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    named = {name: {"value": example} for name, example in examples.items()}
    return {"application/json": {"schema": schema, "examples": named}}
