"""What a headline is refused for: one pure function each, which says why or nothing.

The first ones look at form, the later ones at what is said. None knows a model or a log;
`screen.py` puts them in order and gives each its code. The lists of words are English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from rapidfuzz import fuzz, process, utils

from generator.brief import Brief


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


LEAK: Final = re.compile(r"\b(product|headline|audience|placement|facts|tone)\s*:|\|", re.I)
MARKUP: Final = re.compile(
    r"https?:|www\.|\w\.(?:com|org|net|io|co)\b|<[^>]*>|\]\(|\*\*|__|[#@]\w|\\[nt]|&\w+;", re.I
)
PUNCTUATION: Final = frozenset("'’‘“”.,:;!?&%+/()–—-€$£ ")
PILED: Final = re.compile(r"[.,:;!?&%+/–—-]{2,}|\s[.,:;!?]")
DANGLING: Final = _listed(
    "a an and are as at be because but by can every from if is its my never next nor only or our "
    "so than that the their to was were when which while who will your"
)
SMALL: Final = _listed(
    "about after again all always and any are been before but can come day ever every for from get "
    "good had has have her here him his into its just less let like made make makes more most much "
    "never new nor not now off one only our out over own she some such than that that's the their "
    "them then there they this time too two was way what when where which while who will with "
    "without yes you you're you've your"
)
PROMISES: Final = _listed(
    "best cheapest cure cures discount discounts fastest free gift gifts guarantee guaranteed "
    "half-price lifetime offer refund refunds sale unlimited voucher winner"
)
CALENDAR: Final = _listed(
    "i monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays "
    "thursdays fridays saturdays sundays"
)
AGAINST: Final = re.compile(
    r"\b(?:no|never|without|less|stop|avoid|forget|quit|skip|lose|losing|waste|wasting|hate"
    r"|(?:tired|sick|instead|out) of|(?:away|free) from|goodbye to)\s+"
    r"(?:(?:a|an|any|the|your|my|more)\s+)*([\w'’-]+)",
    re.I,
)
NEGATION: Final = re.compile(r"\b(?:not|cannot|\w+n['’]t)\b(?! (?:wait|stop)\b)", re.I)
WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
MIN_WORDS: Final = 2
ALIKE: Final = 92.0
"""From this `token_set_ratio` on, two headlines say the same."""
NEARLY_EQUAL: Final = 88.0
"""From this `ratio` on, one headline is the other with a word changed."""


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case.

    >>> words("Half-price? Don't wait!")
    ['half-price', "don't", 'wait']
    """
    return [word.lower() for word in WORD.findall(text)]


def empty(text: str) -> str | None:
    """Nothing that could be read."""
    return None if any(map(str.isalpha, text)) else "there is no word in it"


def length(text: str, max_characters: int) -> str | None:
    """Too long for its place, or a lone word."""
    if len(text) > max_characters:
        return f"{len(text)} characters; at most {max_characters}"
    if len(words(text)) < MIN_WORDS:
        return f"one word; at least {MIN_WORDS}"
    return None


def fragment(text: str) -> str | None:
    """A line that breaks off: it ends on a word like "the", on a comma, or in a bracket."""
    last = words(text)[-1]
    if last in DANGLING:
        return f"ends on {last!r}"
    if text[-1] in ",:;-–—(&+/":
        return f"ends on {text[-1]!r}"
    if text.count("(") != text.count(")"):
        return "a bracket is missing"
    return None


def leaked(text: str, brief: Brief) -> str | None:
    """A piece of the prompt: of its form, or of what it says about place and tone."""
    found = LEAK.search(text)
    if found:
        return f"has {found[0]!r} from the prompt"
    for note in brief.unsaid():
        telling = _telling(note)
        if len(telling) > 1 and " ".join(telling) in " ".join(_telling(text)):
            return f"has {note!r} from the brief, which is not to be said"
    return None


def markup(text: str) -> str | None:
    """An address, a tag, or other writing for machines."""
    found = MARKUP.search(text)
    return f"has {found[0]!r}" if found else None


def characters(text: str) -> str | None:
    """Anything but Latin letters, digits and plain punctuation, or punctuation piled up."""
    for character in text:
        plain = character in PUNCTUATION or character.isdecimal()
        if not plain and not unicodedata.name(character, "").startswith("LATIN "):
            return f"has {character!r}"
    piled = PILED.search(text)
    return f"has {piled[0]!r}" if piled else None


def never_use(text: str, ruled_out: Iterable[str]) -> str | None:
    """A word or phrase that the brief rules out, in any case, as it stands or in its plural."""
    for phrase in ruled_out:
        if re.search(rf"(?<!\w){re.escape(phrase.strip())}(?:s|es)?(?!\w)", text, re.I):
            return f"the brief rules out {phrase!r}"
    return None


def repeats(text: str) -> str | None:
    """The same telling word twice ("coffee without the coffee")."""
    seen: set[str] = set()
    for word in _telling(text):
        if word in seen:
            return f"{word!r} is there twice"
        seen.add(word)
    return None


def against(text: str, brief: Brief) -> str | None:
    """Speaks against what it should sell ("less coffee"), or of what is not so."""
    negation = NEGATION.search(text)
    if negation:
        return f"{negation[0]!r} says what is not so"
    sold = {word for line in (brief.product, *brief.keywords) for word in _telling(line)}
    for found in AGAINST.finditer(text):
        if _stem(found[1].lower()) in sold:
            return f"{found[0]!r} speaks against the product"
    return None


def unfounded(text: str, brief: Brief) -> str | None:
    """A number, a name or a promise that nothing in the brief bears out."""
    said = {word for line in brief.texts() for word in words(line)} | CALENDAR
    names = _names(text)
    for word in words(text):
        plain = word.removesuffix("'s").removesuffix("’s")
        telling = plain in PROMISES or word in names or any(map(str.isdecimal, plain))
        if telling and plain not in said:
            return f"the brief does not say {word!r}"
    return None


def duplicate(text: str, others: Sequence[str]) -> str | None:
    """Says what another text says: the same words but for a few, in any order."""
    found = process.extractOne(
        text,
        others,
        scorer=fuzz.token_set_ratio,
        processor=utils.default_process,
        score_cutoff=ALIKE,
    )
    return f"like {found[0]!r} ({found[1]:.0f} of 100)" if found else None


def copied(text: str, shown: Sequence[str]) -> str | None:
    """Copied from what the model was shown: nearly all of it, or its last three words."""
    found = process.extractOne(
        text,
        shown,
        scorer=fuzz.ratio,
        processor=utils.default_process,
        score_cutoff=NEARLY_EQUAL,
    )
    if found:
        return f"like {found[0]!r}, which the model was shown"
    ending = words(text)[-3:]
    for line in shown:
        if len(ending) == 3 and words(line)[-3:] == ending:
            return f"ends like {line!r}, which the model was shown"
    return None


def _names(text: str) -> set[str]:
    """Returns the words that are written as names: capitalised where no sentence begins."""
    found = list(WORD.finditer(text))
    capitalised = [
        match[0].lower()
        for match in found
        if match[0][0].isupper() and text[: match.start()].rstrip()[-1:] not in ("", *".!?:")
    ]
    # In Title Case a capital says nothing.
    return set(capitalised) if len(capitalised) <= len(found) / 2 else set()


def _telling(text: str) -> list[str]:
    """Returns the stems of the words that carry what is said."""
    return [_stem(word) for word in words(text) if len(word) >= 3 and word not in SMALL]


def _stem(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word
