"""What a placement is configured with beyond its policy and reward: caps, trials, shortlists.

Also the objectives that a reward rule can be made from, and how its creatives are refreshed.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Raw, Struct

from streams.events.fields import MAX_ID_LENGTH, doc

Cap: TypeAlias = Annotated[int, Meta(ge=1, lt=2**53)]
"""How many showings, at most."""


class Caps(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often one creative may be shown; None for as often as its policy likes."""

    per_user: Annotated[Cap | None, doc("By what the context says was seen.")] = None
    per_day: Annotated[Cap | None, doc("In all, on each day of UTC.")] = None
    total: Annotated[Cap | None, doc("In all, by the decisions in the log.")] = None


class Seen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a context says how often its user saw each creative, as `{creative_id: n}`."""

    path: Annotated[str, Meta(min_length=1, description="Keys, joined by dots.")] = "seen"
    feature: Annotated[bool, doc("Tell policies that read features, of each creative.")] = False


class Shown(Struct, frozen=True, array_like=True):
    """How often one creative was shown: in `total`, and `today` of the latest `day`.

    `day` counts from 1970, in UTC, by the decisions' timestamps.
    """

    total: int
    day: int
    today: int


class TrafficCap(Struct, frozen=True):
    """What a decision held down: the `actions`, by id, that got `share` together at most."""

    share: float
    actions: tuple[str, ...]


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


class Shortlist(Struct, frozen=True, kw_only=True):
    """Where more than `size` creatives may be shown, a decision chooses from `size` of them.

    They are drawn without replacement, by the policy's pmf for no context, mixed with `floor`.
    """

    size: Annotated[int, Meta(ge=2, le=1000)] = 100
    floor: Annotated[
        float,
        Meta(ge=0.01, le=1.0, description="The share that is drawn evenly among all creatives."),
    ] = 0.2


class Shortlisted(Struct, frozen=True, kw_only=True):
    """How a decision's actions came to be drawn.

    `size` of `of` creatives were let in, by a rule with this `floor` and the pmf of the policy
    version `weights`: the decision's own, or one shortly before. `among` is a hash of all that
    were live (`bandit.eligibility.digest`), as the catalogue said before its offset `catalogue`.
    `inclusion` is the probability with which the chosen one was let in, given the draws of all
    others: divided by it, and by its propensity, a reward counts for all creatives.
    """

    size: int
    of: int
    floor: float
    weights: str
    among: str
    catalogue: int
    inclusion: Annotated[float, Meta(gt=0.0, le=1.0)]


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


class Rotation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When new creatives are asked for, and when one has had its time. `generator` does both.

    Creatives are asked for while fewer than `live` are live, and `batch` more for each of the
    other reasons. Time is the log's.
    """

    brief: Annotated[Raw, doc("What new ones are written from.")]
    live: Annotated[int, Meta(ge=2, le=1000, description="How many are to be live.")] = 8
    batch: Annotated[int, Meta(ge=1, le=1000, description="How many are asked for at a time.")] = 4
    every_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None, doc("Ask if nothing new came for so long.")
    ] = None
    bar: Annotated[float | None, doc("Ask if surely none earns this reward a showing.")] = None
    decline: Annotated[bool, doc("Ask if the best surely earns less than once.")] = True
    retire: Annotated[bool, doc("Retire a creative that surely earns less than the best.")] = True
    showings: Annotated[
        float,
        Meta(ge=20, description="No creative is judged before so many, as SNIPS counts them."),
    ] = 400.0

    def __post_init__(self) -> None:
        if not bytes(self.brief).lstrip().startswith(b"{"):
            raise ValueError(f"brief is {bytes(self.brief)[:30]!r}; expected an object")
