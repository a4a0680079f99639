"""The routes of OFREP: evaluate one flag, evaluate all, and track."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, Field

from bandit.errors import RequestError
from bandit.service.api.dependencies import unchanged
from bandit.service.asgi import trace_of
from bandit.service.compat.openfeature.flags import Flags
from bandit.service.compat.openfeature.wire import (
    Evaluation,
    Evaluations,
    Failure,
    FlagError,
    encoded,
    failure_of,
    tag_of,
    track_of,
    user_of,
)
from bandit.service.errors import error_headers

JSON: Final = "application/json"

router = APIRouter(prefix="/ofrep/v1", tags=["openfeature"])


class EvaluationView(BaseModel):
    """A flag's value: a part's text, or an object of all parts; the creative is the variant."""

    key: str
    value: str | dict[str, str]
    variant: str
    reason: str
    metadata: dict[str, str | float | bool] = Field(
        description="`eventId`, `propensity`, `policyVersion`, `placement`."
    )


class FailureView(BaseModel):
    """A flag without a value, or a request that nothing can be made of."""

    key: str | None = None
    errorCode: str  # noqa: N815  # as OFREP has it
    errorDetails: str  # noqa: N815


class EvaluationsView(BaseModel):
    """All flags, each with its value or why it has none."""

    flags: list[EvaluationView | FailureView]
    metadata: dict[str, str]


class TrackedView(BaseModel):
    """Of how many decisions the event was taken."""

    tracked: int


def _flags(request: Request) -> Flags:
    found: Flags = request.app.state.flags
    return found


Evaluating = Annotated[Flags, Depends(_flags)]

_CONTEXT: Final = {
    "type": "object",
    "required": ["targetingKey"],
    "properties": {"targetingKey": {"type": "string", "minLength": 1}},
    "description": "Who asks, and what policies see; `targetingKey` itself is seen as a hash.",
}
_ASKED: Final = {"context": {"targetingKey": "user-17", "device": "phone"}}


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    named = {name: {"value": example} for name, example in examples.items()}
    content = {JSON: {"schema": schema, "examples": named}}
    return {"requestBody": {"required": True, "content": content}}


_EVALUATE: Final = _body(
    {"type": "object", "required": ["context"], "properties": {"context": _CONTEXT}},
    {"a user": _ASKED},
)
_TRACK: Final = _body(
    {
        "type": "object",
        "required": ["event", "context"],
        "properties": {
            "event": {
                "type": "string",
                "minLength": 1,
                "maxLength": 256,
                "description": "`exposure`, or a kind of outcome that the placement knows.",
            },
            "context": _CONTEXT,
            "details": {
                "type": "object",
                "properties": {
                    "value": {"type": "number"},
                    "flag": {"type": ["string", "null"], "description": "Of this flag only."},
                    "eventId": {
                        "type": ["string", "null"],
                        "minLength": 1,
                        "maxLength": 256,
                        "description": "From the metadata: of that very evaluation.",
                    },
                    "outcomeId": {
                        "type": ["string", "null"],
                        "minLength": 1,
                        "maxLength": 256,
                        "description": "Tells duplicates apart.",
                    },
                },
            },
        },
    },
    {"seen": {"event": "exposure", **_ASKED, "details": {"flag": "home"}}},
)
_FAILED: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "Nothing can be made of it.", "model": FailureView},
    404: {"description": "There is no such flag.", "model": FailureView},
    503: {"description": "The log takes nothing now; try again.", "model": FailureView},
}


@router.post(
    "/evaluate/flags/{key:path}",
    response_model=EvaluationView,
    responses=_FAILED,
    openapi_extra=_EVALUATE,
)
async def evaluate_flag(
    request: Request,
    flags: Evaluating,
    key: Annotated[str, Path(min_length=1, description="The placement's name.")],
) -> Response:
    """Evaluates one flag: the creative that the user has, or one that is chosen now and kept.

    The decision is deferred: it counts once `/ofrep/v1/track` says that it was seen.
    """
    try:
        user = user_of(await request.body())
        serving = flags.snapshots.placement(key)
        if serving is None:
            raise FlagError(404, "FLAG_NOT_FOUND", f"there is no placement {key!r}")
        (found,) = await flags.evaluate([serving], user, trace_of(request.scope))
        if isinstance(found, FlagError):
            raise found
    except FlagError as error:
        return _answer(failure_of(key, error), error.status)
    except RequestError as error:
        return _unavailable(key, error)
    return _answer(found, 200)


@router.post(
    "/evaluate/flags",
    response_model=EvaluationsView,
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}}}},
        304: {"description": "Nothing has changed for the user."},
        **_FAILED,
    },
    openapi_extra=_EVALUATE,
)
async def evaluate_flags(
    request: Request,
    flags: Evaluating,
    known: Annotated[str | None, Header(alias="if-none-match")] = None,
) -> Response:
    """Evaluates all placements that have a live creative, as `evaluate/flags/{key}` does each."""
    try:
        user = user_of(await request.body())
        placements = flags.snapshots
        names = [placement.name for placement in placements.catalogue.placements()]
        servings = [s for name in names if (s := placements.placement(name)) and s.actions]
        found = await flags.evaluate(servings, user, trace_of(request.scope))
    except FlagError as error:
        return _answer(failure_of(None, error), error.status)
    except RequestError as error:
        return _unavailable(None, error)
    flags_found = [
        failure_of(serving.placement.name, each) if isinstance(each, FlagError) else each
        for serving, each in zip(servings, found, strict=True)
    ]
    body = encoded(Evaluations(flags=flags_found))
    tag = tag_of(body)
    return unchanged(known, tag) or Response(body, headers={"ETag": tag}, media_type=JSON)


@router.post(
    "/track",
    status_code=202,
    response_model=TrackedView,
    responses=_FAILED,
    openapi_extra=_TRACK,
)
async def track_event(request: Request, flags: Evaluating) -> Any:
    """Takes in what a user did, for the flags that they were evaluated (an extension of OFREP).

    `exposure` says that a creative was seen; any other event is an outcome of that kind. With
    `details.flag`, the decision counts from then on.
    """
    try:
        body, user = track_of(await request.body())
        return TrackedView(tracked=await flags.track(body, user, trace_of(request.scope)))
    except FlagError as error:
        return _answer(failure_of(None, error), error.status)
    except RequestError as error:
        return _unavailable(None, error)


def _answer(body: Evaluation | Failure, status: int) -> Response:
    return Response(encoded(body), status, media_type=JSON)


def _unavailable(key: str | None, error: RequestError) -> Response:
    failure = failure_of(key, FlagError(error.status, "GENERAL", f"{error.code}: {error}"))
    return Response(encoded(failure), error.status, error_headers(error), media_type=JSON)
