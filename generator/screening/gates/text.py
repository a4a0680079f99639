"""Gates of one text by itself: its form, its words, its language and its grammar."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from typing import Any, Final

from better_profanity import Profanity

from generator.brief.channels import Counting, units
from generator.brief.schema import LANGUAGES, Brief
from generator.screening.gates import GateFinding
from generator.screening.gates.phrases import find_phrase


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


def empty(text: str) -> GateFinding:
    """Nothing that could be read."""
    return GateFinding.counted(None if any(map(str.isalpha, text)) else "there is no word in it")


def length(text: str, most: int, counting: Counting, least_words: int) -> GateFinding:
    """Too long for its place, as the channel counts, or too few words; scores its length."""
    found = units(text, counting)
    if found > most:
        unit = "characters" if counting == "characters" else "units as the channel counts"
        return GateFinding(found, f"{found} {unit}; at most {most}")
    there = len(words(text))
    if there < least_words:
        return GateFinding(found, f"{there} word{'s' * (there != 1)}; at least {least_words}")
    return GateFinding(found)


def fragment(text: str) -> GateFinding:
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
    return GateFinding.counted(why)


def leaked(text: str, brief: Brief) -> GateFinding:
    """A piece of the prompt: of its form, or of what guides the writer and is not to be said."""
    found = LEAK.search(text)
    if found:
        return GateFinding(1.0, f"has {found[0]!r} from the prompt")
    for note in brief.unsaid():
        unsaid = telling(note)
        if len(unsaid) > 1 and " ".join(unsaid) in " ".join(telling(text)):
            return GateFinding(1.0, f"has {note!r} from the brief, which is not to be said")
    return GateFinding(0.0)


def markup(text: str) -> GateFinding:
    """An address, a tag, or other writing for machines."""
    found = MARKUP.search(text)
    return GateFinding.counted(f"has {found[0]!r}" if found else None)


def characters(text: str, *, latin: bool, extra: str = "") -> GateFinding:
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
            return GateFinding(1.0, f"has {character!r}")
    piled = PILED.search(text)
    return GateFinding.counted(f"has {piled[0]!r}" if piled else None)


def _writes(character: str) -> bool:
    """Returns whether the character is a letter, or a mark on one, in any script."""
    return unicodedata.category(character)[0] in "LM" or character in "。、！？「」،؟"


def repeats(text: str) -> GateFinding:
    """The same telling word twice ("coffee without the coffee"); scores how many come again."""
    seen: set[str] = set()
    again = [word for word in telling(text) if word in seen or seen.add(word)]  # type: ignore[func-returns-value]
    return GateFinding(len(again), f"{again[0]!r} is there twice" if again else None)


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


INDISTINCT: Final = {"nb": {"nb", "da"}, "da": {"da", "nb"}}
"""Languages whose short texts nobody tells apart."""


@cache
def _identifier() -> Any:
    # Importing it takes a moment, and only who screens needs it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_pickled_model(MODEL_FILE, norm_probs=True)
    # Languages that no brief asks for would only be mistaken for those that some do.
    found.set_languages(sorted(LANGUAGES))
    return found


def in_language(text: str, wanted: str, *, sure: float, least_words: int) -> GateFinding:
    """Confidently in another language; scores the posterior of the language that is wanted.

    Brand names and borrowed words mislead any reader of short texts, so only a text of
    `least_words` or more that is some other language with probability `sure` is refused.
    """
    ranked = {name: float(share) for name, share in _identifier().rank(text)}
    alike = INDISTINCT.get(wanted, {wanted})
    posterior = sum(ranked.get(name, 0.0) for name in alike)
    likeliest = max(ranked, key=lambda name: ranked[name])
    if len(words(text)) < least_words or likeliest in alike or ranked[likeliest] < sure:
        return GateFinding(posterior)
    named = LANGUAGES.get(likeliest, likeliest)
    return GateFinding(
        posterior, f"is {named} with {ranked[likeliest]:.2f}; not {LANGUAGES[wanted]}"
    )


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
    for linter in _linters(threading.get_ident()):
        found = {
            (lint.problem_text, lint.message): lint
            for lint in linter.lint(text)
            if lint.lint_kind in kinds and not _excused(lint.problem_text, fine)
        }
        if not found:
            return GateFinding(0.0)
    first = next(iter(found.values()))
    return GateFinding(len(found), f"{first.problem_text!r}: {first.message}")


def _excused(problem: str, fine: Collection[str]) -> bool:
    said = words(problem)
    return bool(said) and all(word in fine or word.removesuffix("'s") in fine for word in said)
