"""What the client returns: decisions, with types."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Source: TypeAlias = Literal["policy", "baseline"]
"""Who chose: the placement's policy, or nobody, and what is shown is the baseline."""


class Decision(Struct, frozen=True, kw_only=True):
    """One choice among a placement's creatives, or among the actions that were brought.

    Attributes:
        event_id: what outcomes are reported by.
        placement: where it was made.
        creative_id: the chosen one.
        parts: its text by part, empty for an action that was brought.
        index: of the chosen one in `pmf`.
        propensity: how likely it was.
        pmf: how likely each was, by id.
        policy_version: whose choice it was, empty for a baseline that this client chose.
        source: `baseline` if no policy was asked, or none answered in time; the decision is
            then not learned from.
        logged: whether it is in the log; its outcomes count only if it is.
    """

    event_id: str
    placement: str
    creative_id: str
    parts: dict[str, str]
    index: int
    propensity: float
    pmf: dict[str, float]
    policy_version: str
    source: Source = "policy"
    logged: bool = True


class SlotDecision(Struct, frozen=True, kw_only=True):
    """The choice of one of several slots: `slot` counts them from 0, `id` is its name."""

    slot: int
    id: str
    creative_id: str
    parts: dict[str, str]
    index: int
    propensity: float
    pmf: dict[str, float]


class SlotDecisions(Struct, frozen=True, kw_only=True):
    """The choices of all slots of one event; no creative twice."""

    event_id: str
    placement: str
    slots: tuple[SlotDecision, ...]
    policy_version: str
    source: Source = "policy"
    logged: bool = True


class Refused(Struct, frozen=True, kw_only=True):
    """An outcome that the API did not take, and why."""

    placement: str
    event_id: str
    kind: str
    code: str
    message: str
