"""The routes of API keys, of the audit log, of the caller, and the way to the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from msgspec import Meta, Struct

from bandit.errors import RequestError
from bandit.service.api.dependencies import shown, state_of
from bandit.service.auth.caller import Caller, caller_of
from bandit.service.auth.keys import (
    GRACE_SECONDS,
    KeyRing,
    key_messages,
    make_key,
    revoked,
    rotated,
)
from bandit.service.log_writer import Appender
from bandit.service.resource import JsonBody, Resource, view_of
from streams.catalogue.audit_log import read_acts
from streams.events.access import Act, ApiKey, Scope
from streams.events.fields import doc
from streams.logs.base import Log

router = APIRouter(tags=["keys"])
YEARS: float = 100 * 366 * 86_400.0


Pattern = Annotated[str, Meta(min_length=1, max_length=256)]


class KeyBody(Struct, Resource, frozen=True, kw_only=True):
    """A key to make: what it is called and what it may do."""

    examples = ({"name": "shop", "scopes": ["rank", "reward"]},)

    name: Annotated[
        str, Meta(min_length=1, max_length=256, description="For people to tell it by.")
    ]
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    lasts_seconds: Annotated[float, Meta(gt=0, le=YEARS)] | None = None
    rate_per_second: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        doc("How many requests; as the settings say if left out."),
    ] = None
    placements: Annotated[
        Annotated[list[Pattern], Meta(min_length=1, max_length=100)] | None,
        doc("The names that it is for; `*` in one is any text. All placements if left out."),
    ] = None


class RotationBody(Struct, Resource, frozen=True):
    """How long the secret that is replaced goes on working."""

    examples = ({"grace_seconds": 3600},)

    grace_seconds: Annotated[float, Meta(ge=0, le=YEARS)] = GRACE_SECONDS


class KeyView(Struct, Resource, frozen=True, kw_only=True):
    """A key, as anyone who may see keys sees it."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    rate_per_second: float | None
    placements: tuple[str, ...] | None


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A key with its text, which is told this once."""

    key: str


class KeyList(Struct, Resource, frozen=True):
    """Every key, those that were revoked too."""

    items: list[KeyView]


class KeyService:
    """Reads and changes the keys of one log, from one event loop."""

    def __init__(self, ring: KeyRing, appender: Appender, clock_ms: Callable[[], int]) -> None:
        self.ring = ring
        self.clock_ms = clock_ms
        self.turn = asyncio.Lock()
        self._appender = appender

    def key(self, key_id: str) -> ApiKey:
        """Returns the key of that id.

        Raises:
            RequestError: `key_not_found`.
        """
        found = self.ring.key(key_id)
        if found is None:
            raise RequestError(404, "key_not_found", f"there is no key {key_id!r}", target="key")
        return found

    async def write(self, who: Caller, what: str, before: ApiKey | None, after: ApiKey) -> None:
        """Records the act and makes the key known, here as well.

        Raises:
            RequestError: `log_unavailable`.
        """
        messages = key_messages(who.id, what, before, after, self.clock_ms())
        await self._appender.append_through(messages)
        await run_in_threadpool(self.ring.catch_up)


def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


_View = TypeVar("_View", bound=KeyView)
Keys = Annotated[KeyService, state_of("keys")]
Asking = Annotated[Caller, Depends(_caller)]
KeyId = Annotated[str, Path(alias="key", max_length=256, description="The key's id.")]


def _view(kind: type[_View], of: ApiKey, **more: object) -> _View:
    return view_of(kind, of, placements=of.placements or None, **more)


@router.get("/v1/keys")
async def list_keys(keys: Keys) -> KeyList:
    """Every key, without its secret."""
    return KeyList(items=[_view(KeyView, key) for key in keys.ring.every()])


@router.post("/v1/keys", status_code=201)
async def create_key(keys: Keys, who: Asking, body: JsonBody[KeyBody]) -> NewKeyView:
    """Makes a key and tells its text, this once. With the first one, the others are asked for."""
    key, text = make_key(
        body.name,
        body.scopes,
        keys.clock_ms(),
        lasts_seconds=body.lasts_seconds,
        rate_per_second=body.rate_per_second,
        placements=body.placements,
    )
    async with keys.turn:
        await keys.write(who, "created", None, key)
    return _view(NewKeyView, key, key=text)


@router.post("/v1/keys/{key}/rotate")
async def rotate_key(
    keys: Keys, who: Asking, key_id: KeyId, body: JsonBody[RotationBody]
) -> NewKeyView:
    """Gives the key a new secret and tells it, this once; the old one works for the grace yet."""
    async with keys.turn:
        before = keys.key(key_id)
        key, text = rotated(before, keys.clock_ms(), grace_seconds=body.grace_seconds)
        await keys.write(who, "rotated", before, key)
    return _view(NewKeyView, key, key=text)


@router.delete("/v1/keys/{key}")
async def revoke_key(keys: Keys, who: Asking, key_id: KeyId) -> KeyView:
    """Ends the key, on every replica within a second."""
    async with keys.turn:
        before = keys.key(key_id)
        after = revoked(before, keys.clock_ms())
        if after is not before:
            await keys.write(who, "revoked", before, after)
    return _view(KeyView, after)


class ActPage(Struct, Resource, frozen=True):
    """Acts, oldest first; `next` is what to ask for as `since` to go on, null at the end."""

    items: list[Act]
    next: int | None


@router.get("/v1/acts", response_model=ActPage)
def list_acts(
    log: Annotated[Log, state_of("log")],
    since: Annotated[int, Query(ge=0, lt=2**53, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    who: Annotated[str | None, Query(description="Only theirs.")] = None,
) -> Response:
    """What people had the service do, oldest first; decisions are not among it."""
    found = list(islice(read_acts(log, since=since, who=who), limit))
    last = found[-1][0] + 1 if len(found) == limit else None
    return shown(ActPage(items=[act for _, act in found], next=last))


class CallerView(Struct, Resource, frozen=True):
    """Whoever asks."""

    id: Annotated[str, doc("`key:ID`, `jwt:SUBJECT`, or `open`: nothing is asked of anyone.")]
    scopes: Annotated[list[Scope], doc("What they may, with all that it includes.")]
    placements: Annotated[
        tuple[str, ...] | None, doc("Patterns of the names that they may ask about; null: all.")
    ] = None


@router.get("/v1/whoami")
async def who_am_i(caller: Asking) -> CallerView:
    """Who asks, and what they may."""
    return CallerView(id=caller.id, scopes=sorted(caller.scopes), placements=caller.placements)


@router.get("/ui", include_in_schema=False)
@router.get("/ui/{page:path}", include_in_schema=False)
async def to_dashboard(
    request: Request, port: Annotated[int, state_of("ui_port")]
) -> RedirectResponse:
    """Goes to the same page of the dashboard, on the same host."""
    if not port:
        message = (
            "no dashboard runs beside this API: `copyloop up` starts one, or `copyloop bandit "
            "dashboard`, of which COPYLOOP_UI_PORT tells the API the port"
        )
        raise RequestError(404, "dashboard_absent", message)
    return RedirectResponse(str(request.url.replace(port=port)), 307)
