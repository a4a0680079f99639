"""Who may ask the service what, and what people had it do: API keys, admin acts, protection.

They are events like all else, so that every replica follows them without a restart. What is kept
of a key tells whether a secret is the right one, and not what it is.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from streams.fields import Id, TimestampMs, check_id, doc

Scope: TypeAlias = Literal["rank", "reward", "view", "review", "operate", "admin"]
"""What a caller may do; each word of `view`, `review`, `operate`, `admin` includes those before."""
SCOPES: Final[tuple[Scope, ...]] = ("rank", "reward", "view", "review", "operate", "admin")


class KeySecret(Struct, frozen=True):
    """What a secret of a key is recognised by: its BLAKE2b hash, keyed with `salt`.

    `until_ms` is when a secret that was rotated away stops working; None while it is the key's.
    """

    digest: bytes
    salt: bytes
    until_ms: TimestampMs | None = None


class ApiKey(Struct, frozen=True, kw_only=True, tag_field="type", tag="api_key"):
    """A key of the API: what it may do, and what its secrets are recognised by.

    `rate_per_second` is how many requests it may make, as the settings say where it is None. A
    key that was revoked stays, so that nobody takes the service for one that never had any.
    """

    id: Id
    name: str
    scopes: tuple[Scope, ...]
    secrets: tuple[KeySecret, ...]
    created_ms: TimestampMs
    expires_ms: TimestampMs | None = None
    revoked_ms: TimestampMs | None = None
    rate_per_second: float | None = None
    v: Annotated[int, Meta(extra_json_schema={"maximum": 1})] = 1

    def __post_init__(self) -> None:
        check_id("id", self.id)


class Act(Struct, frozen=True, kw_only=True, tag_field="type", tag="act"):
    """Something that a person or a program had the service do: who, what, to what, and when.

    `before` and `after` are the fields that it changed, `before` None for what was not there.
    """

    id: Id
    who: str
    what: str
    target: str
    timestamp_ms: TimestampMs
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    v: Annotated[int, Meta(extra_json_schema={"maximum": 1})] = 1

    def __post_init__(self) -> None:
        check_id("id", self.id)


class Protection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a placement keeps from the log, and whom it takes rewards from."""

    private: Annotated[
        tuple[Id, ...],
        Meta(
            description="Fields of the context, keys joined by dots, that are hashed by the "
            "server's COPYLOOP_PRIVATE_SALT before a policy or the log sees them.",
            extra={"max_length": 50},
        ),
    ] = ()
    signed_rewards: Annotated[
        bool, doc("`rank` makes event ids that are signed, and no others are taken.")
    ] = False
