"""Decisions, what happened after them, and the two joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from streams.events.fields import (
    EMPTY,
    FALLBACK_VERSION,
    FIRST_VERSION,
    SHORTLIST_VERSION,
    Id,
    JsonObject,
    Slot,
    TimestampMs,
    Version,
    check_id,
)
from streams.events.placement import Shortlisted, TrafficCap

PMF_TOLERANCE: Final = 1e-6

Context: TypeAlias = JsonObject
"""A context as it came."""


class Action(Struct, frozen=True):
    """A creative as the bandit sees it: `features` are the bytes of one JSON object."""

    id: str
    features: JsonObject = msgspec.field(default_factory=lambda: EMPTY)


class Decision(Struct, frozen=True, kw_only=True, tag_field="type", tag="decision"):
    """One choice: what was known, what could be chosen, how likely each was, what was chosen.

    `pmf` has one entry an action; `index` points at the chosen one. `(event_id, slot)` is
    unique. A `deferred` decision counts only once an activation arrives. A `fallback` is what was
    answered in place of the policy, which was not asked in time: it is joined with its outcomes
    like any other, but nothing is learned or estimated from it. `shortlist` says how the actions
    were drawn, where they are not all that might have been shown. `lid` says what was done to the
    policy's pmf before the draw: `pmf` is what was drawn from, so only an audit needs to know.
    """

    event_id: Id
    placement: str
    timestamp_ms: TimestampMs
    context: Context
    actions: tuple[Action, ...]
    pmf: tuple[float, ...]
    index: int
    policy_version: str
    slot: Slot = 0
    deferred: bool = False
    fallback: Literal[True] | UnsetType = UNSET
    shortlist: Shortlisted | UnsetType = UNSET
    lid: TrafficCap | UnsetType = UNSET
    traceparent: str | None = None
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("event_id", self.event_id)
        if not 0 <= self.index < len(self.actions):
            raise ValueError(f"index {self.index} is not one of {len(self.actions)} actions")
        check_pmf(self.pmf, len(self.actions))
        if self.pmf[self.index] <= 0.0:
            raise ValueError(f"propensity of the chosen action is {self.pmf[self.index]}; above 0")
        if self.fallback and self.v < FALLBACK_VERSION:
            raise ValueError(f"v is {self.v}; a fallback is of schema {FALLBACK_VERSION} or newer")
        if self.shortlist and self.v < SHORTLIST_VERSION:
            raise ValueError(
                f"v is {self.v}; a shortlist is of schema {SHORTLIST_VERSION} or newer"
            )

    @property
    def propensity(self) -> float:
        """The logged probability of the chosen action."""
        return self.pmf[self.index]

    @property
    def action(self) -> Action:
        """The chosen action."""
        return self.actions[self.index]


class Outcome(Struct, frozen=True, kw_only=True, tag_field="type", tag="outcome"):
    """Something that happened after a decision: an impression, a click, a conversion.

    `outcome_id` is what duplicates are told by; `timestamp_ms` is when it happened, which may
    be long before it arrives.
    """

    event_id: Id
    outcome_id: Id
    kind: str
    timestamp_ms: TimestampMs
    value: float = 1.0
    slot: Slot = 0
    traceparent: str | None = None
    v: Version = FIRST_VERSION

    def __post_init__(self) -> None:
        check_id("event_id", self.event_id)
        check_id("outcome_id", self.outcome_id)
        if not math.isfinite(self.value):
            raise ValueError(f"value is {self.value}; a finite number")


Status: TypeAlias = Literal["closed", "provisional", "corrected"]


class Interaction(Struct, frozen=True, kw_only=True, tag_field="type", tag="interaction"):
    """A decision with its reward.

    `source` is the joined partition and `sequence` counts its interactions from 0, without a
    gap, in an order that the log alone determines: an interaction whose sequence was already
    seen from its source is a duplicate. `previous_reward` is what an earlier interaction of the
    same decision said, None on the first.
    """

    source: int
    sequence: int
    decision: Decision
    reward: float
    status: Status
    timestamp_ms: int
    previous_reward: float | None = None
    outcomes: tuple[Outcome, ...] = ()
    v: Version = FIRST_VERSION

    @property
    def id(self) -> str:
        """`source-sequence`, unique in a log."""
        return f"{self.source}-{self.sequence}"


def check_pmf(pmf: Sequence[float], n_actions: int) -> None:
    """Refuses what is no pmf over so many actions.

    Raises:
        ValueError: not one entry an action, a negative one, or a sum that is not 1.
    """
    if len(pmf) != n_actions:
        raise ValueError(f"pmf has {len(pmf)} entries for {n_actions} actions; one each")
    if min(pmf) < 0.0 or not abs(math.fsum(pmf) - 1.0) <= PMF_TOLERANCE:
        raise ValueError("pmf must be non-negative and sum to 1")
