"""The form of texts in other languages than English: what words.yaml and signs of any script tell.

Attributes have the names that English ones have, so that they mean the same; `creative_features`
keeps them apart by namespace, since a question that is clicked in one language may not be in
another.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final, TypeAlias
from unicodedata import category, east_asian_width

import yaml

from bandit.features.reading import HANGUL, QUOTES, UNSPACED, plain, sentences, simplified, words

Attribute: TypeAlias = float | bool

DECIMALS: Final = 4
_QUESTION: Final = re.compile(
    r"[?？؟]|[吗呢][。！…]?$|(?:ですか|ますか|せんか)。?$|(?:까|나요|가요)[.]?$"
)
_NUMBER: Final = re.compile(
    r"\d|[一二三四五六七八九十百千万両半]{2,}|[二三四五六七八九十百千万半][折元円年天日月回倍]"
)
_MONEY: Final = re.compile(r"\d\s?(?:元|块|円|원|만원|euro)")
_PERCENT: Final = re.compile(r"%|百分之|퍼센트|パーセント")
_DENSE: Final = re.compile(f"[{UNSPACED}{HANGUL}]")
_ROMAN: Final = 10
"""Letters in a long word; characters of Chinese say as much in two."""


# The file comes with the package and does not change.
@cache
def _lists() -> dict[str, dict[str, frozenset[str]]]:
    content = yaml.safe_load((files("bandit.features") / "words.yaml").read_text("utf-8"))
    return {
        language: {name: frozenset(line.split()) for name, line in lists.items()}
        for language, lists in content.items()
    }


def attributes_elsewhere(text: str, language: str) -> dict[str, Attribute]:
    """Returns what `bandit.features.text.attributes` does, of a text in another language.

    Lengths are as drawn: a character of Chinese, Japanese or Korean is as wide as two letters.
    """
    said = simplified(plain(text)) if language == "zh" else plain(text)
    parts = words(text)
    letters = sum(map(str.isalpha, text))
    width = sum(1 + (east_asian_width(sign) in "WF") for sign in text)
    found: dict[str, Attribute] = {
        "capitals": round(sum(map(str.isupper, text)) / max(letters, 1), DECIMALS),
        "length": width / 100,
        "sentences": len(sentences(text)) / 4,
        "word_length": round(sum(map(len, parts)) / max(len(parts), 1) / _ROMAN, DECIMALS),
        "words": len(parts) / 20,
    }
    flags = _said(said, language) | {
        "colon": ":" in said,
        "ellipsis": "..." in said,
        "exclamation": "!" in said,
        "money": any(category(sign) == "Sc" for sign in said) or bool(_MONEY.search(said)),
        "number": bool(_NUMBER.search(said)),
        "percent": bool(_PERCENT.search(said)),
        "question": bool(_QUESTION.search(said)),
        "quotation": any(sign in text for sign in QUOTES if sign not in "'’‘`"),
    }
    return found | {name: True for name, holds in flags.items() if holds}


def _said(said: str, language: str) -> dict[str, bool]:
    """Returns for each list of the language whether the text says a word of it."""
    lists = _lists().get(language, {})
    if _DENSE.search(said):
        return {name: any(word in said for word in known) for name, known in lists.items()}
    seen = set(words(said))
    return {name: not seen.isdisjoint(known) for name, known in lists.items()}
