"""Gates of one text by itself: its words, its grammar, and what no advert has in it."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import product
from typing import Any, Final

from better_profanity import Profanity

from bandit.features.reading import words
from generator.brief.schema import Brief
from generator.screening.gates import GateFinding
from generator.screening.gates.form import telling
from generator.screening.gates.leaks import instruction_in
from generator.screening.gates.phrases import find_phrase


def listed(text: str) -> frozenset[str]:
    """Returns the words of a list that is written as a line."""
    return frozenset(text.split())


WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


LEAK: Final = re.compile(
    r"\b(?:product|headline|description|audience|placement|facts|tone)(?: in [A-Z]\w+)?\s*:|\|",
    re.I,
)
MARKUP: Final = re.compile(
    r"https?:|www\.|\w\.(?:com|org|net|io|co)\b|<[^>]*>|\]\(|\*\*|__|[#@]\w|\\[ntr]|&\w+;", re.I
)


def leaked(text: str, brief: Brief) -> GateFinding:
    """A piece of the prompt: of its form, or of what guides the writer and is not to be said."""
    found = LEAK.search(text)
    if found:
        return GateFinding(1.0, f"has {found[0]!r} from the prompt")
    told = instruction_in(text)
    if told is not None:
        return GateFinding(1.0, f"has {told!r} from the instruction")
    for note in brief.unsaid():
        unsaid = telling(note)
        if len(unsaid) > 1 and " ".join(unsaid) in " ".join(telling(text)):
            return GateFinding(1.0, f"has {note!r} from the brief, which is not to be said")
    return GateFinding(0.0)


def markup(text: str) -> GateFinding:
    """An address, a tag, or other writing for machines."""
    found = MARKUP.search(text)
    return GateFinding.counted(f"has {found[0]!r}" if found else None)


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


def profane(text: str, listing: re.Pattern[str]) -> GateFinding:
    """A profanity, plain or with digits and signs in place of letters; scores how many."""
    lower = text.lower()
    found = listing.findall(lower) or listing.findall(lower.translate(DISGUISES))
    return GateFinding(len(found), f"has {found[0][:1]}…, a profanity" if found else None)


def ruled_out(
    text: str, never_use: Iterable[str], competitors: Iterable[str], language: str = "en"
) -> GateFinding:
    """A word or phrase that the brief rules out, or the name of a competitor; scores how many."""
    words = [phrase for phrase in never_use if find_phrase(text, phrase, language)]
    names = [name for name in competitors if find_phrase(text, name, language)]
    why = None
    if words:
        why = f"the brief rules out {words[0]!r}"
    elif names:
        why = f"names a competitor, {names[0]!r}"
    return GateFinding(len(words) + len(names), why)


def _any_of(words: Iterable[str]) -> str:
    # Longer ones first, so that the whole of a compound is named.
    return "|".join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))


JOINED: Final = "This looks like a prefix that can be joined"
"""Harper's complaint of a hyphen as in "Ultra-Light", which adverts write."""


# A linter takes a second to make, and is not to be used by two threads at once.
@lru_cache(maxsize=4)
def _linters(thread: int) -> tuple[Any, ...]:
    """Returns a linter of American English, then one of British, for this thread alone."""
    import harper

    return tuple(
        harper.Linter(dialect=d) for d in (harper.Dialect.AMERICAN, harper.Dialect.BRITISH)
    )


def misspelt(
    text: str, *, kinds: Collection[str], ignored: Collection[str], known: Iterable[str]
) -> GateFinding:
    """A mistake of spelling or grammar in both American and British English; scores how many.

    Args:
        text: English.
        kinds: Harper's kinds of lints that count.
        ignored: words that Harper complains of wrongly in adverts.
        known: texts whose words are right however they are spelt: the brief's.
    """
    fine = {word for line in known for word in words(line)} | {word.lower() for word in ignored}
    found: dict[tuple[str, str], Any] = {}
    for linter, form in product(_linters(threading.get_ident()), _capitalisations(text)):
        found = {
            (lint.problem_text, lint.message): lint
            for lint in linter.lint(form)
            if lint.lint_kind in kinds and not _excused(lint, fine)
        }
        if not found:
            return GateFinding(0.0)
    first = next(iter(found.values()))
    return GateFinding(len(found), f"{first.problem_text!r}: {first.message}")


def _capitalisations(text: str) -> tuple[str, ...]:
    """Returns the text, and where it is in Title Case, in small letters as well."""
    inner = [word for word in text.split()[1:] if word[:1].isalpha()]
    title = sum(word[0].isupper() for word in inner) > len(inner) / 2
    return (text, text[:1] + text[1:].lower()) if title else (text,)


def _excused(lint: Any, fine: Collection[str]) -> bool:
    said = words(lint.problem_text)
    if lint.message.startswith(JOINED):
        return True
    if len(said) == 1 and lint.lint_kind == "Spelling" and _joined(said[0]):
        return True
    return bool(said) and all(word in fine or word.removesuffix("'s") in fine for word in said)


@lru_cache(maxsize=4096)
def ordinary(word: str) -> bool:
    """Returns whether a word in lower case is in the American or the British dictionary.

    >>> ordinary("comfort"), ordinary("lisbon")
    (True, False)
    """
    kinds = ("Spelling", "Typo")
    return any(
        not any(lint.lint_kind in kinds for lint in linter.lint(form))
        for form in {word, word.removesuffix("s"), word.removesuffix("es")}
        for linter in _linters(threading.get_ident())
    )


def _joined(word: str) -> bool:
    """Returns whether a word is two words of the dictionary, as "shoeboxes" is."""
    halves = ((word[:place], word[place:]) for place in range(4, len(word) - 3))
    return any(ordinary(first) and ordinary(last) for first, last in halves)
