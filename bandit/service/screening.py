"""What is asked of a screen for posted creatives; the command that starts the API hands one in.

The gates are the generator's, which this package does not import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec import UNSET, Raw

from bandit.errors import RequestError
from streams.catalogue.state import Catalogue
from streams.events import EMPTY, Placement

MOST_TOLD: Final = 20


class PostedRefusal(NamedTuple):
    """Why a posted creative breaks the rules: which part, the gate's code, and words for people.

    `part` is empty where it is about the whole creative.
    """

    part: str
    code: str
    words: str


PostedScreen: TypeAlias = Callable[
    [Raw | None, Sequence[Mapping[str, str]]], Sequence[Sequence[PostedRefusal]]
]
"""Returns, for the parts of each creative, why it is refused: nothing where it passes.

The first argument is the placement's brief as JSON, None where it has none.
"""


def brief_of(catalogue: Catalogue, placement: Placement) -> Raw | None:
    """Returns the brief that a placement's creatives keep to, None if nobody gave one.

    It is that of its rotation, or of the latest request for creatives.
    """
    if placement.rotation is not UNSET:
        return placement.rotation.brief
    asked = [g.brief for g in catalogue.generations(placement.name) if g.brief != EMPTY]
    return asked[-1] if asked else None


def check_posted(
    screen: PostedScreen | None,
    catalogue: Catalogue,
    placement: Placement,
    creatives: Sequence[Mapping[str, str]],
    *,
    many: bool,
) -> None:
    """Refuses creatives of a placement that screens them, all of them if one breaks its rules.

    Args:
        screen: None where this server has none.
        catalogue: where the placement's brief is.
        placement: whose creatives they are.
        creatives: their parts.
        many: whether they came as a list, which the refusal's target then points into.

    Raises:
        RequestError: `creative_refused`, with the part and the reason of each; or
            `screen_unavailable`.
    """
    if placement.posted != "screened":
        return
    if screen is None:
        raise RequestError(
            503,
            "screen_unavailable",
            f"placement {placement.name!r} screens what is posted, and this server has no screen; "
            "start it by copyloop up or copyloop generator serve",
        )
    found = screen(brief_of(catalogue, placement), creatives)
    refused = [(n, each) for n, every in enumerate(found) for each in every]
    if not refused:
        return
    told = "; ".join(
        f"{_at(n, each.part, many)}: {each.code}: {each.words}" for n, each in refused[:MOST_TOLD]
    )
    more = f"; and {len(refused) - MOST_TOLD} more" if len(refused) > MOST_TOLD else ""
    number, first = refused[0]
    raise RequestError(
        422,
        "creative_refused",
        f"nothing was added, for the placement's rules are broken by {told}{more}",
        target=_at(number, first.part, many),
    )


def _at(number: int, part: str, many: bool) -> str:
    place = f"parts.{part}" if part else "parts"
    return f"{number}.{place}" if many else place
