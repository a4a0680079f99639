"""The gate of language: is a text in the language of its brief, by its letters and its words.

Letters decide between scripts, and between the two forms of Chinese; words decide within a script.
A borrowed word or a name decides nothing: the language that is wanted must be unlikely, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from bandit.features.language import shares
from bandit.features.reading import (
    ChineseForm,
    bounded,
    chinese_form,
    mostly,
    scripts,
    words,
)
from generator.brief.schema import LANGUAGES, Brief
from generator.screening.gates import GateFinding
from generator.screening.gates.form import forms

SCRIPTS: Final = {
    "ar": "arabic", "el": "greek", "hi": "devanagari", "ja": "kana", "ko": "hangul", "th": "thai",
    "uk": "cyrillic", "zh": "han", "zh-Hans": "han", "zh-Hant": "han",
}  # fmt: skip
"""The script of each language that is not written in Latin letters."""
INDISTINCT: Final = {"nb": {"nb", "da"}, "da": {"da", "nb"}}
"""Languages whose short texts nobody tells apart."""
SURER: Final = 0.65
"""How probable another language must be where a text has just words enough to tell."""
NAMES: Final = {**LANGUAGES, "ru": "Russian", "fa": "Persian", "ur": "Urdu"}
"""Languages that a text may turn out to be in."""
FORMS: Final[dict[ChineseForm, str]] = {
    "simplified": "Simplified Chinese",
    "traditional": "Traditional Chinese",
}
MANY: Final = 2
"""So many syllables make a text Japanese; Chinese adverts borrow の alone."""


def form_of(brief: Brief) -> ChineseForm:
    """Returns the form of Chinese that a brief asks for: what it says, else how it is written."""
    if brief.language == "zh-Hant":
        return "traditional"
    if brief.language == "zh-Hans":
        return "simplified"
    return chinese_form(" ".join(brief.texts())) or "simplified"


def names_of(brief: Brief) -> tuple[str, ...]:
    """Returns names that may stand in a text of any language: the brand, and foreign words."""
    own = SCRIPTS.get(brief.language)
    said = {word for line in brief.texts() for word in words(line)} if own else set()
    foreign = (word for word in said if mostly(word) == "latin")
    return (*((brief.brand,) if brief.brand else ()), *sorted(foreign))


def in_language(
    text: str,
    wanted: str,
    *,
    sure: float,
    unlikely: float,
    least_words: int,
    form: ChineseForm = "simplified",
    known: Iterable[str] = (),
) -> GateFinding:
    """Confidently in another language; scores the probability of the language that is wanted.

    Args:
        text: what to look at.
        wanted: the code of a language that a brief may ask for.
        sure: a text is refused if another language has this probability,
        unlikely: and the language that is wanted at most this one,
        least_words: and it has so many words; fewer tell too little.
        form: of Chinese.
        known: names, such as the brand's, that may be in any language.
    """
    bare = _without(text, known)
    told = _of_another_script(bare, wanted, form)
    if told is not None:
        return GateFinding(0.0, f"is {told}; not {_named(wanted, form)}")
    if wanted in SCRIPTS and SCRIPTS[wanted] not in ("arabic", "cyrillic"):
        return GateFinding(1.0)
    found = shares(bare)
    alike = INDISTINCT.get(wanted, {wanted})
    posterior = min(sum(found.get(name, 0.0) for name in alike), 1.0)
    likeliest = max(found, key=lambda name: found[name])
    there = len(words(bare))
    enough = there > least_words or (there == least_words and found[likeliest] >= SURER)
    own, foreign = _small_words(bare, wanted, likeliest)
    # A small word tells more than the whole, which names and borrowed words lead astray.
    told_apart = not own and foreign >= MANY - (found[likeliest] >= SURER)
    # English is what others borrow, and what a text of few words is mistaken for.
    borrowed = likeliest == "en" and own > 0 and not foreign
    fits = found[likeliest] < sure or posterior > unlikely or borrowed
    if likeliest in alike or not enough or (fits and not told_apart):
        return GateFinding(posterior)
    named = f"{NAMES[likeliest]} with {found[likeliest]:.2f}"
    return GateFinding(posterior, f"is {named}; not {LANGUAGES[wanted]}")


def _small_words(text: str, wanted: str, other: str) -> tuple[int, int]:
    """Returns how many small words are of the language wanted, and how many of the other alone.

    A word of both languages is counted as one that is wanted, unless there are others.
    """
    lists = [forms(code).small | forms(code).dangling for code in (wanted, other)]
    if not all(lists):
        return 0, 0
    said = words(text)
    foreign = sum(word in lists[1] - lists[0] for word in said)
    shared = lists[1] if foreign else frozenset()
    # Alone, a short one is of too many languages.
    least = 0 if foreign else 3
    return sum(word in lists[0] - shared and len(word) >= least for word in said), foreign


def _named(wanted: str, form: ChineseForm) -> str:
    return FORMS[form] if SCRIPTS.get(wanted) == "han" else LANGUAGES[wanted]


def _without(text: str, known: Iterable[str]) -> str:
    for name in known:
        bounds = bounded(re.escape(name), first=name[0], last=name[-1])
        text = re.sub(bounds, " ", text, flags=re.I)
    return text


def _of_another_script(text: str, wanted: str, form: ChineseForm) -> str | None:
    """Returns what the letters say that the text is instead, None if they fit."""
    found = scripts(text)
    own = SCRIPTS.get(wanted, "latin")
    if not found:
        return None
    if own == "han":
        if found["kana"] >= MANY or _japanese(text):
            return LANGUAGES["ja"]
        if found["han"] and chinese_form(text) not in (None, form):
            return FORMS["traditional" if form == "simplified" else "simplified"]
    letters = found["han"] + found["kana"] if own == "kana" else found[own]
    if own == "kana" and letters and not found["kana"] and _chinese(text):
        return LANGUAGES["zh"]
    if own == "latin":
        return None if found["latin"] * 2 >= found.total() else _script_named(text)
    # Names and borrowed words stay Latin, so a word of those counts as one letter of ours.
    foreign = sum(1 for word in words(text) if mostly(word) not in (own, "han", "kana", None))
    return None if letters > foreign else _script_named(text)


def _script_named(text: str) -> str:
    script = mostly(text)
    languages = {"kana": "Japanese", "hangul": "Korean", "han": "Chinese"}
    return languages.get(script or "", f"in {script} letters")


def _japanese(text: str) -> bool:
    """Returns whether a text without syllables has characters that Japan alone writes."""
    own = [c for c in text if scripts(c)["han"] and _in(c, "shift_jis")]
    return any(not (_in(c, "gb2312") or _in(c, "big5")) for c in own)


def _chinese(text: str) -> bool:
    """Returns whether a text has characters that Japan does not write."""
    return any(not _in(c, "shift_jis") for c in text if scripts(c)["han"])


def _in(character: str, standard: str) -> bool:
    try:
        character.encode(standard)
    except UnicodeEncodeError:
        return False
    return True
