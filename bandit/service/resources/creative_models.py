"""A creative as the admin routes take and answer it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pydantic import Tag

from bandit.service.resource import Id, Name, Resource, Text, view_of
from streams.caps import Caps
from streams.events import Creative, CreativeStatus
from streams.fields import doc

Parts = Annotated[
    dict[Name, Text], Meta(min_length=1, max_length=32, description="Its text, by part.")
]
Reason = Annotated[Text | None, doc("As `code: words`; needed to reject.")]


class CreativeBody(Struct, Resource, frozen=True, kw_only=True):
    """A creative written by hand, live unless it says otherwise."""

    examples: ClassVar[list[dict[str, Any]]] = [
        {"id": "warm-feet", "parts": {"headline": "Warm feet, all winter"}}
    ]

    id: Annotated[Id | None, doc("Made from the text if left out.")] = None
    parts: Parts
    features: Annotated[
        Raw | UnsetType, doc("What policies read; made from the text if left out.")
    ] = UNSET
    status: Literal["proposed", "screened", "live", "paused"] = "live"
    caps: Annotated[Caps | UnsetType, doc("In place of the placement's.")] = UNSET


OneOrMany: TypeAlias = Annotated[CreativeBody, Tag("CreativeBody")] | list[CreativeBody]


class CreativeChange(Struct, Resource, frozen=True, kw_only=True):
    """A change of a creative's status, a rejection with why, or of its caps."""

    examples: ClassVar[list[dict[str, Any]]] = [{"status": "paused"}]

    status: Annotated[CreativeStatus | None, doc("As it was if left out.")] = None
    reason: Reason = None
    caps: Annotated[Caps | UnsetType, doc("As they were if left out.")] = UNSET


class CreativeView(Creative, Resource, frozen=True, kw_only=True):
    """A creative as it is now."""

    etag: Annotated[str, doc("For `If-Match`.")]

    @classmethod
    def of(cls, creative: Creative, tag: str) -> CreativeView:
        """Returns the view of a creative with this entity tag."""
        return view_of(cls, creative, etag=tag)


class ReviewBody(Struct, Resource, frozen=True, kw_only=True):
    """What a person makes of a creative that is not shown yet."""

    examples: ClassVar[list[dict[str, Any]]] = [
        {"verdict": "approve"},
        {"verdict": "reject", "reason": "claims: not proven"},
        {"verdict": "edit", "parts": {"headline": "Warm feet on every trail"}},
    ]

    verdict: Annotated[
        Literal["approve", "edit", "reject"],
        doc(
            "`approve` sets it live; `edit` replaces its text and sets it live; `reject` keeps it "
            "from being shown, for a `reason`."
        ),
    ]
    reason: Reason = None
    parts: Annotated[Parts | None, doc("Needed to edit.")] = None
