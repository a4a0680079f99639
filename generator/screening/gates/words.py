"""Words, and which of them tell something; the lists are English."""

from __future__ import annotations

import re
from typing import Final


def listed(text: str) -> frozenset[str]:
    """Returns the words of a list that is written as a line."""
    return frozenset(text.split())


SMALL: Final = listed(
    "about after again all always and any are been before but can come day ever every for from get "
    "good had has have her here him his into its just less let like made make makes more most much "
    "never new nor not now off one only our out over own she some such than that that's the their "
    "them then there they this time too two was way what when where which while who will with "
    "without yes you you're you've your"
)
WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case.

    >>> words("Half-price? Don't wait!")
    ['half-price', "don't", 'wait']
    """
    return [word.lower() for word in WORD.findall(text)]


def telling(text: str) -> list[str]:
    """Returns the stems of the words that carry what is said."""
    return [stem(word) for word in words(text) if len(word) >= 3 and word not in SMALL]


def stem(word: str) -> str:
    """Returns the word without the s of a plural."""
    return word.removesuffix("s") if len(word) > 3 else word


def contains(text: str, phrase: str) -> bool:
    """Returns whether the phrase stands in the text as whole words, in any case or its plural.

    >>> contains("CHEAP beds", "cheap"), contains("A cheaper bed", "cheap")
    (True, False)
    """
    return bool(re.search(rf"(?<!\w){re.escape(phrase.strip())}(?:s|es)?(?!\w)", text, re.I))
