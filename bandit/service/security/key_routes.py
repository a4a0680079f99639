"""The admin routes for keys: make, list, rotate, revoke, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from msgspec import Meta, Struct

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.resource import JsonBody, Resource, view_of
from bandit.service.security.caller import Caller, caller_of
from bandit.service.security.key_ring import KeyRing
from bandit.service.security.keys import (
    GRACE_SECONDS,
    key_messages,
    make_key,
    revoked,
    rotated,
)
from streams.access import ApiKey, Scope
from streams.fields import doc

router = APIRouter(prefix="/v1/keys", tags=["keys"])
YEARS: float = 100 * 366 * 86_400.0


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


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A key with its text, which is told this once."""

    key: str


class KeyList(Struct, Resource, frozen=True):
    """Every key, those that were revoked too."""

    items: list[KeyView]


class KeyDesk:
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


def _desk(request: Request) -> KeyDesk:
    found: KeyDesk = request.app.state.keys
    return found


def _asking(request: Request) -> Caller:
    return caller_of(request.scope)


Desk = Annotated[KeyDesk, Depends(_desk)]
Asking = Annotated[Caller, Depends(_asking)]
KeyId = Annotated[str, Path(alias="key", max_length=256, description="The key's id.")]


@router.get("")
async def list_keys(desk: Desk) -> KeyList:
    """Every key, without its secret."""
    return KeyList(items=[view_of(KeyView, key) for key in desk.ring.every()])


@router.post("", status_code=201)
async def create_key(desk: Desk, who: Asking, body: JsonBody[KeyBody]) -> NewKeyView:
    """Makes a key and tells its text, this once. With the first one, the others are asked for."""
    key, text = make_key(
        body.name,
        body.scopes,
        desk.clock_ms(),
        lasts_seconds=body.lasts_seconds,
        rate_per_second=body.rate_per_second,
    )
    async with desk.turn:
        await desk.write(who, "created", None, key)
    return view_of(NewKeyView, key, key=text)


@router.post("/{key}/rotate")
async def rotate_key(
    desk: Desk, who: Asking, key_id: KeyId, body: JsonBody[RotationBody]
) -> NewKeyView:
    """Gives the key a new secret and tells it, this once; the old one works for the grace yet."""
    async with desk.turn:
        before = desk.key(key_id)
        key, text = rotated(before, desk.clock_ms(), grace_seconds=body.grace_seconds)
        await desk.write(who, "rotated", before, key)
    return view_of(NewKeyView, key, key=text)


@router.delete("/{key}")
async def revoke_key(desk: Desk, who: Asking, key_id: KeyId) -> KeyView:
    """Ends the key, on every replica within a second."""
    async with desk.turn:
        before = desk.key(key_id)
        after = revoked(before, desk.clock_ms())
        if after is not before:
            await desk.write(who, "revoked", before, after)
    return view_of(KeyView, after)
