"""Promises that a text makes and the brief does not: free things, refunds, warranties, discounts.

A free trial in the brief backs no free shipping: each kind of promise must be there itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from generator.screening.gates.figures import read_figures
from generator.screening.gates.form import stem
from generator.screening.gates.phrases import folded

FILE: Final = Path(__file__).parent / "promises.yaml"
UNSPACED: Final = ("ja", "ko", "zh")
OBJECT: Final = re.compile(r"(?<![\w-])free (?P<what>[a-z][\w-]*)(?: (?P<then>[a-z][\w-]*))?")
NO_OBJECT: Final = re.compile(
    r"(?:a|accounts?|all|and|any|as|at|before|but|by|delivery|every|for|forever|from|if|in|it|now|"
    r"of|on|online|or|over|plans?|shipping|returns?|so|spirits?|the|this|till|time|to|today|tonight|"
    r"trial|until|up|versions?|when|while|with|your?)"
)
"""Words after "free" that are no thing that one gets, or have a promise of their own."""
LACKED: Final = (
    "sugar|gluten|dairy|lactose|nut|wheat|meat|alcohol|caffeine|fat|cruelty|paraben|chemical|plastic|"
    "bpa|latex|fragrance|perfume|dye|pain|ache|allergy|wrinkle|acne|ad|fee|tax|risk|debt|waste|lead|"
    "smoke|rust|lint|odou?r|bug|virus|grain|soy|egg|additive|preservative|pesticide|gmo|contract"
)
WITHOUT: Final = re.compile(
    rf"(?P<of>[a-z]{{2,}})-free(?![\w-])|(?<![\w-])(?P<bare>{LACKED})s? free(?![\w-])"
    r"|free (?:of|from) (?:all |any |the )?(?P<from>[a-z]{2,})"
)
IDLE: Final = re.compile(
    r"(?:hassle|worry|stress|care|hands?|fuss|mess|guilt|jargon|drama|clutter|noise|regret|faff|"
    r"trouble|effort|bother|charge|crowd|queue|duty|interest)s?"
)
"""What one is glad to be without and nobody measures; interest is a promise of its own."""


# The file comes with the package and does not change.
@cache
def _promises(language: str) -> dict[str, re.Pattern[str]]:
    found = yaml.safe_load(FILE.read_text(encoding="utf-8")).get(language, {})
    bounded = "{}" if language in UNSPACED else r"(?<![\w-])(?:{})(?![\w-])"
    return {
        name: re.compile(bounded.format(folded(pattern.replace(r"\S", r"[^\s]"), language)))
        for name, pattern in found.items()
    }


def unmade(text: str, sources: Sequence[str], language: str) -> list[str]:
    """Returns the promises of a text that the brief does not make, as the text words them.

    Args:
        text: what to look at.
        sources: what the brief says.
        language: of both.

    >>> unmade("Free Shipping & Returns", ["free 30-day trial"], "en")
    ['free shipping & returns', 'free shipping']
    >>> unmade("Start Your Free Trial", ["free 30-day trial"], "en")
    []
    """
    language = language.split("-")[0]
    said, plain = [folded(line, language) for line in sources], folded(text, language)
    missing = [
        match[0]
        for name, pattern in _promises(language).items()
        if (match := pattern.search(plain)) and not _made(name, said, language)
    ]
    if language == "en":
        missing += [*_objects(plain, said), *_absences(plain, said)]
    return missing


def _made(name: str, said: Sequence[str], language: str) -> bool:
    """Returns whether the brief makes a promise of this kind."""
    patterns = _promises(language)
    if name == "sale" and any(
        figure.off for line in said for figure in read_figures(line, language)
    ):
        return True
    kinds = [patterns[name]]
    if name == "free":
        kinds += [pattern for other, pattern in patterns.items() if other.startswith("free")]
    return any(kind.search(line) for kind in kinds for line in said)


def _objects(plain: str, said: Sequence[str]) -> Iterator[str]:
    """Yields free things that no line of the brief calls free."""
    for match in OBJECT.finditer(plain):
        what = match["what"]
        lines = (line for line in said if re.search(r"\bfree\b", line))
        known = {stem(word) for line in lines for word in re.findall(r"[\w-]+", line)}
        backed = bool({stem(word) for word in (what, match["then"]) if word} & known)
        if not NO_OBJECT.fullmatch(what) and not backed and not _promised(match[0]):
            yield match[0]


def _promised(words: str) -> bool:
    return any(pattern.match(words) for pattern in _promises("en").values())


def _absences(plain: str, said: Sequence[str]) -> Iterator[str]:
    """Yields what a text says the product is free of, where the brief does not."""
    for match in WITHOUT.finditer(plain):
        what = match["of"] or match["bare"] or match["from"]
        root = re.escape(stem(what))
        same = rf"\b{root}s?[- ]free\b|\b(?:free (?:of|from)|no|without|zero) (?:\w+ )?{root}"
        if not IDLE.fullmatch(what) and not any(re.search(same, line) for line in said):
            yield match[0]
