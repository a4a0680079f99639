"""The admin routes of placements.

They read the catalogue that this replica follows and change it by appending to the log; a
change is answered once it can be read back.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from msgspec import UNSET, Meta, Struct, UnsetType

from bandit.errors import PolicySpecError, RequestError
from bandit.learning.versions import checked, policy_for, resolved
from bandit.policies import default_policy
from bandit.service.api.dependencies import (
    TAGGED,
    Conditional,
    Editing,
    Known,
    Listing,
    Matching,
    Placed,
    Protecting,
    answered,
    refusing,
    tagged,
    unchanged,
)
from bandit.service.errors import check_reachable
from bandit.service.resource import JsonBody, Name, Page, Resource
from streams.catalogue.state import catalogue_key
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

router = APIRouter(prefix="/v1/placements", tags=["placements"])


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
        fields = msgspec.structs.asdict(self) | {
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


class PlacementView(PlacementBody, frozen=True, kw_only=True):
    """A placement as it is now."""

    name: str
    policy: PolicySpec
    etag: Annotated[str, doc("For `If-Match`.")]


@router.get("", response_model=Page[PlacementView])
async def list_placements(
    editor: Editing,
    paging: Listing,
    prefix: Annotated[str, Query(description="What the name starts with.")] = "",
    policy: Annotated[str | None, Query(description="The policy's name.")] = None,
) -> Response:
    """The placements, by name."""
    found = [
        placement
        for placement in editor.catalogue.placements()
        if editor.caller.may_ask(placement.name)
        and placement.name.startswith(prefix)
        and policy in (None, placement.policy["name"])
    ]
    # By where the name would be: the placement that a page ended with may be gone.
    if paging.after is not None:
        found = found[bisect_right(found, paging.after, key=lambda each: each.name) :]
    rest = paging._replace(after=None)
    return await answered(
        rest.page(found, lambda each: each.name, partial(editor.view, PlacementView))
    )


@router.get("/{placement}", response_model=PlacementView, responses=TAGGED)
async def read_placement(
    editor: Editing, name: Placed, response: Response, known: Known = None
) -> Any:
    """One placement."""
    view = tagged(response, editor.view(PlacementView, editor.placement(name)))
    return unchanged(known, view.etag) or view


@router.put(
    "/{placement}", responses={201: {"description": "It was made.", "model": PlacementView}}
)
async def put_placement(
    editor: Editing,
    name: Placed,
    body: JsonBody[PlacementBody],
    response: Response,
    condition: Conditional,
    protection: Protecting,
) -> PlacementView:
    """Makes the placement, or replaces what it is; its creatives stay.

    A placement whose policy changes is served by the old one until the new one has learned
    from the log; a policy that is left out stays. Without `If-Match`, the last one who writes wins.
    """
    now = editor.catalogue.placement(name)
    if now is None:
        check_reachable(name, "placement", as_flag=True)
    with refusing((PolicySpecError, 422, "policy")):
        placement = checked(body.to_event(name, now))
        protection.check(placement)
    response.status_code = 201

    def replaced() -> list[Placement]:
        before = editor.catalogue.placement(name)
        response.status_code = 201 if before is None else 200
        if before is None:
            return [placement]
        # What others keep with it is none of this route's business.
        kept = msgspec.structs.replace(placement, attributes=before.attributes)
        return [] if msgspec.structs.replace(before, why=UNSET) == kept else [kept]

    await editor.change([catalogue_key(placement)], replaced, condition=condition)
    return tagged(response, editor.view(PlacementView, placement))


@router.delete("/{placement}", status_code=204, response_class=Response)
async def delete_placement(editor: Editing, name: Placed, condition: Matching) -> None:
    """Ends the placement; what was logged for it stays, and so do its creatives."""

    def deleted() -> list[Placement]:
        return [msgspec.structs.replace(editor.placement(name), deleted=True)]

    await editor.change([f"placement/{name}"], deleted, condition=condition)
