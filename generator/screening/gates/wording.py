"""Gates of wording: words that nobody wants to read, and words that this brand does not use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from better_profanity import Profanity

from generator.screening.gates.finding import Finding
from generator.screening.gates.words import contains, listed

PLAIN_WORDS: Final = listed(
    "breasts cow cowgirl cowgirls dummy enlargement facial fat foobar gay gays god hemp homey "
    "hookah hump jerk kill lesbian lesbians loin loins maxi menses nappy nude oral orally organ "
    "ovary pasty pawn pms pot potty punky queer queers revue rum rump sandbar screw seaman seamen "
    "snatch steamy strip stroke tampon thrust tinkle transsexual undies unwed uterus virgin vodka "
    "woody"
)
"""Taken out of the profanity list, which is an old and broad one: oil may be virgin."""
DISGUISES: Final = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t",
                                  "@": "a", "$": "s", "!": "i"})  # fmt: skip
ENDINGS: Final = r"(?:s|es|er|ers|ed|ing|y|ty)?"


@lru_cache(maxsize=8)
def profanities(extra: tuple[str, ...] = (), allowed: tuple[str, ...] = ()) -> re.Pattern[str]:
    """Returns one expression for the packaged list without plain words, changed as told.

    Args:
        extra: words that are refused, too.
        allowed: words of the list that are fine here.
    """
    listing = Profanity()
    listing.load_censor_words()
    plain = PLAIN_WORDS | {word.lower() for word in allowed}
    known = {str(word) for word in listing.CENSOR_WORDSET} - plain
    known |= {word.lower() for word in extra}
    # A word that ends on s already is a plural: with another ending it would be a plain word.
    plural = _any_of(word for word in known if word.endswith("s"))
    single = _any_of(word for word in known if not word.endswith("s"))
    return re.compile(rf"(?<!\w)(?:(?:{single}){ENDINGS}|{plural})(?!\w)")


def profane(text: str, listing: re.Pattern[str]) -> Finding:
    """A profanity, plain or with digits and signs in place of letters; scores how many."""
    lower = text.lower()
    found = listing.findall(lower) or listing.findall(lower.translate(DISGUISES))
    return Finding(len(found), f"has {found[0][:1]}…, a profanity" if found else None)


def ruled_out(text: str, never_use: Iterable[str], competitors: Iterable[str]) -> Finding:
    """A word or phrase that the brief rules out, or the name of a competitor; scores how many."""
    words = [phrase for phrase in never_use if contains(text, phrase)]
    names = [name for name in competitors if contains(text, name)]
    why = None
    if words:
        why = f"the brief rules out {words[0]!r}"
    elif names:
        why = f"names a competitor, {names[0]!r}"
    return Finding(len(words) + len(names), why)


def _any_of(words: Iterable[str]) -> str:
    # Longer ones first, so that the whole of a compound is named.
    return "|".join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))
