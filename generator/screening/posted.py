"""What comes in by the API, screened as what the generator writes is.

Of a placement with a brief every gate holds; without one, those that hold of any text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from bandit.errors import RequestError
from bandit.service.screening import PostedRefusal
from generator.brief.channels import load_channel
from generator.brief.schema import Brief, brief_from_json
from generator.errors import BriefError
from generator.screening.gates import claims
from generator.screening.screen import CandidateText, Screen, singly
from generator.screening.settings import CODES, Thresholds

WITHOUT_BRIEF: Final = ("empty", "markup", "profanity", "platform", "harm")
"""The gates that need no brief, neither for what it says nor for its language."""
LONGEST: Final = 10_000
_NOBODY: Final = Brief(product="anything")


def refusals(
    brief: Raw | None, creatives: Sequence[Mapping[str, str]], thresholds: Thresholds
) -> list[list[PostedRefusal]]:
    """Returns why each creative is refused, part by part: nothing where it passes.

    Texts are not compared with each other: who posts two that are alike wants to know which of
    them is better.

    Args:
        brief: the placement's, as JSON; None if it has none.
        creatives: texts by part.
        thresholds: what the gates let through.

    Raises:
        RequestError: `brief_invalid`: the placement's brief cannot be read.
    """
    found: list[list[PostedRefusal]] = [[] for _ in creatives]
    limits = singly(thresholds)
    if brief is None:
        known = _NOBODY
        others = tuple(code for code in CODES if code not in WITHOUT_BRIEF)
        limits = replace(limits, skip=(*limits.skip, *others))
    else:
        known = _read(brief)
    by_part: dict[str, list[tuple[int, str]]] = {}
    for number, parts in enumerate(creatives):
        for part, text in parts.items():
            by_part.setdefault(part, []).append((number, text))
    for part, texts in by_part.items():
        screen = _screen(known, part, limits)
        verdicts = screen.judge([CandidateText(text) for _, text in texts]) if screen else ()
        for (number, _), verdict in zip(texts, verdicts, strict=False):
            if verdict.rejection is not None:
                found[number].append(PostedRefusal(part, *verdict.rejection))
    if "required_claims" not in limits.skip:
        for number, parts in enumerate(creatives):
            why = claims.required(parts, known.constraints.required_claims).why
            if why is not None:
                found[number].append(PostedRefusal("", "required_claims", why))
    return found


def _read(brief: Raw) -> Brief:
    try:
        return brief_from_json(brief)
    except BriefError as error:
        message = f"the placement's brief cannot be read, so nothing is held to it: {error}"
        raise RequestError(409, "brief_invalid", message, target="placement") from error


def _screen(brief: Brief, part: str, thresholds: Thresholds) -> Screen | None:
    """Returns the screen of a part, as long as the channel has it; None for the brand's name."""
    channel = brief.environment.channel and load_channel(brief.environment.channel)
    if not channel:
        return Screen(brief, thresholds=thresholds)
    asset = channel.asset_of(part)
    if asset is not None and asset.form == "brand":
        return None
    most = asset.max_units if asset is not None and asset.hard else LONGEST
    constraints = replace(brief.constraints, max_characters=most)
    return Screen(
        replace(brief, constraints=constraints), counting=channel.counting, thresholds=thresholds
    )
