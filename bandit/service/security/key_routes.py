"""The admin routes for keys: make, list, rotate, revoke, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.security.caller import Caller, caller_of
from bandit.service.security.key_ring import KeyRing
from bandit.service.security.keys import (
    GRACE_SECONDS,
    described,
    key_messages,
    make_key,
    revoked,
    rotated,
)
from streams.access import ApiKey, Scope

router = APIRouter(prefix="/v1/keys", tags=["keys"])
YEARS: float = 100 * 366 * 86_400.0


class KeyBody(BaseModel, extra="forbid"):
    """A key to make: what it is called and what it may do."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "shop", "scopes": ["rank", "reward"]}]}
    )

    name: str = Field(min_length=1, max_length=256, description="For people to tell it by.")
    scopes: list[Scope] = Field(min_length=1)
    lasts_seconds: FiniteFloat | None = Field(default=None, gt=0, le=YEARS)
    rate_per_second: FiniteFloat | None = Field(
        default=None, gt=0, description="How many requests; as the settings say if left out."
    )


class RotationBody(BaseModel, extra="forbid"):
    """How long the secret that is replaced goes on working."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_seconds": 3600}]})

    grace_seconds: FiniteFloat = Field(default=GRACE_SECONDS, ge=0, le=YEARS)


class KeyView(BaseModel):
    """A key, as anyone who may see keys sees it."""

    id: str
    name: str
    scopes: list[Scope]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    rate_per_second: float | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyView:
        """Returns the view of a key."""
        return cls.model_validate(described(key))


class NewKeyView(KeyView):
    """A key with its text, which is told this once."""

    key: str


class KeyList(BaseModel):
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
    return KeyList(items=[KeyView.of(key) for key in desk.ring.every()])


@router.post("", status_code=201)
async def create_key(desk: Desk, who: Asking, body: KeyBody) -> NewKeyView:
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
    return NewKeyView(key=text, **KeyView.of(key).model_dump())


@router.post("/{key}/rotate")
async def rotate_key(desk: Desk, who: Asking, key_id: KeyId, body: RotationBody) -> NewKeyView:
    """Gives the key a new secret and tells it, this once; the old one works for the grace yet."""
    async with desk.turn:
        before = desk.key(key_id)
        key, text = rotated(before, desk.clock_ms(), grace_seconds=body.grace_seconds)
        await desk.write(who, "rotated", before, key)
    return NewKeyView(key=text, **KeyView.of(key).model_dump())


@router.delete("/{key}")
async def revoke_key(desk: Desk, who: Asking, key_id: KeyId) -> KeyView:
    """Ends the key, on every replica within a second."""
    async with desk.turn:
        before = desk.key(key_id)
        after = revoked(before, desk.clock_ms())
        if after is not before:
            await desk.write(who, "revoked", before, after)
    return KeyView.of(after)
