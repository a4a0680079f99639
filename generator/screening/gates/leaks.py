"""Finds pieces of an instruction in an answer: labels and sentences that a model was told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from msgspec.structs import asdict

from generator.brief.words import WORDS
from generator.screening.gates.phrases import folded

FOLDING: Final = "zh"
"""Folds both forms of Chinese to one, and leaves other languages as they are."""
LEAST: Final = 20
"""So long a sentence of an instruction is no coincidence; of Chinese, half as long."""
SAID: Final = ("between", "hours", "days", "seasons", "devices")
"""Fields of `WORDS` that an advert may well say."""


def instruction_in(text: str) -> str | None:
    """Returns the piece of an instruction that a text has, None if it has none.

    >>> instruction_in("产品：手冲咖啡豆"), instruction_in("手冲咖啡豆，按周送达")
    ('产品:', None)
    """
    found = _pieces().search(folded(text, FOLDING))
    return found[0].strip() if found else None


# The instructions come with the package and do not change.
@cache
def _pieces() -> re.Pattern[str]:
    labels, sentences = set(), set()
    for piece in _said():
        if piece.endswith(":"):
            labels.add(re.escape(piece[:-1].strip()))
        elif len(piece) >= LEAST or (not piece.isascii() and len(piece) >= LEAST // 2):
            sentences.add(re.escape(piece))
    label = rf"(?:^|(?<=[.!?。,、\n]))\W*(?:{'|'.join(sorted(labels))})\s*:"
    return re.compile("|".join([label, *sorted(sentences)]))


def _said() -> Iterator[str]:
    """Yields the fixed pieces of the instructions in all languages, folded."""
    for words in WORDS.values():
        for name, value in asdict(words).items():
            if name in SAID:
                continue
            for line in (value,) if isinstance(value, str) else value:
                parts = re.split(r"\{[^}]*\}|(?<=[.。;；:：,，、])\s*", line)
                yield from (folded(part, FOLDING).strip(" .。;；,，、") for part in parts if part)
