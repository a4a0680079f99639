"""Figures as they are answered."""

from __future__ import annotations

from pydantic import BaseModel, Field

from bandit.service.figures.tally import Bucket, Counts


class CountsView(BaseModel):
    """Showings, and what they earned, with a 95 % band around the mean."""

    shown: int
    reward: float
    rate: float | None
    low: float | None = Field(description="Mean - 1.96 standard errors, of one look.")
    high: float | None

    @classmethod
    def of(cls, counts: Counts) -> CountsView:
        """Returns the view of counts."""
        low, high = counts.band()
        return cls(shown=counts.n, reward=counts.total, rate=counts.rate, low=low, high=high)


class ShareView(CountsView):
    """A creative's part of a bucket: the share that it got, and the mean pmf that it had."""

    share: float
    pmf: float


class PointView(CountsView):
    """One bucket: all of the placement, and each creative."""

    start_ms: int
    policy_version: str
    creatives: dict[str, ShareView]

    @classmethod
    def of_bucket(cls, bucket: Bucket) -> PointView:
        """Returns the view of a bucket."""
        n = max(bucket.all.n, 1)
        return cls(
            **CountsView.of(bucket.all).model_dump(),
            start_ms=bucket.start_ms,
            policy_version=bucket.policy_version,
            creatives={
                name: ShareView(
                    **CountsView.of(counts).model_dump(),
                    share=counts.n / n,
                    pmf=counts.expected / n,
                )
                for name, counts in bucket.creatives.items()
            },
        )


class PosteriorView(BaseModel):
    """What the policy believes a creative to earn: the mean, and the middle 95 %."""

    mean: float
    low: float
    high: float


class CreativeFiguresView(CountsView):
    """A creative since the figures begin, and what the policy believes of it, if it says."""

    status: str | None = Field(description="Null for an action that was brought.")
    generator: str | None = Field(description="The adapter or model that wrote it.")
    posterior: PosteriorView | None = None


class MarkView(BaseModel):
    """A change of the placement's policy: the version's number, since when, and why."""

    number: int
    since_ms: int
    policy: str = Field(description="Its name; `…/policy/versions` has it in full.")
    why: str | None


class GeneratorView(CountsView):
    """All creatives of one generator version together."""

    generator: str = Field(description="Adapter or model; `by hand` for what people wrote.")
    creatives: int


class DelayView(BaseModel):
    """How many outcomes of a kind came within so many seconds, and not within the one before."""

    kind: str
    within_seconds: list[float | None] = Field(description="Null: later than all.")
    counts: list[int]


class FiguresView(BaseModel):
    """A placement's figures; what is counted since `since_ms`, points by bucket."""

    placement: str
    since_ms: int = Field(description="From when on the log was read.")
    complete: bool = Field(description="Whether it is read to its end; ask again if not.")
    changed_ms: int = Field(description="The log's time at the last thing that is counted.")
    bucket_seconds: int
    total: CountsView
    creatives: dict[str, CreativeFiguresView]
    points: list[PointView]
    policies: list[MarkView]
    segments: dict[str, dict[str, dict[str, CountsView]]] = Field(
        description="By field of the context, its value, and creative."
    )
    delays: list[DelayView]
    generators: list[GeneratorView]


class LiveView(BaseModel):
    """What a server-sent event `figures` brings: the totals, and the minutes that changed."""

    placement: str
    changed_ms: int
    total: CountsView
    policy_version: str
    shares: dict[str, float] = Field(description="The mean pmf of the last minute.")
    points: list[PointView]
