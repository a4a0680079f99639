"""Spelling and grammar of English, by Harper."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

from generator.screening.gates.finding import Finding
from generator.screening.gates.words import words


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
) -> Finding:
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
            return Finding(0.0)
    first = next(iter(found.values()))
    return Finding(len(found), f"{first.problem_text!r}: {first.message}")


def _excused(problem: str, fine: Collection[str]) -> bool:
    said = words(problem)
    return bool(said) and all(word in fine or word.removesuffix("'s") in fine for word in said)
