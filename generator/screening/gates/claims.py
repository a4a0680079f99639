"""Gates of truth: what a text says must be borne out by its brief, word for word where it asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bandit.features.reading import SENTENCE_END, words
from generator.brief.schema import Brief
from generator.screening.gates import GateFinding
from generator.screening.gates.form import forms, stem, telling
from generator.screening.gates.promises import unmade
from generator.screening.gates.text import WORD, listed, ordinary

PROMISES: Final = listed(
    "best cheapest cure cures fastest free gift gifts guarantee guaranteed half-price lifetime "
    "refund refunds unlimited voucher vouchers winner"
)
CALENDAR: Final = listed(
    "i i'm i'll i've i'd mr mrs ms dr monday tuesday wednesday thursday friday saturday sunday "
    "mondays tuesdays wednesdays thursdays fridays saturdays sundays january february march april "
    "may june july august september october november december english ok "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
AGAINST: Final = re.compile(
    r"\b(?:no|never|without|less|stop|avoid|forget|quit|skip|lose|losing|waste|wasting|hate"
    r"|(?:tired|sick|instead|out) of|(?:away|free) from|goodbye to)\s+"
    r"(?:(?:a|an|any|the|your|my|more)\s+)*([\w'’-]+)",
    re.I,
)
REMOVED: Final = re.compile(
    r"\w+[- ](?:cancel+ing|free|proof|resistant|remov(?:al|ers?)|repellents?|blocking|reducing)",
    re.I,
)
"""What a product takes away, and so may be spoken against: noise, of headphones that cancel it."""
NEGATION: Final = re.compile(
    r"\b(?:is|are|was|were|does|do|did) not\b|\b(?:isn|aren|wasn|weren|doesn|don|didn)['’]t\b",
    re.I,
)
IMPERATIVE: Final = re.compile(r"^\W*(?:please )?(?:don['’]t|do not) (?!work|last|fit)\w", re.I)
"""Tells a reader not to do something ("Don't miss …"), which says nothing of the product."""
CLAUSE_BEGINS: Final = ".!?…:“„‘«(–—¿¡"
FAMOUS: Final = listed("alexa amazon apple cambridge google oxford visa vogue")
"""Names that are words of the dictionary, too."""
MINOR: Final = listed(
    "a an and as at but by for from if in into nor of off on onto or out over per so than that the "
    "to up via vs with yet"
)
"""Words that Title Case leaves small."""
SEPARATORS: Final = f"{SENTENCE_END}:;：；，–—-(（*/|｜\n“”」』】）〉》»"
"""What a claim may follow; Chinese and Japanese part whole statements by their comma, too."""
NEGATED: Final = re.compile(r"^\W*(?:it|they|this|these|we)?\W*$", re.I)


def required(parts: Mapping[str, str], claims: Sequence[str]) -> GateFinding:
    """A claim that must appear and does not, letter for letter; scores how many are missing.

    A claim may stand in any part, between white space or punctuation.
    """
    missing = [
        claim
        for claim in claims
        if not any(_verbatim(claim.strip(), text) for text in parts.values())
    ]
    return GateFinding(len(missing), f"does not say {missing[0]!r}" if missing else None)


def _verbatim(claim: str, text: str) -> bool:
    before = r"(?<!\w)" if claim[:1].isalnum() else ""
    after = r"(?!\w)" if claim[-1:].isalnum() else ""
    for found in re.finditer(before + re.escape(claim) + after, text):
        ahead = text[: found.start()].rstrip()
        # In the middle of a sentence it would be part of another claim.
        if not ahead or ahead[-1] in SEPARATORS:
            return True
    return False


def against(text: str, brief: Brief) -> GateFinding:
    """Speaks against what it should sell ("less coffee"), or of what is not so."""
    negation = NEGATION.search(text)
    imperative = negation and IMPERATIVE.match(text)
    if negation and not imperative and NEGATED.match(text[: negation.start()]):
        return GateFinding(1.0, f"{negation[0]!r} says what is not so")
    lines = (REMOVED.sub(" ", line) for line in (brief.product, *brief.keywords))
    sold = {word for line in lines for word in telling(line)}
    for found in AGAINST.finditer(text):
        if stem(found[1].lower()) in sold:
            return GateFinding(1.0, f"{found[0]!r} speaks against the product")
    return GateFinding(0.0)


def unfounded(text: str, sources: Iterable[str], language: str = "en") -> GateFinding:
    """A name or a promise that nothing in the brief bears out; scores how many there are.

    Names are looked for in English alone.
    """
    lines = list(sources)
    missing = _unsaid_words(text, lines) if language == "en" else []
    missing += unmade(text, lines, language)
    return GateFinding(len(missing), f"the brief does not say {missing[0]!r}" if missing else None)


def _unsaid_words(text: str, lines: Iterable[str]) -> list[str]:
    """Returns the names and the words of promises that no line has."""
    said = {word for line in lines for word in words(line)} | CALENDAR
    said |= {stem(word) for word in said}
    names = _names(text)
    missing = []
    for word in words(text):
        plain = word.removesuffix("'s").removesuffix("’s")
        if (plain in PROMISES or word in names) and not {plain, stem(plain)} & said:
            missing.append(word)
    return missing


def _names(text: str) -> set[str]:
    """Returns the words that are written as names: capitalised where no sentence begins."""
    found = list(WORD.finditer(text))
    inner = [match[0] for match in found if not _begins(text, match.start())]
    capitalised = [word.lower() for word in inner if word[0].isupper()]
    # In Title Case a capital says nothing.
    if len(capitalised) > len(found) / 2:
        return set()
    small = forms("en").small | forms("en").dangling | MINOR
    lower = [word for word in inner if word[0].islower() and word not in small]
    if lower:
        return set(capitalised)
    # Of a short line that may be in Title Case, the dictionary tells the names: it knows them with
    # a capital alone. A word that it does not know at all is slang more often than a name.
    return {
        word
        for word in capitalised
        if word in FAMOUS or (not ordinary(word) and ordinary(word.capitalize()))
    }


def _begins(text: str, place: int) -> bool:
    """Returns whether a sentence or a quotation begins at this place."""
    before = text[:place].rstrip()
    return not any(map(str.isalnum, before)) or before[-1] in CLAUSE_BEGINS
