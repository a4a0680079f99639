"""Reads the figures of a text with what they count, in any language, to hold them to the brief.

A figure is a value with its kind: 198 g is neither 198 euros nor 198 runners. Discounts come in
many spellings (5折, 半额, "zum halben Preis", 2x1), which are the same figure.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import yaml
from msgspec import Struct

from bandit.features.reading import simplified
from generator.screening.gates import GateFinding
from generator.screening.gates.dates import without_known

FILE: Final = Path(__file__).parent / "figures.yaml"
HAN_DIGITS: Final = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
HAN_PLACES: Final = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000,
                      "億": 100_000_000}  # fmt: skip
HAN_NUMBER: Final = "[零〇一二两三四五六七八九十百千万亿億]+"
IDIOMS: Final = frozenset((0, 1, 2, 3))
"""Small spelled numbers that claim nothing by themselves: a weekend for two, one more page."""
IDLE_KINDS: Final = ("", "people", "nights")
LOOSE: Final = ("people", "stars")
"""Kinds that back a bare number: "Free for 5" where the brief says "free for 5 users"."""
RANGE: Final = re.compile(r"\s*(?:[-–—~〜至到]|to|bis|a|y|and|und|et)\s*")
CLOCK: Final = re.compile(r"(?<!\d)(\d{1,2})[:h](\d{2})(?!\d)|(\d{1,2}) to (\d{1,2}) h\b")
EVENING: Final = re.compile(r"(?:晚上?|下午|夜里?|午后|午後|오후|저녁|밤)\s*$")
TENTHS: Final = "([二三四五六七八九])成(?:([一二三四五六七八九])|(?![为就长本功套双群都员年熟]))"
PER: Final = re.compile(
    r"\s?(?:/|(?:im|am|pro|per|an?|each|every|je|par|al|por)\s)\s?([a-z]+|[月年天周日월년일주])"
)
PERIODS: Final = {"月": "个月", "日": "天", "월": "개월"}
UNSPACED: Final = ("ja", "ko", "zh")
PLACED: Final = re.compile(
    r"(?<![\d.,])\d[\d,.]*[억億亿만万萬](?:\s?\d+[천千]?(?![\d.,]*[억億亿만万萬百백]))(?=\s?[원円元块])"
)
ATTRIBUTE: Final = re.compile(r"[\s_(]([^\W\d_]+|%)\)?:? (\d[\d.,]*)$")


class Unit(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of what a number counts; `factor` is how many of its kind's unit one is."""

    kind: str
    factor: float
    names: tuple[str, ...]
    currency: str = ""


class Deal(Struct, frozen=True, forbid_unknown_fields=True):
    """How a text says that one gets some things for the price of fewer.

    `more`: the second number is how many come on top; `total`: it is how many there are in all.
    """

    pattern: str
    more: bool = False
    total: bool = False


class FigureWords(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of names."""

    units: tuple[Unit, ...]
    large: dict[str, int]
    spelled: dict[str, dict[str, int]]
    halves: tuple[str, ...]
    deals: tuple[Deal, ...]
    bogo: str
    second: str
    vague: tuple[str, ...]
    idle: str
    taken_off: str
    only: dict[str, str]


class Figure(NamedTuple):
    """A number as it is meant.

    Attributes:
        value: in the unit of its kind: seconds, grams, metres, litres, or as it stands.
        unit: its kind; `%`, `money`, `time`, … or nothing.
        said: as the text has it.
        currency: of money, where the text says it.
        off: whether it is taken off a price.
        idiom: whether it is a small word that claims nothing by itself.
        per: the time that money is paid for, where the text says it.
    """

    value: float
    unit: str
    said: str
    currency: str = ""
    off: bool = False
    idiom: bool = False
    per: str = ""


class _Grammar(NamedTuple):
    """The file, ready to be looked for."""

    units: dict[str, Unit]
    number: re.Pattern[str]
    spelled: re.Pattern[str]
    words: dict[str, int]
    large: dict[str, int]
    deals: tuple[tuple[re.Pattern[str], Deal], ...]
    wholes: tuple[tuple[str, re.Pattern[str]], ...]
    off: re.Pattern[str]


# The file comes with the package and does not change.
@cache
def _names() -> FigureWords:
    return msgspec.convert(yaml.safe_load(FILE.read_text(encoding="utf-8")), FigureWords)


@cache
def _grammar(language: str) -> _Grammar:
    names = _names()
    units = {
        name: unit
        for unit in names.units
        for name in unit.names
        if language in names.only.get(name, language)
    }
    unit = "|".join(_bounded(name) for name in sorted(units, key=len, reverse=True))
    large = "|".join(_bounded(name) for name in sorted(names.large, key=len, reverse=True))
    words = names.spelled.get(language, {})
    word = "|".join(sorted(words, key=len, reverse=True)) or "(?!)"
    group = "[.,']" if language in ("en", "zh", "ja", "ko") else "[ .,']"
    digits = rf"\d{{1,3}}(?:{group}\d{{3}})+(?:[.,]\d{{1,2}})?(?!\d)|\d+(?:[.,]\d+)*"
    after = rf"(?:[ -]?(?P<large>(?:{large})+)\.?)?(?:[ -]?(?:de |d')?(?P<unit>{unit}))?"
    number = rf"(?P<before>[€$£¥₩#]|(?<![\w%])-(?=\d)|(?<!\w)rmb)?\s?(?P<digits>{digits}){after}"
    ending = "(?![^\\W\\d_])" if language != "ko" else ""
    either = rf"(?:{HAN_NUMBER})" if language in ("zh", "ja") else rf"(?<!\w)(?:{word}){ending}"
    number_of_deal = rf"(\d+|{HAN_NUMBER}|{_unit_words(words)})"
    deals = tuple(
        (re.compile(deal.pattern.replace("{n}", number_of_deal)), deal) for deal in names.deals
    )
    wholes = (("half", _any_of(names.halves)), ("bogo", _any_of([names.bogo])))
    return _Grammar(
        units,
        re.compile(number),
        re.compile(rf"(?P<digits>{either}(?:[ -](?:y |et |and )?(?:{word}))*){after}"),
        words,
        names.large,
        deals,
        (*wholes, ("second", _any_of([names.second])), ("vague", _any_of(names.vague))),
        _any_of([names.taken_off]),
    )


def _unit_words(words: dict[str, int]) -> str:
    ones = "one|eins|eine[mnr]?|uno?|una|une?"
    return "|".join([ones, *(word for word, value in words.items() if value < 10)])


def _bounded(name: str) -> str:
    return re.escape(name) + (r"(?![a-z])" if name[-1].isascii() and name[-1].isalpha() else "")


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    latin = r"(?<![a-z])(?:{})(?![a-z])"
    return re.compile("|".join(latin.format(pattern) for pattern in patterns))


@lru_cache(maxsize=2048)
def read_figures(text: str, language: str = "en") -> tuple[Figure, ...]:
    """Returns the figures in a text, in digits or spelled.

    >>> [(f.value, f.unit) for f in read_figures("From €1,049, or ninety percent of it")]
    [(1049.0, 'money'), (90.0, '%')]
    >>> [(f.value, f.unit, f.off) for f in read_figures("周末5折，只要30万元", "zh")]
    [(50.0, '%', True), (300000.0, 'money', False)]
    """
    language = language.split("-")[0]
    grammar, plain = _grammar(language), _plain(text, language)
    plain = _any_of([_names().idle]).sub(_blank, plain)
    found: list[tuple[int, Figure]] = []
    for reader in (_clocks, _seconds, _discounts, _deals, _halves, _vague):
        figures = list(reader(plain, grammar))
        found += [(at[0], figure._replace(said=_shown(text, plain, at))) for at, figure in figures]
        for (start, end), _ in figures:
            plain = plain[:start] + "\0" * (end - start) + plain[end:]
    found += _numbers(plain, grammar)
    return tuple(figure for _, figure in sorted(found, key=lambda item: item[0]))


_Found = Iterator[tuple[tuple[int, int], Figure]]


def _shown(text: str, plain: str, at: tuple[int, int]) -> str:
    """Returns what stands there in the text as it was written, where it is as long as plain."""
    return (text if len(text) == len(plain) else plain)[slice(*at)]


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _plain(text: str, language: str) -> str:
    """Returns the text in lower case without accents, as the names are written."""
    parts = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    bare = unicodedata.normalize("NFC", "".join(c for c in parts if not "\u0300" <= c <= "\u036f"))
    known = simplified(bare) if language == "zh" else bare
    if language in UNSPACED:
        known = PLACED.sub(_in_digits, known)
    return re.sub("[−–](?=\\d)", "-", known.replace("’", "'").replace("\u202f", " "))


def _in_digits(match: re.Match[str]) -> str:
    """Returns a number that mixes digits and places (19만 8천) in digits alone."""
    places = _names().large
    parts = re.findall(r"(\d+(?:\.\d+)?)\s?([^\d\s]*)", match[0].replace(",", ""))
    total = sum(float(n) * math.prod(places[sign] for sign in place) for n, place in parts)
    return f"{total:.0f}"


def _clocks(plain: str, _: _Grammar) -> _Found:
    for match in CLOCK.finditer(plain):
        first, minutes, start, end = match.groups()
        for hour in (start, end) if start else (first,):
            yield match.span(), Figure(float(hour) + int(minutes or 0) / 60, "clock", match[0])


def _discounts(plain: str, _: _Grammar) -> _Found:
    """Reads tenths of a price that are left (8.8折) or taken off (2割引), and 满300减50."""
    for match in re.finditer(rf"(\d+(?:\.\d+)?|{HAN_NUMBER})\s?折", plain):
        left = _value(match[1])
        left = left * 10 if left < 10 else left
        yield match.span(), Figure(round(100 - left, 6), "%", match[0], off=True)
    for match in re.finditer(rf"(\d+|{HAN_NUMBER})割(?:引き?|オフ|off)?", plain):
        off = match[0][-1] != "割"
        yield match.span(), Figure(_value(match[1]) * 10, "%", match[0], off=off)
    for match in re.finditer(TENTHS, plain):
        tenths = _value(match[1]) * 10 + (_value(match[2]) if match[2] else 0)
        yield match.span(), Figure(tenths, "%", match[0])
    for match in re.finditer(r"满\s?(\d+)元?\s?(?:立|就|再)?[减送返]\s?(\d+)", plain):
        yield match.span(), Figure(float(match[2]), f"off from {match[1]}", match[0], off=True)
    for match in re.finditer(rf"百分之({HAN_NUMBER}|\d+)|百分百", plain):
        yield match.span(), Figure(_value(match[1]) if match[1] else 100.0, "%", match[0])


def _seconds(plain: str, grammar: _Grammar) -> _Found:
    for match in _names_of(plain, grammar, "second"):
        deal = re.sub("(?:5|五|50)折", "半价", match[0]).replace("二", "2")
        yield match.span(), Figure(2.0, f"deal on the second: {deal}", match[0], off=True)


def _deals(plain: str, grammar: _Grammar) -> _Found:
    for match in _names_of(plain, grammar, "bogo"):
        yield match.span(), Figure(2.0, "deal for 1", match[0], off=True)
    for pattern, deal in grammar.deals:
        for match in pattern.finditer(plain):
            first, second = (_small(number, grammar) for number in match.groups())
            got, paid = (first + second, first) if deal.more else (first, second)
            got, paid = (second, first) if deal.total else (got, paid)
            if got > paid > 0:
                yield match.span(), Figure(float(got), f"deal for {paid:g}", match[0], off=True)


def _names_of(plain: str, grammar: _Grammar, name: str) -> Iterator[re.Match[str]]:
    return dict(grammar.wholes)[name].finditer(plain)


def _small(number: str, grammar: _Grammar) -> float:
    if number in grammar.words:
        return float(grammar.words[number])
    return _value(number) if number[0].isdigit() or number[0] in HAN_DIGITS else 1.0


def _halves(plain: str, grammar: _Grammar) -> _Found:
    for match in _names_of(plain, grammar, "half"):
        yield match.span(), Figure(50.0, "%", match[0], off=True)


def _vague(plain: str, grammar: _Grammar) -> _Found:
    for match in _names_of(plain, grammar, "vague"):
        yield match.span(), Figure(0.0, f"vague: {match[0]}", match[0])


def _numbers(plain: str, grammar: _Grammar) -> list[tuple[int, Figure]]:
    found = [
        (match, _figure(match, _value(match["digits"]), plain, grammar))
        for match in grammar.number.finditer(plain)
    ]
    taken = [range(match.start(), match.end()) for match, _ in found]
    for match in grammar.spelled.finditer(plain):
        value = _spelled(match["digits"], grammar)
        # Characters like 一 and 두 are parts of words, too: only with a unit is one a number.
        bare = not match["digits"].isascii() and not match["unit"]
        if value is not None and not bare and not any(match.start() in span for span in taken):
            found.append((match, _figure(match, value, plain, grammar, spelled=True)))
    found.sort(key=lambda item: item[0].start())
    for place, ((first, one), (second, other)) in enumerate(itertools.pairwise(found)):
        if not one.unit and RANGE.fullmatch(plain[first.end() : second.start()]):
            # "18-35 years": what stands after the second number counts for both.
            value = one.value * _factor(second["unit"], grammar)
            found[place] = (first, other._replace(value=value, said=one.said))
    return [(match.start(), figure) for match, figure in found]


def _figure(
    match: re.Match[str], value: float, plain: str, grammar: _Grammar, *, spelled: bool = False
) -> Figure:
    groups = match.groupdict()
    before, after = (groups.get("before") or "").strip(), groups["unit"] or ""
    for place in re.findall("|".join(sorted(grammar.large, key=len, reverse=True)),
                            groups["large"] or ""):  # fmt: skip
        value *= grammar.large[place]
    unit = grammar.units.get(after) or grammar.units.get(before)
    kind, currency = (unit.kind, unit.currency) if unit else ("", "")
    if before in ("¥", "rmb"):
        kind, currency = "money", ""
    if (
        kind == "clock"
        and value < 12
        and (after[0] == "p" or EVENING.search(plain[: match.start()]))
    ):
        value += 12
    close = plain[max(match.start() - 12, 0) : match.end() + 14]
    off = kind in ("%", "money") and (before == "-" or bool(grammar.off.search(close)))
    idiom = spelled and (value == 1 or (value in IDIOMS and kind in IDLE_KINDS))
    # A word apart may be no unit of it; percent signs and currencies always are.
    told = match[0].strip() if kind in ("%", "money") or " " not in match[0].strip() else ""
    counted = f"{groups['digits']} {groups['large']}" if groups["large"] else groups["digits"]
    told = told if told and not (spelled and match[0].isascii()) else counted
    per = _period(plain[match.end() :], grammar) if kind == "money" else ""
    return Figure(value * _factor(after, grammar), kind, told, currency, off, idiom, per)


def _period(after: str, grammar: _Grammar) -> str:
    """Returns the time that a price is for: what stands after it begins with "a month"."""
    found = PER.match(after)
    if found is None:
        return ""
    unit = grammar.units.get(PERIODS.get(found[1], found[1]))
    timed = unit is not None and unit.kind in ("time", "months", "nights")
    return f"{unit.factor:g} {unit.kind}" if unit and timed else ""


def _factor(unit: str | None, grammar: _Grammar) -> float:
    return grammar.units[unit].factor if unit else 1.0


def _value(number: str) -> float:
    """Reads a number: a separator before three digits groups, any other is the point."""
    if not number[0].isdigit():
        return float(_han(number))
    grouped = re.sub(r"[ .,'](?=\d{3}(?:\D|$))", "", number)
    whole, *rest = re.split(r"[.,]", grouped)
    return float(f"{whole}.{''.join(rest) or 0}")


def _han(number: str) -> int:
    """Reads Chinese digits, with places (二十五) or without (八八)."""
    if not set(number) & set(HAN_PLACES):
        return int("".join(str(HAN_DIGITS[c]) for c in number))
    total, section, digit = 0, 0, 0
    for character in number:
        place = HAN_PLACES.get(character)
        if place is None:
            digit = HAN_DIGITS[character]
        elif place < 10_000:
            section, digit = section + (digit or 1) * place, 0
        else:
            total, section, digit = (total + section + digit or 1) * place, 0, 0
    return total + section + digit


def _spelled(number: str, grammar: _Grammar) -> float | None:
    if number[0] in HAN_DIGITS or number[0] in HAN_PLACES:
        return float(_han(number))
    total, section = 0, 0
    words = re.split(r"[ -]+(?:y |et |and )?", number)
    if words[0] in ("hundred", "thousand"):
        return None
    for word in words:
        value = grammar.words.get(word)
        if value is None:
            return None
        if value >= 1000:
            total, section = total + max(section, 1) * value, 0
        elif value == 100 or (value == 20 and section == 4):
            section = max(section, 1) * value
        else:
            section += value
    return float(total + section)


def unbacked(text: str, sources: Iterable[str], language: str = "en") -> GateFinding:
    """A number or price that nothing in the brief says; scores how many there are.

    A number is backed by the same value of the same kind, however it is written. Spelled numbers
    up to three that count nothing in particular are taken for idiom.
    """
    lines = list(sources)
    known = [f for line in lines for f in (*read_figures(line, language), *_attribute(line))]
    if any("24/7" in line for line in lines):
        known += [Figure(86_400.0, "time", "24/7"), Figure(604_800.0, "time", "24/7")]
    if {86_400.0, 604_800.0} <= {figure.value for figure in known if figure.unit == "time"}:
        known += [Figure(24.0, "", "24/7"), Figure(7.0, "", "24/7")]
    told = language.split("-")[0]
    plain = _plain(text, told)
    rest = without_known(plain, [_plain(line, told) for line in lines], told)
    missing = [
        figure.said
        for figure in read_figures(text if rest == plain else rest, language)
        if not figure.idiom and not any(_backs(source, figure) for source in known)
    ]
    return GateFinding(len(missing), f"the brief does not say {missing[0]!r}" if missing else None)


def _attribute(line: str) -> list[Figure]:
    """Reads an attribute whose name ends on its unit: `weight_g 198`."""
    match = ATTRIBUTE.search(_plain(line, "en"))
    unit = _grammar("en").units.get(match[1]) if match else None
    if match is None or unit is None:
        return []
    return [Figure(_value(match[2]) * unit.factor, unit.kind, match[0], unit.currency)]


def _backs(source: Figure, figure: Figure) -> bool:
    close = abs(source.value - figure.value) <= 1e-6 * max(abs(source.value), 1.0)
    kind = source.unit == figure.unit or (not figure.unit and source.unit in LOOSE)
    currency = not source.currency or not figure.currency or source.currency == figure.currency
    period = not source.per or not figure.per or source.per == figure.per
    return close and kind and currency and period and (source.off or not figure.off)
