"""What a join says: interactions whose decisions are still bytes, and what it could not use."""

from __future__ import annotations

from msgspec import Raw, Struct

from streams.events import FIRST_VERSION, Decision, Outcome, Status


class Joined(Struct, frozen=True, tag_field="type", tag="interaction", gc=False):
    """An interaction whose decision is still the JSON that it came as."""

    source: int
    sequence: int
    decision: Raw
    reward: float
    status: Status
    timestamp_ms: int
    previous_reward: float | None
    outcomes: tuple[Outcome, ...]
    v: int = FIRST_VERSION


class Emitted(Struct, frozen=True, gc=False):
    """An interaction, its placement, and whether nothing that counts had come by then."""

    placement: str
    interaction: Joined
    defaulted: bool


class Refusal(Struct, frozen=True, gc=False):
    """A record that the join could not use, and why; `code` is stable.

    Codes: `late`, `orphan`, `before_decision`, `not_activated`, `reward_out_of_range`,
    `duplicate_outcome`; `duplicate_decision`, `repeated_decision`, `unknown_placement`.
    """

    code: str
    error: str
    topic: str
    offset: int
    event: Decision | Outcome
