"""Who was given which creative, and until when: what keeps a feature flag the same for a user."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from streams.fields import Id, TimestampMs, doc

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
    v: Annotated[int, Meta(extra_json_schema={"maximum": 1})] = 1

    @property
    def key(self) -> bytes:
        """What tells it from others in the log, the earlier ones that it replaces apart."""
        return f"{self.user}/{self.placement}".encode()
