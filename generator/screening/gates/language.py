"""In which language a text is, where that can be told."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from generator.brief import LANGUAGES
from generator.screening.gates.finding import Finding
from generator.screening.gates.words import words

ALIKE: Final = {"nb": {"nb", "da"}, "da": {"da", "nb"}}
"""Languages whose short texts nobody tells apart."""


@cache
def _identifier() -> Any:
    # Importing it takes a moment, and only who screens needs it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_pickled_model(MODEL_FILE, norm_probs=True)
    # Languages that no brief asks for would only be mistaken for those that some do.
    found.set_languages(sorted(LANGUAGES))
    return found


def in_language(text: str, wanted: str, *, sure: float, least_words: int) -> Finding:
    """Confidently in another language; scores the posterior of the language that is wanted.

    Brand names and borrowed words mislead any reader of short texts, so only a text of
    `least_words` or more that is some other language with probability `sure` is refused.
    """
    ranked = {name: float(share) for name, share in _identifier().rank(text)}
    alike = ALIKE.get(wanted, {wanted})
    posterior = sum(ranked.get(name, 0.0) for name in alike)
    likeliest = max(ranked, key=lambda name: ranked[name])
    if len(words(text)) < least_words or likeliest in alike or ranked[likeliest] < sure:
        return Finding(posterior)
    named = LANGUAGES.get(likeliest, likeliest)
    return Finding(posterior, f"is {named} with {ranked[likeliest]:.2f}; not {LANGUAGES[wanted]}")
