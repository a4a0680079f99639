"""Finds words and phrases of a list in a text, whatever the language, inflection and spelling.

Both sides are folded to one form (width, case, accents, simplified characters). Where a language
puts no spaces between words, a phrase is found inside other text; where words inflect, so does it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from bandit.features.reading import HAN, HANGUL, UNSPACED, simplified, words

INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]")
WITHIN: Final = f"{UNSPACED}{HANGUL}"
"""Letters of scripts in which a phrase may begin and end inside a run of letters."""
JOINTS: Final = r"[\s·•‧・.\-_*~^|/\\+]{0,3}"
"""What may stand between the characters of a phrase that somebody spelt out."""
INNER: Final = re.compile(r"(?<=[^\W\d_])[-._*·•‧~^’']+(?=[^\W\d_])")
SPREAD: Final = re.compile(f"(?<=[{UNSPACED}]){JOINTS}(?=[{UNSPACED}])")
LOOKALIKES: Final = str.maketrans("013457@$", "oieastas")
MIXED: Final = re.compile(r"[^\W_]*(?:[^\W\d_][013457@$]|[013457@$][^\W\d_])[\w@$]*")
DEGREES: Final = "太很好真最更超不挺"
FUNCTION_WORDS: Final = re.compile(
    "a|als?|a[mu]|and|auf|aus|avec|bei|con|das|de[lmnrs]?|die|du|eine?|e[lnt]|for|fur|i[lmn]|l[ae]s?|"
    "los|mas|mit|moins|non?|nous|o[fn]?|ohne|ou|par|pas|plus|por|pour|que|sans|se|sin|sur|the|to|"
    "una|und|une|von|with|y|zu[mr]?"
)
"""Words of a phrase that do not inflect."""


def folded(text: str, language: str) -> str:
    """Returns a text without differences of width, case, accents and Chinese character sets.

    >>> folded("Ｇünstig", "de"), folded("輕量", "zh"), folded("don’t", "en")
    ('gunstig', '轻量', "don't")
    """
    plain = unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold().replace("’", "'")
    if language == "zh":
        plain = simplified(plain)
    parts = unicodedata.normalize("NFD", plain)
    return unicodedata.normalize("NFC", "".join(c for c in parts if not "\u0300" <= c <= "\u036f"))


@lru_cache(maxsize=512)
def spellings(text: str, language: str) -> tuple[str, ...]:
    """Returns the folded text as it is, and as it was meant where signs part its letters.

    >>> spellings("最 佳", "zh"), spellings("sch-ei-ße", "de")
    (('最 佳', '最佳'), ('sch-ei-sse', 'scheisse'))
    """
    plain = folded(text, language)
    joined = INNER.sub("", plain)
    if language in ("zh", "ja"):
        return tuple(dict.fromkeys((plain, SPREAD.sub("", joined))))
    letters = MIXED.sub(lambda match: match[0].translate(LOOKALIKES), plain)
    return tuple(dict.fromkeys((plain, joined, letters)))


def find_phrase(text: str, phrase: str, language: str) -> bool:
    """Returns whether the phrase stands in the text, in any form of its words.

    >>> find_phrase("Günstige Schuhe", "günstig", "de"), find_phrase("方便宜居", "便宜", "zh")
    (True, False)
    >>> find_phrase("A cheaper bed", "cheap", "en"), find_phrase("输给 N.i.k.e", "nike", "zh")
    (False, True)
    """
    language = language.split("-")[0]
    pattern, unspaced = _pattern(phrase, language)
    if unspaced:
        plain = _signs(folded(text, language), language)
        found = pattern.finditer(plain)
        # Particles and endings stick to Korean words, and spaces part them.
        return any(language == "ko" or not _across(plain, m.span(), language) for m in found)
    return any(pattern.search(variant) for variant in _variants(text, language))


def _across(text: str, span: tuple[int, int], language: str) -> bool:
    """Returns whether a match is the end of one word and the beginning of another.

    A lone character, or one that a space cuts in two, is no match inside a longer word either.
    """
    inside, position = [], 0
    for word in _dictionary_words(text) if language == "zh" else words(text):
        position = text.find(word, position)
        inside += [position for edge in span if position < edge < position + len(word)]
        position += len(word)
    frail = span[1] - span[0] == 1 or " " in text[slice(*span)]
    return len(set(inside)) > 1 or (frail and bool(inside))


@lru_cache(maxsize=512)
def _dictionary_words(text: str) -> tuple[str, ...]:
    """Returns the words of Chinese that a dictionary has; nothing is guessed of what it has not."""
    import rjieba

    # An adverb of degree belongs to no name and no word of a list.
    found = [
        [word[0], word[1]] if len(word) == 2 and word[0] in DEGREES else [word]
        for word in rjieba.cut(text, False)
    ]
    return tuple(part for parts in found for part in parts)


def _signs(plain: str, language: str) -> str:
    """Returns folded text in the signs that inflect: Korean letters, one of both Japanese ones."""
    if language == "ko":
        return unicodedata.normalize("NFD", plain)
    if language == "ja":
        return "".join(chr(ord(c) - 96) if "ァ" <= c <= "ヶ" else c for c in plain)
    return re.sub(r"([aou])e", r"\1", plain) if language == "de" else plain


@lru_cache(maxsize=512)
def _variants(text: str, language: str) -> tuple[str, ...]:
    """Returns the spellings of a text with a space where its script changes."""
    parted = (re.sub(f"([{WITHIN}]+)", r" \1 ", one) for one in spellings(text, language))
    return tuple(_signs(one, language) for one in parted)


@lru_cache(maxsize=4096)
def _pattern(phrase: str, language: str) -> tuple[re.Pattern[str], bool]:
    """Returns what finds the phrase in folded text, and whether it is of an unspaced script."""
    plain = _signs(folded(phrase.strip(), language), language)
    if re.search(f"[{WITHIN}]", plain):
        return re.compile(_unspaced(plain, language)), True
    chunks = re.split(r"[\s_\-–]+", plain)
    whole = r"[\s_\-–’']{0,3}".join(_chunk(chunk, language) for chunk in chunks if chunk)
    letters = "".join(chunks)
    spelt = ""
    if letters.isalpha() and len(letters) >= 4:
        stem = letters if language == "en" else _stem(letters, language)
        spelt = r"|" + r"[\W_]{1,2}".join(stem) + r"(?:[\W_]{1,2}[^\W\d_]){0,4}"
    return re.compile(rf"(?<!\w)(?:{whole}{spelt})(?!\w)"), False


KOREAN: Final = re.compile("(.{2,})(한|하게|하고|히|해요|운)")
"""A Korean adjective before its noun, or as an adverb."""
ADJECTIVE: Final = ("\u1112[\u1161\u1162\u1175]", "(?:\u11b8|\u110b[\u116e\u116f])")
"""How the endings of adjectives on 하다, and of those that lose their ㅂ, begin."""
KIN: Final = frozenset(("earth", "friend", "heaven", "month", "short", "world"))
"""English words of which one with -ly is another word."""


def _unspaced(plain: str, language: str) -> str:
    if language == "ko":
        stem = unicodedata.normalize("NFC", plain)
        if adjective := KOREAN.fullmatch(stem):
            joined = JOINTS.join(_syllables(unicodedata.normalize("NFD", adjective[1])))
            return joined + JOINTS + ADJECTIVE[adjective[2] == "운"]
        stem = re.sub(r"(?<=..)하다$|(?<=.)다$", "", stem)
        jamo = unicodedata.normalize("NFD", stem)
        # An irregular final consonant falls away before a vowel.
        jamo = JOINTS.join(_syllables(re.sub("\u11b8$", "", jamo)))
        return jamo if len(stem) > 1 else rf"(?<![\u1100-\u11ff]){jamo}"
    ending = ""
    if language == "ja" and len(plain) > 1:
        plain, ending = _japanese(plain)
    joined = JOINTS.join(re.escape(c) for c in plain if not c.isspace())
    latin = ("(?<![a-z0-9])" if plain[0].isascii() else "") + joined
    return latin + ending + ("(?![a-z0-9])" if plain[-1].isascii() else "")


def _syllables(jamo: str) -> list[str]:
    return [unicodedata.normalize("NFD", c) for c in unicodedata.normalize("NFC", jamo)]


ROWS: Final = {"う": "わいうえおっ", "く": "かきくけこい", "ぐ": "がぎぐげごい", "す": "さしすせそ",
               "つ": "たちつてとっ", "ぬ": "なにぬねのん", "ぶ": "ばびぶべぼん",
               "む": "まみむめもん", "る": "らりるれろったてなまよさ"}  # fmt: skip
"""What the last sign of a Japanese verb turns into."""


def _japanese(plain: str) -> tuple[str, str]:
    """Returns the unchanging part of a Japanese word, and an expression for its endings."""
    kanji = re.match(f"[{HAN}]", plain[0]) is not None
    if plain[-1] == "い" and (kanji or len(plain) > 2):
        return plain[:-1], "(?:[いくかけさそきみげ]|過ぎ|すぎ)"
    if kanji and plain[-1] in ROWS:
        return plain[:-1], f"[{ROWS[plain[-1]]}]"
    return plain, ""


def _chunk(chunk: str, language: str) -> str:
    """Returns an expression for a word in all of its forms."""
    if not chunk.isalpha() or FUNCTION_WORDS.fullmatch(chunk) or len(chunk) < 3:
        return re.escape(chunk)
    forms = FORMS.get(language)
    return forms(chunk) if forms else re.escape(chunk)


def _stem(word: str, language: str) -> str:
    """Returns the part of a word that stays when it inflects, for spelt-out words."""
    cut = {"de": "en?$|e$", "es": "[oae]s?$", "fr": "e?s?$"}.get(language, "$^")
    return re.sub(cut, "", word) or word


def _english(word: str) -> str:
    plural = rf"{word[:-1]}(?:ys?|ies)" if word.endswith("y") else rf"{word}(?:s|es)?"
    if len(word) > 4 and word not in KIN and not word.endswith("er"):
        derived = "(?:i?ly|i?ness|i?est)"
        plural += rf"|{word[:-1] if word[-1] in 'ye' else word}{derived}"
    if word.endswith("e") and len(word) > 3:
        return rf"(?:{plural}|{word}d|{word[:-1]}ing)"
    if len(word) > 4:
        return rf"(?:{plural}|{word}{word[-1]}?(?:ed|ing))"
    return rf"(?:{plural})"


def _german(word: str) -> str:
    stem = re.sub("(?<=...)en$|(?<=...)e$", "", word)
    endings = "(?:e|en|em|er|es|ens|n|s|st|t|te|ten|end|ende[nrsm]?|(?:er|st|est)(?:e[nmrs]?)?)?"
    forms = rf"(?:aller|ge)?{stem}{endings}"
    if stem[-2:] in ("er", "el") and len(stem) > 3:
        forms += rf"|{stem[:-2]}{stem[-1]}e[nmrs]?"
    if len(stem) >= 5:
        # German writes compounds as one word: supergünstig, Billigpreise.
        forms += rf"|[^\W\d_]{{2,}}{stem}{endings}"
        forms += rf"|{word}[^\W\d_]{{3,}}" if not word.endswith("e") else ""
    elif len(word) == 5 and word.endswith("e"):
        forms += rf"|[^\W\d_]{{2,}}{word}[nmrs]?"
    return rf"(?:{forms})"


def _spanish(word: str) -> str:
    emphatic = "|isim[oa]s?"
    singular = re.sub("(?<=[oae])s$", "", word)
    if word.endswith(("ar", "er", "ir")) and len(word) > 4:
        stem = word[:-2]
        verb = "[aei](?:r|s|n|mos|is|ndo|d[oa]s?|r[ae]s?|ran|remos|ba[sn]?|bamos|rl[oae]s?)?"
        return rf"{stem}(?:{verb}|o|ie(?:ndo|ron)|ia[sn]?|io)"
    if singular[-1] in "oa":
        return rf"{singular[:-1]}(?:[oa]s?|amente|it[oa]s?|az[oa]s?{emphatic})"
    if singular[-1] == "e":
        return rf"{singular}(?:s|mente)?"
    stem = rf"{word[:-1]}(?:z|c(?:es{emphatic}))" if word[-1] == "z" else word
    feminine = "|as?" if re.search("(?:[dts]or|on|an|in)$", word) else ""
    return rf"{stem}(?:es|mente{feminine}{emphatic})?"


def _french(word: str) -> str:
    forms = [rf"{word}(?:s|x|e|es|e?ment)?"]
    if word[-1] in "nlts":
        forms.append(rf"{word}{word[-1]}e(?:s|ment)?")
    swaps = {"eux": "euse", "if": "ive", "eau": "el(?:le)?", "al": "aux", "eur": "(?:eus|ric)e"}
    for ending, other in swaps.items():
        if word.endswith(ending):
            forms.append(rf"{word[: -len(ending)]}{other}(?:s|ment)?")
    if word.endswith("er") and len(word) > 4:
        forms.append(rf"{word[:-2]}(?:es?|ons|ez|ent|ant|ees?|ait|era|erez)")
    return rf"(?:{'|'.join(forms)})"


FORMS: Final = {"de": _german, "en": _english, "es": _spanish, "fr": _french}
