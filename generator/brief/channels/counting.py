"""How platforms count the length of a text."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal, TypeAlias

Counting: TypeAlias = Literal["characters", "double_width", "x"]
"""`characters`: each code point is one. `double_width`: those that are drawn twice as wide, as
Chinese, Japanese and Korean ones are, count as two. `x`: X's weights."""

SINGLE_ON_X: Final = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
"""Ranges of code points that X counts as one (twitter-text's configuration, version 3)."""
LINK_ON_X: Final = 23
LINK: Final = re.compile(r"https?://\S+")
EMOJI: Final = re.compile(
    # flags; keycaps; a pictograph with its variation, skin tone and what is joined to it
    "[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3|"
    "[\u203c-\u3299\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?"
    "(?:\u200d[\u2190-\u3299\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?)+|"
    "[\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?"
)


def units(text: str, counting: Counting) -> int:
    """Returns the length of a text by one of the rules.

    >>> [units("寝袋 zzz", rule) for rule in ("characters", "double_width", "x")]
    [6, 8, 8]
    """
    match counting:
        case "characters":
            return len(text)
        case "double_width":
            return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
        case "x":
            return _on_x(text)


def _on_x(text: str) -> int:
    """Every link counts 23, every emoji 2, however many code points it takes."""
    text = unicodedata.normalize("NFC", text)
    text, links = LINK.subn("", text)
    text, emoji = EMOJI.subn("", text)
    weights = (
        1 if any(first <= ord(c) <= last for first, last in SINGLE_ON_X) else 2 for c in text
    )
    return links * LINK_ON_X + emoji * 2 + sum(weights)
