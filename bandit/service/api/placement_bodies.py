"""What requests may say of a placement: all of it, or changes to what it is."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi.exceptions import RequestValidationError
from msgspec import UNSET, Meta, Struct, UnsetType
from pydantic import ValidationError

from bandit.errors import RequestError
from bandit.learning.versions import policy_for, resolved
from bandit.policies import default_policy
from bandit.service.requests import check_depth
from bandit.service.resource import Name, Resource, parsed, plain, view_of
from streams.events import (
    CORRECTIONS,
    FIRST_VERSION,
    POSTED_VERSION,
    Placement,
    PolicySpec,
    Posted,
    RewardRule,
)
from streams.events.access import Flag, Protection
from streams.events.fields import doc
from streams.events.placement import Caps, Rotation, Safety, Seen, Shortlist

MERGED: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Fields of a placement, as `PUT` takes them; null for the default.",
}
STAYS: Final = frozenset({"policy", "shortlist", "reward.corrections"})
"""What a `PUT` that does not name it leaves as it is."""

Challengers = Annotated[
    dict[Name, PolicySpec],
    Meta(
        description="Policies that learn beside it, unshown, by name.",
        extra={"max_length": 10},
    ),
]


class PlacementBody(Struct, Resource, frozen=True, kw_only=True):
    """A placement: its policy, what it rewards, and when it learns."""

    examples = (
        {
            "policy": {"name": "adaptive"},
            "reward": {"window_seconds": 600},
            "learn": "realtime",
        },
    )

    policy: Annotated[
        PolicySpec | UnsetType,
        doc(
            "The policy's name and parameters. Left out, it stays as it is; a new placement gets "
            "the default, `adaptive`."
        ),
    ] = UNSET
    reward: RewardRule = msgspec.field(default_factory=RewardRule)
    learn: Annotated[
        Literal["window", "realtime"],
        doc(
            "`realtime` learns each decision at once and corrects it; `window` learns it once, "
            "when its window ends."
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
    unit: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType,
        doc("Where contexts say whose decisions depend on each other, such as `context.user`."),
    ] = UNSET
    review: Annotated[bool, doc("What the generator writes waits for a person's approval.")] = False
    posted: Annotated[
        Posted,
        doc(
            "What happens to creatives that are posted: `live`, they come as they say; `review`, "
            "they wait for a person's approval; `screened`, those that break the gates' rules or "
            "the brief's are refused, with the reasons."
        ),
    ] = "live"
    shortlist: Annotated[
        Shortlist | UnsetType | None,
        doc(
            "How many creatives a decision chooses from at most; null for all. Left out, it stays "
            "as it is; a new placement gets the default."
        ),
    ] = UNSET

    def to_event(self, name: str, before: Placement | None) -> Placement:
        """Returns the placement of this name; `before` is what it is now, None if it is new.

        Raises:
            RequestError: `body_invalid`: the reward rule contradicts itself.
        """
        try:
            reward = resolved(self.reward)
            sticky_seconds = self.flag.sticky_seconds if self.flag else None
            if sticky_seconds is not None and sticky_seconds > reward.window_seconds:
                raise ValueError(
                    f"flag.sticky_seconds is {sticky_seconds}, above window_seconds "
                    f"{reward.window_seconds} of the reward: what came later would not count"
                )
            default = default_policy(reward)
        except ValueError as error:
            raise RequestError(422, "body_invalid", str(error), target="reward") from error
        if reward.objective:
            default = policy_for(reward.objective, default)
        known = before or Placement(name=name, policy=default, shortlist=Shortlist())
        fields = {each: getattr(self, each) for each in PlacementBody.__struct_fields__} | {
            "policy": known.policy if self.policy is UNSET else self.policy,
            "reward": _bounded(reward, before),
            "challengers": self.challengers or UNSET,
            "review": self.review or UNSET,
            "posted": UNSET if self.posted == "live" else self.posted,
            "v": FIRST_VERSION if self.posted == "live" else POSTED_VERSION,
            "shortlist": known.shortlist if self.shortlist is UNSET else self.shortlist or UNSET,
        }
        return Placement(name=name, **fields)


def _bounded(reward: RewardRule, before: Placement | None) -> RewardRule:
    """Returns the rule with its number of corrections: what it was, or a new placement's."""
    if reward.corrections is not UNSET:
        return reward
    corrections = CORRECTIONS if before is None else before.reward.corrections
    return msgspec.structs.replace(reward, corrections=corrections)


def check_nothing_reset(before: Placement, named: dict[str, Any]) -> None:
    """Refuses a body that leaves out what the placement has beyond the defaults.

    Raises:
        RequestError: 428 `precondition_required`.
    """
    lost = sorted(_left_out(_plain(before), plain(PlacementBody()), named, ""))
    if lost:
        raise RequestError(
            428,
            "precondition_required",
            f"{', '.join(lost)} of placement {before.name!r} would be reset, for the body does not "
            "name it; PATCH changes what it names alone, or say with If-Match (the ETag that GET "
            "answers) that it is meant",
            target="If-Match",
        )


def patched(before: Placement, patch: bytes) -> PlacementBody:
    """Returns the placement's body with a merge patch applied (RFC 7396).

    Raises:
        RequestError: `body_not_json` or `body_invalid`.
        RequestValidationError: what comes of it is no placement.
    """
    try:
        check_depth(patch)
        changes = msgspec.json.decode(patch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, "body_not_json", str(error)) from error
    if not isinstance(changes, dict):
        raise RequestError(422, "body_invalid", "the body is no JSON object of changes")
    now = _plain(before)
    if unknown := sorted(changes.keys() - now.keys() - set(PlacementBody.__struct_fields__)):
        raise RequestError(
            422, "body_invalid", f"a placement has no {unknown[0]!r}", target=unknown[0]
        )
    policy, reward = changes.get("policy"), changes.get("reward")
    # Parameters of one policy mean nothing to another.
    if (
        isinstance(policy, dict)
        and policy.get("name", before.policy["name"]) != (before.policy["name"])
    ):
        now["policy"] = {}
    # Kinds that follow from an objective come with it, and go with it.
    if isinstance(reward, dict) and (
        reward.get("objective") or ("objective" in reward and before.reward.objective)
    ):
        now["reward"].pop("kinds")
    merged = _merged(now, changes)
    if "shortlist" in changes:
        merged.setdefault("shortlist", None)
    try:
        return parsed(PlacementBody, merged)
    except ValidationError as error:
        found = error.errors(include_url=False)
        placed = [{**each, "loc": ("body", *each["loc"])} for each in found]
        raise RequestValidationError(placed) from error


def _plain(placement: Placement) -> dict[str, Any]:
    found: dict[str, Any] = plain(view_of(PlacementBody, placement))
    return found


def _left_out(
    now: dict[str, Any], default: dict[str, Any], named: dict[str, Any], within: str
) -> list[str]:
    found = []
    for field, value in now.items():
        place, usual = within + field, default[field]
        inner = named.get(field, {})
        if field == "reward":
            # What is inside of kinds is named with them.
            if isinstance(inner, dict):
                found += _left_out(value, usual, inner, f"{place}.")
        elif field in named:
            continue
        elif (value or None) != (usual or None) and place not in STAYS:
            found.append(place)
    if within == "reward." and named.keys() & {"objective", "kinds"}:
        found = [place for place in found if place not in ("reward.objective", "reward.kinds")]
    return found


def _merged(value: Any, patch: Any) -> Any:
    """Returns what RFC 7396 makes of a value and a patch.

    >>> _merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None}, "d": 4})
    {'a': {'c': 2}, 'd': 4}
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), change)
    return merged
