"""Gates of form: whether a text is one line of plain writing, as long as its place allows."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from generator.brief import Brief
from generator.channels import Counting, units
from generator.screening.gates.finding import Finding
from generator.screening.gates.words import listed, telling, words

LEAK: Final = re.compile(
    r"\b(?:product|headline|description|audience|placement|facts|tone)(?: in [A-Z]\w+)?\s*:|\|",
    re.I,
)
MARKUP: Final = re.compile(
    r"https?:|www\.|\w\.(?:com|org|net|io|co)\b|<[^>]*>|\]\(|\*\*|__|[#@]\w|\\[ntr]|&\w+;", re.I
)
PUNCTUATION: Final = frozenset("'’‘“”.,:;!?&%+/()–—-€$£ ")
PILED: Final = re.compile(r"[.,:;!?&%+/–—-]{2,}|\s[.,:;!?]")
DANGLING: Final = listed(
    "a an and are as because but can every from if is its my next nor or our so than that "
    "the their to was were when which while who your"
)
BROKEN_OFF: Final = re.compile(
    r"\w+\s+(?:when|while|because|if|since|until|unless|where|as|so) (?:i|you|we|they|it|he|she)$",
    re.I,
)
"""A clause of which only the subject is there; "Ready when you" and the like."""
UNCLOSED: Final = ",:;-–—(&+/"


def empty(text: str) -> Finding:
    """Nothing that could be read."""
    return Finding.counted(None if any(map(str.isalpha, text)) else "there is no word in it")


def length(text: str, most: int, counting: Counting, least_words: int) -> Finding:
    """Too long for its place, as the channel counts, or too few words; scores its length."""
    found = units(text, counting)
    if found > most:
        unit = "characters" if counting == "characters" else "units as the channel counts"
        return Finding(found, f"{found} {unit}; at most {most}")
    there = len(words(text))
    if there < least_words:
        return Finding(found, f"{there} word{'s' * (there != 1)}; at least {least_words}")
    return Finding(found)


def fragment(text: str) -> Finding:
    """A line that breaks off: it ends on a word like "the", on a comma, or in a bracket."""
    last = words(text)[-1]
    why = None
    if last in DANGLING:
        why = f"ends on {last!r}"
    elif broken := BROKEN_OFF.search(text):
        why = f"ends on {broken[0]!r}"
    elif text[-1] in UNCLOSED:
        why = f"ends on {text[-1]!r}"
    elif text.count("(") != text.count(")"):
        why = "a bracket is missing"
    return Finding.counted(why)


def leaked(text: str, brief: Brief) -> Finding:
    """A piece of the prompt: of its form, or of what guides the writer and is not to be said."""
    found = LEAK.search(text)
    if found:
        return Finding(1.0, f"has {found[0]!r} from the prompt")
    for note in brief.unsaid():
        unsaid = telling(note)
        if len(unsaid) > 1 and " ".join(unsaid) in " ".join(telling(text)):
            return Finding(1.0, f"has {note!r} from the brief, which is not to be said")
    return Finding(0.0)


def markup(text: str) -> Finding:
    """An address, a tag, or other writing for machines."""
    found = MARKUP.search(text)
    return Finding.counted(f"has {found[0]!r}" if found else None)


def characters(text: str, *, latin: bool, extra: str = "") -> Finding:
    """Anything but letters, digits and plain punctuation, or punctuation piled up.

    Args:
        text: what to look at.
        latin: whether the language is written in Latin letters alone.
        extra: further characters that are let through, where the channel or the brand wants them.
    """
    for character in text:
        if character in PUNCTUATION or character in extra or character.isdecimal():
            continue
        letter = unicodedata.name(character, "").startswith("LATIN ")
        if not letter and (latin or not _writes(character)):
            return Finding(1.0, f"has {character!r}")
    piled = PILED.search(text)
    return Finding.counted(f"has {piled[0]!r}" if piled else None)


def _writes(character: str) -> bool:
    """Returns whether the character is a letter, or a mark on one, in any script."""
    return unicodedata.category(character)[0] in "LM" or character in "。、！？「」،؟"


def repeats(text: str) -> Finding:
    """The same telling word twice ("coffee without the coffee"); scores how many come again."""
    seen: set[str] = set()
    again = [word for word in telling(text) if word in seen or seen.add(word)]  # type: ignore[func-returns-value]
    return Finding(len(again), f"{again[0]!r} is there twice" if again else None)
