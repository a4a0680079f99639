"""What the admin routes take and answer: pydantic at the edge, events within.

Defaults are those of the events, and what these models let through, the events accept or
refuse by their own rules.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, JsonValue

from bandit.errors import RequestError
from bandit.service.requests import check_depth
from streams.caps import Caps, Seen
from streams.events import (
    MAX_ID_LENGTH,
    Creative,
    CreativeStatus,
    Generation,
    Placement,
    RewardKind,
    RewardRule,
)
from streams.trials import Safety

_KIND: Final = RewardKind()
_RULE: Final = RewardRule()
_PLACEMENT: Final = Placement(name="any")
_POLICY: Final[dict[str, JsonValue]] = msgspec.to_builtins(_PLACEMENT.policy)


def raw_json(value: dict[str, JsonValue]) -> msgspec.Raw:
    """Returns the object as the JSON that the log keeps.

    Raises:
        ValueError: it holds NaN, an infinite number, or half a surrogate pair.
        RequestError: `body_invalid`: it nests too deep.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    data = text.encode()
    check_depth(data)
    return msgspec.Raw(data)


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    raw_json(value)
    return value


JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(max_length=10_000)]
Cap = Annotated[int, Field(ge=1, lt=2**53)]
Item = TypeVar("Item")


class Body(BaseModel):
    """A request's body: a misspelt field is refused rather than left out."""

    model_config = ConfigDict(extra="forbid")


class RewardKindModel(Body):
    """How outcomes of one kind count: `weight` x aggregation of their values."""

    weight: FiniteFloat = _KIND.weight
    aggregation: Literal["sum", "max", "first", "last", "mean"] = _KIND.aggregation
    window_seconds: FiniteFloat | None = Field(
        default=None, description="The kind's own window; the placement's if left out."
    )
    cap: FiniteFloat | None = Field(
        default=None, description="What its aggregate counts as, at most."
    )


class RewardRuleModel(Body):
    """What a placement rewards, and how long it waits."""

    kinds: dict[Name, RewardKindModel] = Field(
        default={
            name: RewardKindModel(aggregation=k.aggregation) for name, k in _RULE.kinds.items()
        }
    )
    default: FiniteFloat = Field(default=_RULE.default, description="The reward if nothing came.")
    window_seconds: FiniteFloat = Field(
        default=_RULE.window_seconds, description="From the decision."
    )
    grace_seconds: FiniteFloat = Field(
        default=_RULE.grace_seconds, description="How late an outcome may arrive and still count."
    )
    minimum: FiniteFloat = _RULE.minimum
    maximum: FiniteFloat = _RULE.maximum


class CapsModel(Body):
    """How often one creative may be shown; without end where left out."""

    per_user: Cap | None = Field(default=None, description="By what the context says was seen.")
    per_day: Cap | None = Field(default=None, description="In all, on each day of UTC.")
    total: Cap | None = None


def to_caps(caps: CapsModel | None) -> Caps | UnsetType:
    """Returns the caps as events hold them."""
    return UNSET if caps is None else Caps(**caps.model_dump())


class SeenModel(Body):
    """Where the context says how often its user saw each creative, as `{creative_id: n}`."""

    path: str = Field(default=Seen().path, min_length=1, description="Keys, joined by dots.")
    feature: bool = Field(
        default=False, description="Tell policies that read features, of each creative."
    )


class SafetyModel(Body):
    """What the learner may change by itself, once the log says so at 95 %."""

    promote: bool = Field(
        default=False, description="A challenger whose lower bound beats the champion's upper."
    )
    fall_back: bool = Field(
        default=False, description="To the baseline, if its lower bound beats that upper one."
    )
    baseline: Id | None = Field(default=None, description="The creative to compare with.")


class PlacementBody(Body):
    """A placement: its policy, what it rewards, and when it learns."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "policy": {"name": "thompson"},
                    "reward": {"window_seconds": 600},
                    "learn": "realtime",
                }
            ]
        }
    )

    policy: JsonObject = Field(
        default=_POLICY,
        description="The policy's name and parameters.",
    )
    reward: RewardRuleModel = RewardRuleModel()
    learn: Literal["window", "realtime"] = Field(
        default=_PLACEMENT.learn,
        description="`realtime` learns each decision at once and corrects it; `window` learns it "
        "once, when its window ends.",
    )
    caps: CapsModel | None = Field(
        default=None, description="Of each of its creatives that has none of its own."
    )
    seen: SeenModel | None = None
    challengers: dict[Name, JsonObject] = Field(
        default={}, max_length=10, description="Policies that learn beside it, unshown, by name."
    )
    safety: SafetyModel | None = None

    def to_event(self, name: str) -> Placement:
        """Returns the placement of this name.

        Raises:
            RequestError: `body_invalid`: the reward rule contradicts itself.
        """
        try:
            return Placement(
                name=name,
                policy=dict(self.policy),
                reward=msgspec.convert(self.reward.model_dump(exclude_none=True), RewardRule),
                learn=self.learn,
                caps=to_caps(self.caps),
                seen=Seen(**self.seen.model_dump()) if self.seen else UNSET,
                challengers={k: dict(v) for k, v in self.challengers.items()} or UNSET,
                safety=Safety(**self.safety.model_dump()) if self.safety else UNSET,
            )
        except (msgspec.ValidationError, ValueError) as error:
            raise RequestError(422, "body_invalid", str(error), target="reward") from error


class PlacementView(PlacementBody):
    """A placement as it is now."""

    name: str

    @classmethod
    def of(cls, placement: Placement) -> PlacementView:
        """Returns the view of a placement."""
        return cls.model_validate(
            {
                "name": placement.name,
                "policy": placement.policy,
                "reward": msgspec.to_builtins(placement.reward),
                "learn": placement.learn,
                "caps": msgspec.to_builtins(placement.caps) if placement.caps else None,
                "seen": msgspec.to_builtins(placement.seen) if placement.seen else None,
                "challengers": placement.challengers or {},
                "safety": msgspec.to_builtins(placement.safety) if placement.safety else None,
            }
        )


class CreativeBody(Body):
    """A creative written by hand, live unless it says otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "warm-feet", "parts": {"headline": "Warm feet, all winter"}}]
        }
    )

    id: Id | None = Field(default=None, description="Made from the text if left out.")
    parts: dict[Name, Text] = Field(min_length=1, max_length=32, description="Its text, by part.")
    features: JsonObject | None = Field(
        default=None, description="What policies read; made from the text if left out."
    )
    status: Literal["proposed", "screened", "live", "paused"] = "live"
    caps: CapsModel | None = Field(default=None, description="In place of the placement's.")


class CreativeChange(Body):
    """A change of a creative's status, a rejection with why, or of its caps."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "paused"}]})

    status: CreativeStatus
    reason: Text | None = Field(default=None, description="As `code: words`; needed to reject.")
    caps: CapsModel | None = Field(default=None, description="As they were if left out.")


class LineageView(BaseModel):
    """Where a creative came from."""

    generation_id: str | None = None
    model: str | None = None
    adapter: str | None = None
    prompt: str | None = None
    seed: int | None = None
    parent: str | None = None


class CreativeView(BaseModel):
    """A creative as it is now."""

    id: str
    placement: str
    parts: dict[str, str]
    status: CreativeStatus
    timestamp_ms: int
    features: dict[str, Any]
    reason: str | None
    lineage: LineageView
    caps: CapsModel | None = None

    @classmethod
    def of(cls, creative: Creative) -> CreativeView:
        """Returns the view of a creative."""
        fields = msgspec.structs.asdict(creative)
        fields["features"] = json.loads(bytes(creative.features))
        fields["lineage"] = msgspec.to_builtins(creative.lineage)
        fields["caps"] = msgspec.to_builtins(creative.caps) if creative.caps else None
        return cls.model_validate(fields)


class GenerationBody(Body):
    """A request for new creatives from a brief."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "brief": {"product": "wool socks", "audience": "hikers"},
                    "n": 20,
                    "seed": 7,
                    "winners": ["Warm feet, all winter"],
                }
            ]
        }
    )

    brief: JsonObject
    n: int = Field(default=10, ge=1, le=1000, description="How many to write.")
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Chosen by chance if left out."
    )
    winners: list[Text] = Field(default=[], max_length=100, description="Texts that did well.")


class GenerationView(BaseModel):
    """A generation, and how it went."""

    id: str
    placement: str
    brief: dict[str, Any]
    n: int
    seed: int
    status: Literal["requested", "done", "failed"]
    timestamp_ms: int
    winners: list[str]
    accepted: int
    rejected: int
    reason: str | None

    @classmethod
    def of(cls, generation: Generation) -> GenerationView:
        """Returns the view of a generation."""
        fields = msgspec.structs.asdict(generation)
        fields["brief"] = json.loads(bytes(generation.brief))
        fields["winners"] = list(generation.winners)
        return cls.model_validate(fields)


class PropensityView(BaseModel):
    """How likely one creative is."""

    id: str
    propensity: float


class VerdictView(BaseModel):
    """Which creative the policy takes for the best, and whether it is sure enough."""

    creative_id: str
    posterior: float = Field(description="How probably it is the best of those not capped.")
    decided: bool = Field(description="Whether that is the policy's threshold or more.")


class TrialView(BaseModel):
    """What a policy earns, or would have earned, per decision since the present one is served."""

    name: str = Field(description="`champion`, `baseline`, `apprentice`, or a challenger's.")
    since_ms: int
    n: int
    value: float | None
    low: float | None = Field(description="The value is above, at all times, with 97.5 %.")
    high: float | None = Field(description="The value is below, at all times, with 97.5 %.")
    match: float | None = Field(description="How often its favourite was the champion's.")
    refused: int


class PolicyView(BaseModel):
    """The policy that is served, and how it would choose among the live creatives."""

    placement: str
    spec: dict[str, Any]
    version: str
    offset: int = Field(description="Up to which offset of the interactions it has learned.")
    age_ms: int | None = Field(description="Since the log took it in; null before it learned.")
    pmf: list[PropensityView]
    capped: list[str] = Field(description="Live creatives that have reached a cap.")
    verdict: VerdictView | None = Field(
        default=None, description="Of policies that look for the best creative."
    )
    trials: list[TrialView] = Field(default=[], description="Where anybody is on trial.")


class Page(BaseModel, Generic[Item]):
    """Some of the items; `next` is the `after` of the page that follows, null on the last."""

    items: list[Item]
    next: str | None
