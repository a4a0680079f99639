"""Gates of form: how long a text is, how it is punctuated, whether it breaks off or repeats.

Each reads by script, through `bandit.features.reading`; what differs by language is in forms.yaml.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from bandit.features.reading import HAN, HANGUL, KANA, UNSPACED, words
from generator.brief.channels import Counting, units
from generator.screening.gates import GateFinding

FILE: Final = Path(__file__).parent / "forms.yaml"
COMPOUNDING: Final = frozenset({"da", "de", "fi", "hu", "nb", "nl", "sv"})
"""Languages that write several words as one."""
COMPOUND: Final = 12
"""A word of so many letters says as much as two, where a language compounds."""
CLAUSE: Final = 4
"""A Korean word of so many syllables says as much as two."""

LATIN_SIGNS: Final = frozenset("'’‘“”„‚‹›«»\"`.,:;!?¿¡…&%+/()–—-ªº°×½¼¾²³ \u00a0\u2009\u202f")
OTHER_SIGNS: Final = frozenset(
    "。，、；：！？．（）「」『』《》〈〉【】〔〕［］“”～〜~·・﹒＋－／％＆．．،؟।\u3000\u30fb"
)
MARKED: Final = re.compile(r"(?<=[^\W_])[™®©]")
"""The sign of a trade mark, right after its word."""
EMOJI: Final = re.compile(
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3|[\u2190-\u3299]\ufe0f"
    "|[⌚⌛⏩-⏬⏰⏳◽◾☔☕♈-♓♿⚓⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓-❕❗➕-➗➰➿⬛⬜⭐⭕\U0001f000-\U0001faff])"
    "\ufe0f?[\U0001f3fb-\U0001f3ff]?(?:\u200d[\u2190-\u3299\U0001f000-\U0001faff]\ufe0f?)*"
)
MOST_EMOJI: Final = 3
PILED: Final = re.compile(
    r"[.,:;!?&+/–—-]{2,}|…{2,}|…[.,:;]|[.,:;&+/]…|%[%&+/–—]|[.,:;!?&+/–—]%|\s[.,:;!?]"
)
OTHER_PILED: Final = re.compile(
    r"[，。、；：．.,;:]{2,}|!{2,}|！{2,}|\?{2,}|？{2,}|[!?！？]{3,}|…{3,}|[—–-]{3,}|[～〜~]{2,}"
    r"|[，。、；：．.,;:][!?！？]|[!?！？][，。、；：．.,;:]|\s[.,:;!?，。、；：！？]|&&|％{2,}|%{2,}"
)
FRENCH_SPACE: Final = re.compile(r"(?<=\S)\s(?=[!?:;»%])")
"""French sets a space before its high signs; a narrow one, where the keyboard has it."""
SPANISH: Final = {"¿": "?", "¡": "!"}
UNCLOSED: Final = ",:;-–—(&+/，、：；（「『【《〈"
AND_MORE: Final = re.compile(r"\d\+$")
"""A figure and more: "orders of $50+"."""
BRACKETS: Final = ("(（", ")）"), ("「", "」"), ("『", "』"), ("【", "】"), ("《", "》")
BROKEN_OFF: Final = re.compile(
    r"\w+\s+(?:when|while|because|if|since|until|unless|where|as|so) (?:i|you|we|they|it|he|she)$",
    re.I,
)
"""A clause of which only the subject is there; "Ready when you" and the like."""
STRANDED: Final = frozenset(("to", "from", "that", "when", "which", "who"))
"""English words that dangle, but may end a question: "Who can you talk to?"."""
WHOLE: Final = re.compile(
    r"\b(?:as|how|than|wh\w+) (?:\w+ )?(?:i|you|they|we|it|he|she) (?:are|is|was|were|can)$"
    r"|\b(?:come|comes|choose|pick|away|far) from$|\b(?:guess|know|knows) who$"
    r"|\b(?:home|forward|listen|talk|belong|turn|used|want|wanted|like|love|next|try) to$"
    r"|\b(?:like|love|about|all|beat|take|imagine|and|than|do|is|with|know|say|not|even) that$"
    r"|\b(?:think|thought|say|says|said|hope|even|or|just|why|how|not) so$",
    re.I,
)
"""English that ends on a word that dangles, and is whole: "Come as you are"."""
CAUSED: Final = re.compile(r"[让使令][你您我他她它]们?$")
"""Chinese that says whom something is done to, and not what."""
NOMINAL: Final = re.compile(r"[是才都最所想要爱懂属].*的$")
"""Chinese that ends on 的 and is whole: "this is what you want"."""
CLAUSES: Final = re.compile(
    r"(?:(?!\s(?:and|or|und|oder|y|o|et|ou)\s)[^.!?…,:;–—&+。！？，、；：～·・]|(?<=\d)[.,:](?=\d))+"
)
"""Parts of a sentence, between signs and words that join them; a figure is not cut at its signs."""
COUNTED: Final = re.compile(rf"\d+(?:[.,:]\d+)*[{HANGUL}]*")
"""A figure, with what sticks to it in Korean: prices may be alike."""
ONE_BY_ONE: Final = re.compile(r"^一.$|^(?:很久|好多|许多)$")
"""Chinese words that are doubled: step by step, a long time."""
DOUBLED: Final = re.compile(r"([我你他她它的在和是把被吗呢也就很])\1")
IDIOM: Final = re.compile(
    r"\b(day|night|week|year|step|side|hour|face|head|bit|bite|door|mile|one|again|more|time) "
    r"(?:by|after|to|and|in|for) \1\b"
    r"|\bhome away from home\b|\bfor (\w+),? (?:and )?by \2\b|\bby (\w+),? (?:and )?for \3\b"
    r"|\b(schritt|tag|nacht|stück|hand|seite|wort|jahr|mal|zug) (?:für|um|an|auf|in|zu|nach) \4\b"
    r"|\b(paso|día|punto|cara|mano|gota|uno|noche|año) (?:a|por|con|tras) \5\b"
    r"|\b(jour|pas|face|mot|goutte|nuit|an|petit|main|point) (?:après|à|par|pour|en|dans) \6\b"
    r"|\b([\w-]+)\? (?:what|which|welche[rs]?|was für|qué|quell?e?s?) \7\b",
    re.I,
)
"""Idioms that say a word twice: day after day, by runners for runners, "Hills? What hills?"."""
NOUNS: Final = frozenset(("day", "time", "way"))
"""Small English words that a word may go with."""
TWICE: Final = re.compile(r"(?<![\w'’-])([^\W\d_]+)\s+\1(?![\w'’-])", re.I)
BOTH: Final = frozenset(("is", "that"))
"""English small words that may stand side by side."""
CHANTED: Final = re.compile(
    rf"([{UNSPACED}{HANGUL}]{{2,6}}?)\1{{2,}}|([{UNSPACED}{HANGUL}])\2{{3,}}"
)
"""Letters that are written again and again."""
MOST_SHARE: Final = 0.6
"""Two places of a word may make up so much of a text without spaces."""


class Forms(NamedTuple):
    """What forms.yaml says of a language."""

    dangling: frozenset[str] = frozenset()
    small: frozenset[str] = frozenset()


# The file comes with the package and does not change.
@cache
def _every_form() -> dict[str, Forms]:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {
        language: Forms(*(frozenset(lists[name].split()) for name in Forms._fields))
        for language, lists in content.items()
    }


def forms(language: str) -> Forms:
    """Returns the words that tell how a text is formed; empty where nobody wrote them down."""
    return _every_form().get(language.split("-")[0], Forms())


def empty(text: str) -> GateFinding:
    """Nothing that could be read."""
    return GateFinding.counted(None if any(map(str.isalpha, text)) else "there is no word in it")


def length(
    text: str, most: int, counting: Counting, least_words: int, language: str = "en"
) -> GateFinding:
    """Too long for its place, as the channel counts, or too few words; scores its length."""
    found = units(text, counting)
    if found > most:
        unit = "characters" if counting == "characters" else "units as the channel counts"
        return GateFinding(found, f"{found} {unit}; at most {most}")
    there = sum(_weight(word, language) for word in words(text))
    if there < least_words:
        return GateFinding(found, f"{there} word{'s' * (there != 1)}; at least {least_words}")
    return GateFinding(found)


def _weight(word: str, language: str) -> int:
    """Returns how many words a word stands for: 2 for a compound, or a Korean clause."""
    if language in COMPOUNDING:
        return 1 + (len(word) >= COMPOUND)
    return 1 + (language == "ko" and len(re.findall(f"[{HANGUL}]", word)) >= CLAUSE)


def fragment(text: str, language: str = "en") -> GateFinding:
    """A line that breaks off: it ends on a word like "the", on a comma, or in a bracket."""
    said = words(text)
    last = said[-1] if said else ""
    ending = text.rstrip(".…。")
    why = None
    if (language == "en" or ending[-1:].isalnum()) and _dangles(ending, last, language):
        why = f"ends on {last!r}"
    elif language == "en" and (broken := BROKEN_OFF.search(text)):
        why = f"ends on {broken[0]!r}"
    elif text[-1:] and text[-1] in UNCLOSED and not AND_MORE.search(text):
        why = f"ends on {text[-1]!r}"
    elif any(_count(text, opens) != _count(text, closes) for opens, closes in BRACKETS):
        why = "a bracket is missing"
    elif missing := next((o for o, c in SPANISH.items() if _count(text, o) > _count(text, c)), ""):
        why = f"{missing!r} has no {SPANISH[missing]!r}"
    return GateFinding.counted(why)


def _dangles(text: str, last: str, language: str) -> bool:
    dangling = forms(language).dangling
    if language == "en" and (WHOLE.search(text) or (text[-1] == "?" and last in STRANDED)):
        return False
    if language.startswith("zh"):
        # The last word by the dictionary may hold more than the one that dangles.
        found = any(len(word) > 1 and text.endswith(word) for word in dangling) or last in dangling
        found = found or CAUSED.search(text) is not None
        return found and not (text.endswith("的") and NOMINAL.search(text))
    return last in dangling


def _count(text: str, signs: str) -> int:
    return sum(map(text.count, signs))


def characters(
    text: str, *, latin: bool, extra: str = "", emoji: bool = False, language: str = ""
) -> GateFinding:
    """Anything but letters, digits and plain punctuation, or punctuation piled up.

    Args:
        text: what to look at.
        latin: whether the language is written in Latin letters alone.
        extra: further characters that are let through, where the channel or the brand wants them.
        emoji: whether the channel takes emoji, of which there may be three.
        language: whose spaces and signs are right.
    """
    shown = MARKED.sub("", text)
    if emoji:
        shown, there = EMOJI.subn("", shown)
        if there > MOST_EMOJI:
            return GateFinding(1.0, f"has {there} emoji; at most {MOST_EMOJI}")
    for character in shown:
        if character in LATIN_SIGNS or character in extra or character.isdecimal():
            continue
        if unicodedata.category(character) == "Sc" or (not latin and character in OTHER_SIGNS):
            continue
        letter = unicodedata.name(character, "").startswith("LATIN ")
        if not letter and (latin or not _writes(character)):
            return GateFinding(1.0, f"has {character!r}")
    bare = FRENCH_SPACE.sub("", shown) if language == "fr" else shown
    # What is left of an emoji is the space before it, and that is no mistake.
    piled = (PILED if latin else OTHER_PILED).search(bare.rstrip() if emoji else bare)
    return GateFinding.counted(f"has {piled[0]!r}" if piled else None)


def _writes(character: str) -> bool:
    """Returns whether the character is a letter, or a mark on one, in any script."""
    return unicodedata.category(character)[0] in "LM"


def telling(text: str, language: str = "en") -> list[str]:
    """Returns the stems of the words that carry what is said, where spaces part words."""
    small = forms(language).small
    return [stem(word) for word in words(text) if len(word) >= 3 and word not in small]


def stem(word: str) -> str:
    """Returns the word without the s of a plural."""
    return word.removesuffix("s") if len(word) > 3 else word


def repeats(text: str, language: str = "en") -> GateFinding:
    """The same telling word twice ("coffee without the coffee"); scores how many come again.

    Clauses may begin or end alike and differ in the rest: "Run light. Run long." Where there are no
    spaces, a word may come twice in a longer text, but not side by side.
    """
    if re.search(f"[{UNSPACED}{HANGUL}]", text):
        again = _again_unspaced(text)
    else:
        again = _again(text, language)
    return GateFinding(len(again), f"{again[0]!r} is there twice" if again else None)


def _again(text: str, language: str) -> list[str]:
    bare = IDIOM.sub(" ", text)
    for doubled in TWICE.finditer(bare):
        # After a comma both may stand: "für alle, die die Natur lieben".
        apart = bare[: doubled.start()].rstrip().endswith(",") or doubled[1].lower() in BOTH
        if doubled[1].lower() in forms(language).dangling and not apart:
            return [doubled[1].lower()]
    clauses = [[stem(word) for word in words(clause)] for clause in CLAUSES.findall(bare)]
    said = Counter(telling(bare, language))
    found = []
    for word, times in said.items():
        apart = _parallel(word, times, clauses) or _of_two(word, times, bare, language)
        if times > 1 and not apart:
            found += [word] * (times - 1)
    return found


def _parallel(word: str, times: int, clauses: Sequence[list[str]]) -> bool:
    """Returns whether clauses begin, or end, with the word and are different for the rest."""
    for place in (0, -1):
        rest = [
            tuple(w for w in clause if w != word)
            for clause in clauses
            if clause and clause[place] == word and clause.count(word) == 1
        ]
        if len(rest) == times and () not in rest and len(set(rest)) == times:
            return True
    return False


def _of_two(word: str, times: int, text: str, language: str) -> bool:
    """Returns whether the word goes with two different ones: "Real food for real people"."""
    small = forms(language).small
    pairs = [(stem(left), stem(right)) for left, right in pairwise(words(text))]
    after = {right for left, right in pairs if left == word and len(right) >= 3}
    before = {left for left, right in pairs if right == word and len(left) >= 3}
    told = (after - (small - NOUNS) - {word}, before - small - {word})
    return times == 2 and 2 in map(len, told)


def _again_unspaced(text: str) -> list[str]:
    doubled = DOUBLED.search(text) or CHANTED.search(text)
    if doubled:
        return [doubled[0]]
    clauses = [clause.strip() for clause in CLAUSES.findall(text) if len(clause.strip()) >= 2]
    found = [
        clause
        for place, clause in enumerate(clauses)
        for other in clauses[:place] + clauses[place + 1 :]
        if clause == other or (len(clause) >= 3 and clause in other)
    ]
    letters = len(re.findall(f"[{HAN}{KANA}{HANGUL}]", text))
    bare = COUNTED.sub(" ", text)
    for word, times in Counter(word for word in words(bare) if len(word) >= 2).items():
        ends = sum(clause.startswith(word) or clause.endswith(word) for clause in clauses)
        close = 2 * len(word) >= MOST_SHARE * letters and ends < times
        if times >= 3 or (times == 2 and close):
            found.append(word)
    side = (left for left, right in pairwise(words(text)) if left == right and len(left) >= 2)
    found += [word for word in side if not ONE_BY_ONE.match(word) and not word[0].isdigit()]
    return found
