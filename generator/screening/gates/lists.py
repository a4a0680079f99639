"""The law on advertising, and profanity and contempt, as data: a file a market, a file a language.

Expressions are matched against folded text (`phrases.spellings`), so they find other spellings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import yaml
from msgspec import Struct

from generator.screening.gates import GateFinding
from generator.screening.gates.phrases import find_phrase, folded, spellings

LAW: Final = Path(__file__).parent / "law"
WORDS: Final = Path(__file__).parent / "wordlists"
UNSPACED: Final = ("ja", "ko", "zh")
"""Languages in which a wording may stand inside a run of letters."""
EVERYWHERE: Final = r"(?<![a-z])(?:fuck|motherfuck|shit(?!ak|ake)|bitch|asshole|wtf|stfu)[a-z]*"
"""English profanity that all languages have borrowed."""


class LawRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a law forbids to say.

    Attributes:
        article: of which law.
        why: a text is refused, in words.
        severity: `banned` whatever the brief says, or `provable`: let through where the brief's
            claims say it word for word.
        patterns: the wordings, by language.
    """

    article: str
    why: str
    severity: Literal["banned", "provable"]
    patterns: dict[str, tuple[str, ...]]


class MarketLaw(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of one market.

    `checked` is when somebody last compared them with the sources, `not yet` if nobody has.
    """

    market: str
    checked: str
    sources: tuple[str, ...]
    rules: tuple[LawRule, ...]


class Contempt(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a text hurts people, and the wordings that do."""

    why: str
    patterns: tuple[str, ...]


class WordList(Struct, frozen=True, forbid_unknown_fields=True):
    """What no advert of a language says."""

    language: str
    checked: str
    sources: tuple[str, ...]
    profanity: tuple[str, ...]
    contempt: tuple[Contempt, ...]


class Wording(NamedTuple):
    """An expression, ready to be looked for, and why it is refused."""

    why: str
    pattern: re.Pattern[str]
    provable: bool = False


# The files come with the package and do not change.
@cache
def markets() -> tuple[str, ...]:
    """Returns the names of the markets whose law is there.

    >>> markets()
    ('cn', 'eu', 'jp', 'kr', 'uk', 'us')
    """
    return tuple(sorted(path.stem for path in LAW.glob("*.yaml")))


@cache
def load_law(market: str) -> MarketLaw:
    """Returns the rules of a market."""
    content = yaml.safe_load((LAW / f"{market}.yaml").read_text(encoding="utf-8"))
    return msgspec.convert(content, MarketLaw, strict=True)


@cache
def wordings(market: str, language: str) -> tuple[Wording, ...]:
    """Returns a market's wordings in a language."""
    law = load_law(market)
    return tuple(
        Wording(
            f"{rule.why} ({law.market}: {rule.article})",
            _any_of(rule.patterns[language], language),
            rule.severity == "provable",
        )
        for rule in law.rules
        if language in rule.patterns
    )


@cache
def word_list(language: str) -> WordList | None:
    """Returns what no advert of the language says, None where nobody wrote it down."""
    path = WORDS / f"{language}.yaml"
    if not path.exists():
        return None
    return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), WordList, strict=True)


@cache
def _profanity(language: str) -> re.Pattern[str]:
    found = word_list(language)
    return _any_of((*(found.profanity if found else ()), EVERYWHERE), language)


@cache
def _contempt(language: str) -> tuple[Wording, ...]:
    found = word_list(language)
    rules = found.contempt if found else ()
    return tuple(Wording(rule.why, _any_of(rule.patterns, language)) for rule in rules)


def _any_of(patterns: Sequence[str], language: str) -> re.Pattern[str]:
    # Folding lowers \\S, too, which would mean something else.
    plain = (folded(pattern.replace(r"\S", r"[^\s]"), language) for pattern in patterns)
    bounded = "{}" if language in UNSPACED else r"(?<!\w)(?:{})(?:(?<!\w)|(?!\w))"
    return re.compile("|".join(bounded.format(pattern) for pattern in plain))


def unlawful(
    text: str, laws: Iterable[str], language: str, claims: Iterable[str] = ()
) -> GateFinding:
    """The first rule of law that a text breaks; scores how many it breaks.

    Args:
        text: what to look at.
        laws: the markets whose law holds.
        language: the text's.
        claims: what the brief can prove, word for word, against rules that ask for proof.
    """
    language = language.split("-")[0]
    backed = [folded(claim, language) for claim in claims]
    found = [rule for market in laws for rule in wordings(market, language)]
    return _broken(text, found, language, backed)


def contemptuous(text: str, language: str) -> GateFinding:
    """Contempt for people, shame or fear; scores how many rules the text breaks."""
    language = language.split("-")[0]
    return _broken(text, _contempt(language), language)


def _broken(
    text: str, rules: Iterable[Wording], language: str, backed: Sequence[str] = ()
) -> GateFinding:
    whys = []
    for rule in rules:
        match = next(filter(None, map(rule.pattern.search, spellings(text, language))), None)
        said = match[0].strip() if match else ""
        # A price is no part of a larger one.
        whole = re.compile(re.escape(said) + r"(?![.,]?\d)")
        if match and not (rule.provable and any(whole.search(claim) for claim in backed)):
            whys.append(f"{said!r} {rule.why}")
    return GateFinding(len(whys), whys[0] if whys else None)


def profane(
    text: str, language: str, extra: Iterable[str] = (), allowed: Iterable[str] = ()
) -> GateFinding:
    """A profanity, in any language but English, whose list is a packaged one; scores how many.

    Args:
        text: what to look at.
        language: the text's.
        extra: words that are refused, too.
        allowed: words of the list that are fine here.
    """
    language = language.split("-")[0]
    fine = {folded(word, language) for word in allowed}
    found = {
        match[0]
        for spelt in spellings(text, language)
        for match in _profanity(language).finditer(spelt)
        if match[0] not in fine
    }
    found |= {word for word in extra if find_phrase(text, word, language)}
    first = min(found, default="")
    return GateFinding(len(found), f"has {first[:1]}…, a profanity" if found else None)
