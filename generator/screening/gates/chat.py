"""What a model says around an answer, or in place of one: refusals, chat, labels, errors."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from generator.screening.gates import GateFinding
from generator.screening.gates.phrases import folded

FILE: Final = Path(__file__).parent / "chat.yaml"
CIRCLED: Final = re.compile(r"\s*[①-⓿❶-➓]")
FOLDING: Final = "zh"
"""Folds both forms of Chinese to one, and leaves other languages as they are."""


# The file comes with the package and does not change.
@cache
def _kinds() -> tuple[tuple[str, re.Pattern[str]], ...]:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(
        (kind["why"], re.compile("|".join(map(_plain, kind["patterns"])))) for kind in content
    )


def _plain(pattern: str) -> str:
    """Returns an expression in folded letters; its classes keep the capitals that mean another."""
    classes = {r"\W": r"[^\w]", r"\S": r"[^\s]", r"\D": r"[^\d]"}
    for capital, same in classes.items():
        pattern = pattern.replace(capital, same)
    return folded(pattern, FOLDING)


def chatty(text: str) -> GateFinding:
    """No advert but a model's talk, in any language; scores how many kinds of it there are.

    >>> chatty("Certainly! Here is a headline: Sleep well").why
    'talks to whoever asked: "certainly! here is"'
    >>> chatty("Sleep well, wake up in Stockholm").why is None
    True
    """
    # Folding makes plain digits of circled ones.
    if circled := CIRCLED.match(text):
        return GateFinding(1.0, f'numbers or counts its answer: "{circled[0]}"')
    plain = folded(text, FOLDING)
    found = [(why, match[0].strip()) for why, kind in _kinds() if (match := kind.search(plain))]
    if not found:
        return GateFinding(0.0)
    why, said = found[0]
    return GateFinding(len(found), f'{why}: "{said}"')
