"""API keys, admin acts and protected fields, and which creative a flag's user was assigned."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from streams.events.fields import FIRST_VERSION, Id, TimestampMs, Version, check_id, doc

Scope: TypeAlias = Literal["rank", "reward", "view", "review", "operate", "admin"]
"""What a caller may do; each word of `view`, `review`, `operate`, `admin` includes those before."""
SCOPES: Final[tuple[Scope, ...]] = ("rank", "reward", "view", "review", "operate", "admin")


PlacementPattern: TypeAlias = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
"""The name of a placement; `*` stands for any number of characters."""


class KeySecret(Struct, frozen=True):
    """What a secret of a key is recognised by: its BLAKE2b hash, keyed with `salt`.

    `until_ms` is when a secret that was rotated away stops working; None while it is the key's.
    """

    digest: bytes
    salt: bytes
    until_ms: TimestampMs | None = None


class ApiKey(Struct, frozen=True, kw_only=True, tag_field="type", tag="api_key"):
    """A key of the API: what it may do, and what its secrets are recognised by.

    `rate_per_second` is how many requests it may make, as the settings say where it is None.
    `placements` are patterns of the names of those that it is for, with schema 4; all, where there
    are none. A key that was revoked stays, so that nobody takes the service for one that never had
    any.
    """

    id: Id
    name: str
    scopes: tuple[Scope, ...]
    secrets: tuple[KeySecret, ...]
    created_ms: TimestampMs
    expires_ms: TimestampMs | None = None
    revoked_ms: TimestampMs | None = None
    rate_per_second: float | None = None
    placements: tuple[PlacementPattern, ...] | UnsetType = UNSET
    v: Version = FIRST_VERSION

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
    v: Version = FIRST_VERSION

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


Part: TypeAlias = Annotated[str, Meta(extra={"min_length": 1, "max_length": 64})]
Sticky: TypeAlias = Annotated[float, Meta(extra={"gt": 0})]


class Flag(Struct, frozen=True, kw_only=True):
    """How a placement answers as a feature flag (OpenFeature)."""

    part: Annotated[
        Part | None, doc("The creative's part that is the value; an object of all if none.")
    ] = None
    sticky_seconds: Annotated[
        Sticky | None,
        doc(
            "How long a user keeps a creative; as long as the reward's window, if none, and no "
            "longer than that."
        ),
    ] = None


class Assignment(Struct, frozen=True, kw_only=True, tag_field="type", tag="assignment"):
    """A creative that a user is given in a placement until `until_ms`, and the decision behind it.

    `user` is a hash of what the user is known by. The last one of a user and a placement holds.
    """

    placement: Id
    user: Id
    event_id: Id
    creative_id: Id
    propensity: float
    policy_version: str
    timestamp_ms: TimestampMs
    until_ms: TimestampMs
    v: Version = FIRST_VERSION

    @property
    def key(self) -> bytes:
        """What tells it from others in the log, the earlier ones that it replaces apart."""
        return f"{self.user}/{self.placement}".encode()
