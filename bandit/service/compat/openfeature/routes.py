"""The routes of OFREP: evaluate one flag, evaluate all, and track."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Path, Request, Response

from bandit.errors import RequestError
from bandit.service.api.dependencies import raw_body, state_of, unchanged
from bandit.service.asgi import trace_of
from bandit.service.auth.caller import caller_of
from bandit.service.compat.openfeature.flags import Flags
from bandit.service.compat.openfeature.wire import (
    FlagError,
    FlagFailure,
    FlagValue,
    FlagValues,
    Tracked,
    failure_of,
    tag_of,
    track_of,
    user_of,
)
from bandit.service.errors import error_headers

JSON: Final = "application/json"

router = APIRouter(prefix="/ofrep/v1", tags=["openfeature"])


Evaluating = Annotated[Flags, state_of("flags")]

_ASKED: Final = {"context": {"targetingKey": "user-17", "device": "phone"}}


_EVALUATE: Final = raw_body({"$ref": "#/components/schemas/EvaluateBody"}, "a user", _ASKED)
_TRACK: Final = raw_body(
    {"$ref": "#/components/schemas/TrackBody"},
    "seen",
    {"event": "exposure", **_ASKED, "details": {"flag": "home"}},
)
_FAILED: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "Nothing can be made of it.", "model": FlagFailure},
    404: {"description": "There is no such flag.", "model": FlagFailure},
    422: {"description": "The placement does not take that.", "model": FlagFailure},
    503: {"description": "The log takes nothing now; try again.", "model": FlagFailure},
}


@router.post(
    "/evaluate/flags/{key:path}",
    response_model=FlagValue,
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
    except (FlagError, RequestError) as error:
        return _failed(key, error)
    return Response(msgspec.json.encode(found), media_type=JSON)


@router.post(
    "/evaluate/flags",
    response_model=FlagValues,
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
        caller = caller_of(request.scope)
        every = (placement.name for placement in placements.catalogue.placements())
        names = [name for name in every if caller.may_ask(name)]
        servings = [s for name in names if (s := placements.placement(name)) and s.actions]
        found = await flags.evaluate(servings, user, trace_of(request.scope))
    except (FlagError, RequestError) as error:
        return _failed(None, error)
    flags_found = [
        failure_of(serving.placement.name, each) if isinstance(each, FlagError) else each
        for serving, each in zip(servings, found, strict=True)
    ]
    body = msgspec.json.encode(FlagValues(flags=flags_found))
    tag = tag_of(body)
    return unchanged(known, tag) or Response(body, headers={"ETag": tag}, media_type=JSON)


@router.post(
    "/track",
    status_code=202,
    response_model=Tracked,
    responses=_FAILED,
    openapi_extra=_TRACK,
)
async def track_event(request: Request, flags: Evaluating) -> Response:
    """Takes in what a user did, for the flags that they were evaluated (an extension of OFREP).

    `exposure` says that a creative was seen; any other event is an outcome of that kind. With
    `details.flag`, the decision counts from then on. A creative that is seen after its decision
    is over has a decision of its own, which `eventIds` names.
    """
    try:
        body, user = track_of(await request.body())
        may_ask = caller_of(request.scope).may_ask
        event_ids = await flags.track(body, user, trace_of(request.scope), may_ask)
    except (FlagError, RequestError) as error:
        return _failed(None, error)
    tracked = Tracked(len(event_ids), event_ids)
    return Response(msgspec.json.encode(tracked), 202, media_type=JSON)


def _failed(key: str | None, error: FlagError | RequestError) -> Response:
    headers = None
    if isinstance(error, RequestError):
        headers = error_headers(error)
        error = FlagError(error.status, "GENERAL", f"{error.code}: {error}")
    return Response(
        msgspec.json.encode(failure_of(key, error)), error.status, headers, media_type=JSON
    )
