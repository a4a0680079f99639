"""Gates of truth: what a text says must be borne out by its brief, word for word where it asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from bandit.features.reading import words
from generator.brief.schema import Brief
from generator.screening.gates import GateFinding
from generator.screening.gates.form import forms, stem, telling
from generator.screening.gates.text import WORD, listed, ordinary

PROMISES: Final = listed(
    "best cheapest cure cures discount discounts fastest free gift gifts guarantee guaranteed "
    "half-price lifetime offer refund refunds sale unlimited voucher vouchers winner"
)
CALENDAR: Final = listed(
    "i i'm i'll i've i'd mr mrs ms dr monday tuesday wednesday thursday friday saturday sunday "
    "mondays tuesdays wednesdays thursdays fridays saturdays sundays january february march april "
    "may june july august september october november december english"
)
AGAINST: Final = re.compile(
    r"\b(?:no|never|without|less|stop|avoid|forget|quit|skip|lose|losing|waste|wasting|hate"
    r"|(?:tired|sick|instead|out) of|(?:away|free) from|goodbye to)\s+"
    r"(?:(?:a|an|any|the|your|my|more)\s+)*([\w'’-]+)",
    re.I,
)
NEGATION: Final = re.compile(
    r"\b(?:is|are|was|were|does|do|did) not\b|\b(?:isn|aren|wasn|weren|doesn|don|didn)['’]t\b",
    re.I,
)
IMPERATIVE: Final = re.compile(r"^\W*(?:please )?(?:don['’]t|do not) (?!work|last|fit)\w", re.I)
"""Tells a reader not to do something ("Don't miss …"), which says nothing of the product."""
NEGATED: Final = re.compile(r"^\W*(?:it|they|this|these|we)?\W*$", re.I)
NUMBER: Final = re.compile(
    r"(?P<before>[€$£]|#)?\s?(?P<digits>\d+(?:[.,]\d+)*)(?P<times>x\b)?\s?"
    r"(?P<after>%|p\b|percent\b|per cent\b|euros?\b|€|dollars?\b|\$|pounds?\b|£|stars?\b)?",
    re.I,
)
SPELLED: Final = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
LARGE: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
IDIOMS: Final = frozenset((0, 1, 2, 3))
"""Small spelled numbers that claim nothing by themselves: a weekend for two, one more page."""
CLAUSE_BEGINS: Final = ".!?…:“„‘«(–—¿¡"
FAMOUS: Final = listed("alexa amazon apple cambridge google oxford visa vogue")
"""Names that are words of the dictionary, too."""
MULTIPLES: Final = re.compile(
    r"\b(?:half price|half-price|half off|twice|doubles?|double the|triples?"
    r"|(?:hundred|thousand|million)s)\b(?!\s+(?:bed|room|back|check|or nothing)\b)",
    re.I,
)
UNITS: Final = {
    "%": "%", "percent": "%", "per cent": "%", "p": "money", "€": "money", "$": "money",
    "£": "money", "euro": "money", "euros": "money", "dollar": "money", "dollars": "money",
    "pound": "money", "pounds": "money",
}  # fmt: skip


class Figure(NamedTuple):
    """A number as it is meant: its value, and `%`, `money` or nothing as its unit."""

    value: float
    unit: str
    said: str


def figures(text: str) -> Iterator[Figure]:
    """Yields the numbers in a text, in digits or spelled.

    >>> [(f.value, f.unit) for f in figures("From €1,049, or ninety percent of it")]
    [(1049.0, 'money'), (90.0, '%')]
    """
    for found in NUMBER.finditer(text):
        after = (found["after"] or "").lower()
        unit = UNITS.get(after) or ("money" if (found["before"] or "") in "€$£" else "")
        unit = unit if found["before"] or after else ""
        yield Figure(_value(found["digits"]), unit, found[0].strip())
    yield from _spelled(text)


def _value(digits: str) -> float:
    """Reads a number: a separator before three digits groups, any other is the point."""
    grouped = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", digits)
    whole, *rest = re.split(r"[.,]", grouped)
    return float(f"{whole}.{''.join(rest) or 0}")


def _spelled(text: str) -> Iterator[Figure]:
    value, said = None, []
    parts = [part for word in words(text) for part in word.split("-")]
    for word in [*parts, ""]:
        if word in SPELLED:
            value = (value or 0) + SPELLED[word]
            said.append(word)
        elif word in LARGE and value is not None:
            value *= LARGE[word]
            said.append(word)
        elif value is not None:
            unit = UNITS.get(word, "")
            yield Figure(float(value), unit, " ".join(said))
            value, said = None, []


def unbacked(text: str, sources: Iterable[str]) -> GateFinding:
    """A number or price that nothing in the brief says; scores how many there are.

    A number is backed by the same value in the same unit, however it is written. Spelled numbers
    up to three, without a unit, are taken for idiom.
    """
    said = list(sources)
    known = {(figure.value, figure.unit) for line in said for figure in figures(line)}
    spelled = {figure.said for figure in _spelled(text)}
    missing = [
        figure.said
        for figure in figures(text)
        if (figure.value, figure.unit) not in known
        and not (figure.said in spelled and figure.value in IDIOMS and not figure.unit)
    ]
    whole = " ".join(said).lower()
    missing += [m[0] for m in MULTIPLES.finditer(text) if m[0].lower() not in whole]
    return GateFinding(len(missing), f"the brief does not say {missing[0]!r}" if missing else None)


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
    for found in re.finditer(rf"(?<!\w){re.escape(claim)}(?!\w)", text):
        before = text[: found.start()].rstrip()
        # In the middle of a sentence it would be part of another claim.
        if not before or before[-1] in ".!?:;–—-(*/|\n":
            return True
    return False


def against(text: str, brief: Brief) -> GateFinding:
    """Speaks against what it should sell ("less coffee"), or of what is not so."""
    negation = NEGATION.search(text)
    imperative = negation and IMPERATIVE.match(text)
    if negation and not imperative and NEGATED.match(text[: negation.start()]):
        return GateFinding(1.0, f"{negation[0]!r} says what is not so")
    sold = {word for line in (brief.product, *brief.keywords) for word in telling(line)}
    for found in AGAINST.finditer(text):
        if stem(found[1].lower()) in sold:
            return GateFinding(1.0, f"{found[0]!r} speaks against the product")
    return GateFinding(0.0)


def unfounded(text: str, sources: Iterable[str]) -> GateFinding:
    """A name or a promise that nothing in the brief bears out; scores how many there are."""
    said = {word for line in sources for word in words(line)} | CALENDAR
    said |= {stem(word) for word in said}
    names = _names(text)
    missing = []
    for word in words(text):
        plain = word.removesuffix("'s").removesuffix("’s")
        if (plain in PROMISES or word in names) and not {plain, stem(plain)} & said:
            missing.append(word)
    return GateFinding(len(missing), f"the brief does not say {missing[0]!r}" if missing else None)


def _names(text: str) -> set[str]:
    """Returns the words that are written as names: capitalised where no sentence begins."""
    found = list(WORD.finditer(text))
    inner = [match[0] for match in found if not _begins(text, match.start())]
    capitalised = [word.lower() for word in inner if word[0].isupper()]
    # In Title Case a capital says nothing.
    if len(capitalised) > len(found) / 2:
        return set()
    small = forms("en").small | forms("en").dangling
    lower = [word for word in inner if word[0].islower() and word not in small]
    if lower:
        return set(capitalised)
    # Of a short line that may be in Title Case, the dictionary tells the names.
    return {word for word in capitalised if word in FAMOUS or not ordinary(word)}


def _begins(text: str, place: int) -> bool:
    """Returns whether a sentence or a quotation begins at this place."""
    before = text[:place].rstrip()
    return not any(map(str.isalnum, before)) or before[-1] in CLAUSE_BEGINS
