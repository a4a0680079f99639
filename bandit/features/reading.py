r"""Reads a text by its script: words, sentences, quotes, phrases, and the script itself.

One place for every package, so that a gate, a feature and a prompt agree on what a word is.

- `words` for anything that counts or compares words; never `\w+` or `str.split`.
- `sentences` for anything that looks at one sentence. `SENTENCE_END` and `CLAUSE_END` are signs.
- `plain(text)` before two texts are compared: full-width signs, narrow spaces, curly quotes and
  capitals become their plain forms. `simplified(text)` before Chinese is compared with a list.
- `finds(text, phrase)` for a listed phrase. `bounded(expression)` gives the same boundaries to a
  regular expression of your own, with inflections, that is searched in `plain(text)`.
- `one_line` and `unquoted` for the answer of a model.
- `scripts`, `mostly` and `chinese_form` for the letters that a text is written in.

Spaces part the words of most scripts. Words of Japanese, Thai and their like are parted by ICU's
dictionaries (Unicode Standard Annex 29), through icu4py; words of Chinese by jieba's, through
rjieba, which parts adverts better (F1 of 24 lines that were parted by hand: .90, ICU .71).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any, Final, Literal, TypeAlias

from icu4py.breakers import SentenceBreaker, WordBreaker

HAN: Final = (
    "\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Chinese characters; stands inside `[]`."""
KANA: Final = "\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
"""Japanese syllables; stands inside `[]`."""
_SOUTHEAST: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
UNSPACED: Final = HAN + KANA + _SOUTHEAST
"""Letters of scripts without spaces between words: those, Thai, Lao, Burmese and Khmer."""
HANGUL: Final = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
"""Korean letters: spaces part phrases, and particles stick to words; stands inside `[]`."""
MARKS: Final = (
    "\u0300-\u036f\u064b-\u065f\u0670\u0900-\u0963\u0971-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
"""Marks on letters, and Indic letters, whose vowels are marks; stands inside `[]`."""
SENTENCE_END: Final = ".!?…。！？｡．।؟"
"""Signs that end a sentence, in any script."""
CLAUSE_END: Final = SENTENCE_END + ",:;，、：；､،؛~～—–|｜·・"
"""Signs that end a sentence or a part of one."""
QUOTES: Final = {
    '"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "„": "“", "‚": "‘", "«": "»", "»": "«",
    "‹": "›", "›": "‹", "「": "」", "『": "』", "｢": "｣", "”": "”", "’": "’", "＂": "＂",
}  # fmt: skip
"""The sign that closes a quotation, by the sign that opens it."""

ChineseForm: TypeAlias = Literal["simplified", "traditional"]

_WORD: Final = re.compile(rf"[\w{MARKS}]+(?:['’＇-][\w{MARKS}]+)*")
_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
_HAN: Final = re.compile(f"[{HAN}]")
_OTHER_UNSPACED: Final = re.compile(f"[{KANA}{_SOUTHEAST}]")
_HANGUL: Final = re.compile(f"[{HANGUL}]")
_BEFORE: Final = rf"(?<![^\W{UNSPACED}{HANGUL}])"
_AFTER: Final = rf"(?![^\W{UNSPACED}{HANGUL}])"
_INVISIBLE: Final = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half of a character, which no encoding has; JSON may carry one."""
_BREAKING_SPACE: Final = re.compile(r"[^\S\u00a0\u202f]+")
_PLAIN_SIGNS: Final = str.maketrans(
    dict.fromkeys("‘’‚‹›`´", "'")
    | dict.fromkeys("“”„«»「」『』", '"')
    | dict.fromkeys("‐‑‒–—―", "-")
)


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case, in any script.

    >>> words("Half-price? Don't wait!")
    ['half-price', "don't", 'wait']
    >>> words("198克轻量跑鞋，跑得更久")
    ['198', '克', '轻量', '跑鞋', '跑', '得', '更', '久']
    """
    return list(_words(text))


# Several gates read the same text one after the other.
@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[str, ...]:
    found: list[str] = []
    chinese = not _OTHER_UNSPACED.search(text)
    for run in _WORD.findall(text.lower().replace("_", " ")):
        if not _UNSPACED.search(run):
            found.append(run)
            continue
        parts = _chinese_words(run) if chinese else WordBreaker(run, "root")
        found += (part for part in parts if any(map(str.isalnum, part)))
    return tuple(found)


def _chinese_words(run: str) -> list[str]:
    """Returns the words of a run of Chinese; the dictionary knows them in simplified form."""
    known = simplified(run)
    if len(known) != len(run):
        known = run
    parts = _cut()(known)
    ends = list(accumulate(map(len, parts)))
    return [run[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


# Its dictionary takes a moment to load, and only Chinese needs it.
@cache
def _cut() -> Callable[[str], list[str]]:
    import rjieba

    cut: Callable[[str], list[str]] = rjieba.cut
    return cut


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, each with its closing signs, in any script.

    >>> sentences("透气网面。跑得更久！Ready? 「はい。」")
    ['透气网面。', '跑得更久！', 'Ready?', '「はい。」']
    """
    return [found.strip() for found in SentenceBreaker(_whole(text), "root") if found.strip()]


def _whole(text: str) -> str:
    """Returns the text with a sign in place of each half of a character."""
    return _SURROGATE.sub("\ufffd", text)


def plain(text: str) -> str:
    """Returns the text as two texts are compared: plain signs, one space, no capitals.

    >>> plain("Ｂｅｓｔ　１９８％ – “Straße”")
    'best 198% - "strasse"'
    """
    shown = _INVISIBLE.sub("", _whole(text))
    # Folding capitals may take letters apart that stand for others again.
    known = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    return " ".join(known.translate(_PLAIN_SIGNS).split())


def simplified(text: str) -> str:
    """Returns Chinese in simplified characters, by OpenCC's tables; other letters stay.

    >>> simplified("立即購買，國家級")
    '立即购买，国家级'
    """
    return str(_to_simplified().convert(_whole(text))) if _UNSPACED.search(text) else text


# The tables are constants that come with the package.
@cache
def _to_simplified() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


def bounded(expression: str, *, first: str, last: str) -> str:
    """Returns a regular expression with the word boundaries that its script has.

    Args:
        expression: what is searched for, in texts as `plain` writes them.
        first: a letter that it starts with.
        last: a letter that it ends with.
    """
    before = _BEFORE if _boundary(first) else ""
    after = _AFTER if _boundary(last) else ""
    return f"{before}(?:{expression}){after}"


def _boundary(letter: str) -> bool:
    return not (_UNSPACED.match(letter) or _HANGUL.match(letter))


def finds(text: str, phrase: str) -> bool:
    """Returns whether a phrase stands in a text as whole words, where its script has words.

    >>> finds("跑鞋中的最佳选择", "最佳"), finds("买iPhone吧", "iphone"), finds("cheaper", "cheap")
    (True, True, False)
    """
    wanted = plain(phrase)
    if not wanted:
        return False
    found = bounded(re.escape(wanted), first=wanted[0], last=wanted[-1])
    return re.search(found, plain(text)) is not None


def one_line(text: str) -> str:
    r"""Returns the text on one line with single spaces; those that do not break stay as they are.

    >>> one_line(" Courez\tplus loin\u202f!\n")
    'Courez plus loin\u202f!'
    """
    return _BREAKING_SPACE.sub(" ", text).strip()


def unquoted(text: str) -> str:
    """Returns the text without quotes around the whole of it, or half of a pair at an end.

    >>> unquoted("「静かな朝に」"), unquoted("“轻”到忘记穿鞋"), unquoted("'Don't wait'")
    ('静かな朝に', '“轻”到忘记穿鞋', "Don't wait")
    """
    text = text.strip()
    while text:
        first, last = text[0], text[-1]
        if first in QUOTES and not _closed(text[1:-1], first) and last == QUOTES[first]:
            text = text[1:-1].strip()
        elif first in QUOTES and not _closed(text[1:], first):
            text = text[1:].strip()
        elif last in QUOTES.values() and not _opened(text[:-1], last):
            text = text[:-1].strip()
        else:
            break
    return text


def _closed(text: str, opening: str) -> bool:
    """Returns whether a quotation that opened before the text closes in it."""
    closing = QUOTES[opening]
    if closing not in "'’":
        return closing in text
    return re.search(rf"\w{closing}(?!\w)|(?<!\w){closing}", text) is not None


def _opened(text: str, closing: str) -> bool:
    """Returns whether a quotation that closes after the text opened in it."""
    openings = [opening for opening, closed_by in QUOTES.items() if closed_by == closing]
    return any(re.search(rf"(?<!\w){re.escape(opening)}", text) for opening in openings)


def scripts(text: str) -> Counter[str]:
    """Returns how many letters of each script a text has, as `latin`, `han`, `kana`, `hangul`.

    >>> sorted(scripts("Café で 朝").items())
    [('han', 1), ('kana', 1), ('latin', 4)]
    """
    return Counter(script for script in map(_script, text) if script)


@lru_cache(maxsize=8192)
def _script(character: str) -> str:
    """Returns the script of a letter, empty for anything else."""
    if not character.isalpha():
        return ""
    if _HAN.match(character):
        return "han"
    named = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    first = re.split("[ -]", named, maxsplit=1)[0].lower()
    return "kana" if first in ("hiragana", "katakana") else first


def mostly(text: str) -> str | None:
    """Returns the script that most letters are of, None where there are none.

    >>> mostly("軽量シューズ"), mostly("198 %")
    ('kana', None)
    """
    found = scripts(text).most_common(1)
    return found[0][0] if found else None


def chinese_form(text: str) -> ChineseForm | None:
    """Returns which form of Chinese characters a text is in, None where it may be both.

    A character that only one of the national standards GB 2312 and Big5 has tells the form.

    >>> chinese_form("輕量跑鞋"), chinese_form("轻量跑鞋"), chinese_form("山水")
    ('traditional', 'simplified', None)
    """
    found = Counter(form for form in map(_form, text) if form)
    if found["traditional"] == found["simplified"]:
        return None
    return "traditional" if found["traditional"] > found["simplified"] else "simplified"


@lru_cache(maxsize=8192)
def _form(character: str) -> ChineseForm | None:
    if _script(character) != "han":
        return None
    mainland, taiwan = _encodes(character, "gb2312"), _encodes(character, "big5")
    if mainland == taiwan:
        return None
    return "simplified" if mainland else "traditional"


def _encodes(character: str, standard: str) -> bool:
    try:
        character.encode(standard)
    except UnicodeEncodeError:
        return False
    return True
