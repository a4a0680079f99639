"""What a placement is for, where that is more than one thing: a setting in its reward rule.

The rule's kinds say the same to whoever joins; an objective is why they are as they are, and
`bandit.objectives` works them out.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

Kind: TypeAlias = Annotated[str, Meta(min_length=1, extra={"max_length": 64})]
"""A kind of outcome."""
OptionalSeconds: TypeAlias = Annotated[float, Meta(gt=0.0)] | None
"""A window of its own; None for the rule's."""


class ClicksThenConversions(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="clicks_then_conversions"
):
    """Clicks first; conversions decide where clicks are alike."""

    click: Kind = "click"
    conversion: Kind = "conversion"
    tie: Annotated[
        float,
        Meta(gt=0.0, le=0.5, description="What a conversion is worth; a click is worth the rest."),
    ] = 0.1
    conversion_window_seconds: OptionalSeconds = None


class ValuePerImpression(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="value_per_impression"
):
    """The summed values of a kind of outcome, as a share of `most`, and no more than that."""

    most: Annotated[float, Meta(gt=0.0)]
    kind: Kind = "purchase"
    window_seconds: OptionalSeconds = None


class ConversionsWithClicks(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="conversions_with_clicks"
):
    """The most conversions, of creatives clicked at least `least` times as often as the best one.

    It takes the policy `guarded`, which tells the two apart in the reward.
    """

    click: Kind = "click"
    conversion: Kind = "conversion"
    least: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.9
    conversion_window_seconds: OptionalSeconds = None


Objective: TypeAlias = ClicksThenConversions | ValuePerImpression | ConversionsWithClicks
