"""Policies on trial beside a placement's own: what the learner may do by itself, and how they do.

A trial is a setting of its placement, in the catalogue; its results come with each snapshot of
the placement's policy. How they come about, `bandit.trials` says.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Safety(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the learner may change by itself, once the log says so at 95 %; nothing unless told.

    With `promote`, a challenger becomes the champion when its lower bound is above the champion's
    upper one. With `fall_back`, the `baseline`, a creative, is shown when its lower bound is above
    the champion's upper one.
    """

    promote: bool = False
    fall_back: bool = False
    baseline: Annotated[str, Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        if self.fall_back and self.baseline is None:
            raise ValueError("fall_back is set without a baseline; name the creative to show")


class TrialResult(Struct, frozen=True, kw_only=True):
    """What one policy is estimated to earn per decision, from `n` decisions since `since_ms`.

    The true value is from `low` to `high` at all times at once, with 95 %; all three are None
    where nothing can be said. `match` is how often what the policy took for the best was what the
    placement's policy took for it. `refused` decisions could not be learned from.
    """

    since_ms: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    match: float | None
    refused: int = 0
