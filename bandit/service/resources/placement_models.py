"""A placement as the admin routes take and answer it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import ConfigDict, Field, FiniteFloat

from bandit.errors import RequestError
from bandit.objectives import policy_for, resolved
from bandit.policies import default_policy
from bandit.service.resources.models import Body, Id, JsonObject, Name
from streams.access import Protection
from streams.assignments import Flag
from streams.caps import Caps, Seen
from streams.events import Placement, RewardKind, RewardRule
from streams.rotation import Rotation, as_json, rotation_of
from streams.shortlists import Shortlist
from streams.trials import Safety

_KIND: Final = RewardKind()
_RULE: Final = RewardRule()
_PLACEMENT: Final = Placement(name="any")

Cap = Annotated[int, Field(ge=1, lt=2**53)]


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


class ClicksThenConversionsModel(Body):
    """Clicks first; conversions decide where clicks are alike."""

    name: Literal["clicks_then_conversions"]
    click: Name = "click"
    conversion: Name = "conversion"
    tie: FiniteFloat = Field(
        default=0.1, gt=0, le=0.5, description="What a conversion is worth; a click is the rest."
    )
    conversion_window_seconds: FiniteFloat | None = Field(default=None, gt=0)


class ValuePerImpressionModel(Body):
    """The summed values of a kind of outcome, up to `most`, of which the reward is a share."""

    name: Literal["value_per_impression"]
    most: FiniteFloat = Field(gt=0)
    kind: Name = "purchase"
    window_seconds: FiniteFloat | None = Field(default=None, gt=0)


class ConversionsWithClicksModel(Body):
    """The most conversions, of creatives clicked at least `least` times as often as the best."""

    name: Literal["conversions_with_clicks"]
    click: Name = "click"
    conversion: Name = "conversion"
    least: FiniteFloat = Field(default=0.9, gt=0, le=1)
    conversion_window_seconds: FiniteFloat | None = Field(default=None, gt=0)


ObjectiveModel = Annotated[
    ClicksThenConversionsModel | ValuePerImpressionModel | ConversionsWithClicksModel,
    Field(discriminator="name"),
]


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
    objective: ObjectiveModel | None = Field(
        default=None, description="What it is for, in place of `kinds`, which follow from it."
    )


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


class ProtectionModel(Body):
    """What is kept from the log, and whom rewards are taken from."""

    private: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default=[],
        max_length=50,
        description="Fields of the context, keys joined by dots, that are hashed by the server's "
        "COPYLOOP_PRIVATE_SALT before a policy or the log sees them.",
    )
    signed_rewards: bool = Field(
        default=False,
        description="`rank` makes event ids that are signed, and no others are taken.",
    )

    def to_event(self) -> Protection:
        """Returns it as events hold it."""
        return Protection(private=tuple(self.private), signed_rewards=self.signed_rewards)


class FlagModel(Body):
    """How the placement answers as a feature flag (OpenFeature)."""

    part: Name | None = Field(
        default=None, description="The creative's part that is the value; an object of all if none."
    )
    sticky_seconds: FiniteFloat | None = Field(
        default=None,
        gt=0,
        description="How long a user keeps a creative; as long as the reward's window, if none, "
        "and no longer than that.",
    )


class RotationModel(Body):
    """How creatives are renewed by themselves, by the generator."""

    brief: JsonObject = Field(description="What new ones are written from.")
    live: int = Field(default=8, ge=2, le=1000, description="How many are to be live.")
    batch: int = Field(default=4, ge=1, le=1000, description="How many are asked for at a time.")
    every_seconds: FiniteFloat | None = Field(
        default=None, gt=0, description="Ask if nothing new came for so long."
    )
    bar: FiniteFloat | None = Field(
        default=None, description="Ask if surely none earns this reward a showing."
    )
    decline: bool = Field(default=True, description="Ask if the best surely earns less than once.")
    retire: bool = Field(default=True, description="Retire what surely earns less than the best.")
    showings: FiniteFloat = Field(
        default=400.0, ge=20, description="No creative is judged before so many."
    )

    def to_event(self) -> Rotation:
        """Returns it as events hold it."""
        return rotation_of(self.model_dump())


class ShortlistModel(Body):
    """Where more than `size` creatives are live, a decision chooses among `size` of them."""

    size: int = Field(default=Shortlist().size, ge=2, le=1000)
    floor: FiniteFloat = Field(
        default=Shortlist().floor,
        ge=0.01,
        le=1.0,
        description="The share that all have alike in who is drawn; the rest is the policy's.",
    )

    def to_event(self) -> Shortlist:
        """Returns it as events hold it."""
        return Shortlist(size=self.size, floor=self.floor)


class PlacementBody(Body):
    """A placement: its policy, what it rewards, and when it learns."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "policy": {"name": "text_thompson"},
                    "reward": {"window_seconds": 600},
                    "learn": "realtime",
                }
            ]
        }
    )

    policy: JsonObject | None = Field(
        default=None,
        description="The policy's name and parameters. Left out, it stays as it is; a new "
        "placement gets the default, `text_thompson`, or `hybrid` for rewards outside 0 to 1.",
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
    protection: ProtectionModel | None = None
    flag: FlagModel | None = None
    rotation: RotationModel | None = None
    review: bool = Field(
        default=False, description="What the generator writes waits for a person's approval."
    )

    shortlist: ShortlistModel | None = Field(
        default=None,
        description="How many creatives a decision chooses from at most; null for all. Left out, "
        "it stays as it is; a new placement gets the default.",
    )

    def to_event(self, name: str, before: Placement | None) -> Placement:
        """Returns the placement of this name.

        Args:
            name: the placement's.
            before: what it is now, None if there is no such placement yet.

        Raises:
            RequestError: `body_invalid`: the reward rule contradicts itself.
        """
        kept = None if before is None else before.policy
        policy = kept if self.policy is None else self.policy
        try:
            rule = msgspec.convert(self.reward.model_dump(exclude_none=True), RewardRule)
            reward = resolved(rule)
            default = default_policy(reward)
            if reward.objective:
                default = policy_for(reward.objective, default)
            return Placement(
                name=name,
                policy=default if policy is None else dict(policy),
                reward=reward,
                learn=self.learn,
                caps=to_caps(self.caps),
                seen=Seen(**self.seen.model_dump()) if self.seen else UNSET,
                challengers={k: dict(v) for k, v in self.challengers.items()} or UNSET,
                safety=Safety(**self.safety.model_dump()) if self.safety else UNSET,
                protection=self.protection.to_event() if self.protection else UNSET,
                flag=self._flag(reward),
                rotation=self.rotation.to_event() if self.rotation else UNSET,
                review=self.review or UNSET,
                shortlist=self._shortlist(before),
            )
        except (msgspec.ValidationError, ValueError) as error:
            raise RequestError(422, "body_invalid", str(error), target="reward") from error

    def _shortlist(self, before: Placement | None) -> Shortlist | UnsetType:
        if self.shortlist is not None:
            return self.shortlist.to_event()
        if "shortlist" in self.model_fields_set:
            return UNSET
        return Shortlist() if before is None else before.shortlist

    def _flag(self, reward: RewardRule) -> Flag | UnsetType:
        """Returns the flag, whose users keep a creative for as long as what they do may count."""
        if self.flag is None:
            return UNSET
        sticky_seconds = self.flag.sticky_seconds
        if sticky_seconds is not None and sticky_seconds > reward.window_seconds:
            raise ValueError(
                f"flag.sticky_seconds is {sticky_seconds}, above window_seconds "
                f"{reward.window_seconds} of the reward: what came later would not count"
            )
        return Flag(part=self.flag.part, sticky_seconds=sticky_seconds)


class PlacementView(PlacementBody):
    """A placement as it is now."""

    name: str
    policy: JsonObject
    etag: str = Field(description="For `If-Match`.")

    @classmethod
    def of(cls, placement: Placement, tag: str) -> PlacementView:
        """Returns the view of a placement with this entity tag."""
        return cls.model_validate(
            {
                "etag": tag,
                "name": placement.name,
                "policy": placement.policy,
                "reward": msgspec.to_builtins(placement.reward),
                "learn": placement.learn,
                "caps": msgspec.to_builtins(placement.caps) if placement.caps else None,
                "seen": msgspec.to_builtins(placement.seen) if placement.seen else None,
                "challengers": placement.challengers or {},
                "safety": msgspec.to_builtins(placement.safety) if placement.safety else None,
                "protection": msgspec.to_builtins(placement.protection)
                if placement.protection
                else None,
                "review": bool(placement.review),
                "flag": msgspec.to_builtins(placement.flag) if placement.flag else None,
                "rotation": as_json(placement.rotation) if placement.rotation else None,
                "shortlist": msgspec.to_builtins(placement.shortlist)
                if placement.shortlist
                else None,
            }
        )
