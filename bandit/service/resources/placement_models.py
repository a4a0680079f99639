"""A placement as the admin routes take and answer it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from bandit.errors import RequestError
from bandit.objectives import policy_for, resolved
from bandit.policies import default_policy
from bandit.service.resource import Name, Resource, view_of
from streams.access import Protection
from streams.assignments import Flag
from streams.caps import Caps, Seen
from streams.events import Placement, PolicySpec, RewardRule
from streams.fields import doc
from streams.rotation import Rotation
from streams.shortlists import Shortlist
from streams.trials import Safety

Challengers = Annotated[
    dict[Name, PolicySpec],
    Meta(
        description="Policies that learn beside it, unshown, by name.",
        extra={"max_length": 10},
    ),
]


class PlacementBody(Struct, Resource, frozen=True, kw_only=True):
    """A placement: its policy, what it rewards, and when it learns."""

    examples: ClassVar[list[dict[str, Any]]] = [
        {
            "policy": {"name": "text_thompson"},
            "reward": {"window_seconds": 600},
            "learn": "realtime",
        }
    ]

    policy: Annotated[
        PolicySpec | UnsetType,
        doc(
            "The policy's name and parameters. Left out, it stays as it is; a new "
            "placement gets the default, `text_thompson`, or `hybrid` for rewards outside 0 to 1."
        ),
    ] = UNSET
    reward: RewardRule = msgspec.field(default_factory=RewardRule)
    learn: Annotated[
        Literal["window", "realtime"],
        doc(
            "`realtime` learns each decision at once and corrects it; `window` learns "
            "it once, when its window ends."
        ),
    ] = "realtime"
    caps: Annotated[Caps | UnsetType, doc("Of each of its creatives that has none of its own.")] = (
        UNSET
    )
    seen: Seen | UnsetType = UNSET
    challengers: Challengers = {}
    safety: Safety | UnsetType = UNSET
    protection: Protection | UnsetType = UNSET
    flag: Flag | UnsetType = UNSET
    rotation: Rotation | UnsetType = UNSET
    review: Annotated[bool, doc("What the generator writes waits for a person's approval.")] = False
    shortlist: Annotated[
        Shortlist | UnsetType | None,
        doc(
            "How many creatives a decision chooses from at most; null for all. Left "
            "out, it stays as it is; a new placement gets the default."
        ),
    ] = UNSET

    def to_event(self, name: str, before: Placement | None) -> Placement:
        """Returns the placement of this name.

        Args:
            name: the placement's.
            before: what it is now, None if there is no such placement yet.

        Raises:
            RequestError: `body_invalid`: the reward rule contradicts itself.
        """
        try:
            reward = resolved(self.reward)
            self._check_flag(reward)
            default = default_policy(reward)
        except ValueError as error:
            raise RequestError(422, "body_invalid", str(error), target="reward") from error
        if reward.objective:
            default = policy_for(reward.objective, default)
        known = before or Placement(name=name, policy=default, shortlist=Shortlist())
        fields = msgspec.structs.asdict(self) | {
            "policy": known.policy if self.policy is UNSET else self.policy,
            "reward": reward,
            "challengers": self.challengers or UNSET,
            "review": self.review or UNSET,
            "shortlist": known.shortlist if self.shortlist is UNSET else self.shortlist or UNSET,
        }
        return Placement(name=name, **fields)

    def _check_flag(self, reward: RewardRule) -> None:
        """Refuses a flag that gives users a creative for longer than what they do may count."""
        sticky_seconds = self.flag.sticky_seconds if self.flag else None
        if sticky_seconds is not None and sticky_seconds > reward.window_seconds:
            raise ValueError(
                f"flag.sticky_seconds is {sticky_seconds}, above window_seconds "
                f"{reward.window_seconds} of the reward: what came later would not count"
            )


class PlacementView(PlacementBody, frozen=True, kw_only=True):
    """A placement as it is now."""

    examples: ClassVar[list[dict[str, Any]]] = []

    name: str
    policy: PolicySpec
    etag: Annotated[str, doc("For `If-Match`.")]

    @classmethod
    def of(cls, placement: Placement, tag: str) -> PlacementView:
        """Returns the view of a placement with this entity tag."""
        return view_of(cls, placement, etag=tag)
