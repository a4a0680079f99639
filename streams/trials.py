"""Policies on trial beside a placement's own: what the learner may do by itself, and how they do.

A trial is a setting of its placement, in the catalogue; its results come with each snapshot of
the placement's policy. How they come about, `bandit.trials` says.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from streams.fields import MAX_ID_LENGTH, doc

Baseline: TypeAlias = Annotated[str, Meta(min_length=1, extra={"max_length": MAX_ID_LENGTH})]
"""A creative's id."""


class Safety(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the learner may change by itself, once the log says so at 95 %; nothing unless told."""

    promote: Annotated[bool, doc("A challenger whose lower bound beats the champion's upper.")] = (
        False
    )
    fall_back: Annotated[bool, doc("To the baseline, if its lower bound beats that upper one.")] = (
        False
    )
    baseline: Annotated[Baseline | None, doc("The creative to compare with.")] = None

    def __post_init__(self) -> None:
        if self.fall_back and self.baseline is None:
            raise ValueError("fall_back is set without a baseline; name the creative to show")


class TrialResult(Struct, frozen=True, kw_only=True):
    """What one policy is estimated to earn per decision, from `n` decisions since `since_ms`.

    The true value is from `low` to `high` at all times at once, with 95 %; all three are None
    where nothing can be said.
    """

    since_ms: int
    n: int
    value: float | None
    low: Annotated[float | None, doc("The value is above, at all times, with 97.5 %.")]
    high: Annotated[float | None, doc("The value is below, at all times, with 97.5 %.")]
    match: Annotated[float | None, doc("How often its favourite was the champion's.")]
    refused: Annotated[int, doc("Decisions that it could not learn from.")] = 0
