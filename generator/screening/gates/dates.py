"""Finds dates in a text, in figures or written out, so that one backs the other in any language.

Names of months are those of Unicode CLDR, without capitals and accents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

MONTHS: Final = (
    "jan(?:uary|uar|v|vier)?|enero|ene",
    "feb(?:ruary|ruar|rero)?|fevr?(?:ier)?",
    "mar(?:ch|z|zo|s)?|marz",
    "apr(?:il)?|abr(?:il)?|avr(?:il)?",
    "may|mai|mayo",
    "june?|juni|junio|juin",
    "july?|juli|julio|juil(?:let)?",
    "aug(?:ust)?|ago(?:sto)?|aout",
    "sept?(?:ember|iembre|embre)?",
    "oct(?:ober|ubre|obre)?|okt(?:ober)?",
    "nov(?:ember|iembre|embre)?",
    "dec(?:ember|embre)?|dez(?:ember)?|dic(?:iembre)?",
)
MONTH: Final = "|".join(f"(?P<m{i}>{name})" for i, name in enumerate(MONTHS, 1))
WRITTEN: Final = (
    re.compile(
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|\.)?[ -]?(?:de |of )?(?:{MONTH})(?!\w)\.?"
        r"(?:,? (?:del? )?(?P<year>\d{4})(?!\d))?"
    ),
    re.compile(
        rf"(?<!\w)(?:{MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\w)"
        r"(?:,? (?P<year>\d{4})(?!\d))?"
    ),
    re.compile(
        r"(?:(?P<year>\d{4})\s?[年년]\s?)?(?<!\d)(?P<month>\d{1,2})\s?[月월]\s?"
        r"(?P<day>\d{1,2})\s?[日号號일]"
    ),
)
BY_YEAR: Final = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?P<sign>[/.-])(\d{1,2})(?P=sign)(\d{1,2})(?!\d)"
)
IN_FIGURES: Final = re.compile(
    r"(?<![\d/.,$€£¥-])(\d{1,2})(?P<sign>[/.])(\d{1,2})"
    r"(?:(?P=sign)(?P<year>\d{4}|\d{2})|(?P=sign)?)(?!\s?[\d%€$£¥円元원])"
)
DAY_FIRST: Final = frozenset(("de", "es", "fr"))
EITHER: Final = frozenset(("en",))


class Date(NamedTuple):
    """A day, of a year where the text says one."""

    month: int
    day: int
    year: int | None = None


def read_dates(plain: str, language: str) -> Iterator[tuple[tuple[int, int], Date]]:
    """Yields where a date stands and each way to read it, in text without capitals and accents.

    >>> [date[:2] for _, date in read_dates("until november 30", "en")]
    [(11, 30)]
    >>> [date[:2] for _, date in read_dates("3/4", "en")]
    [(3, 4), (4, 3)]
    """
    for pattern in WRITTEN:
        for match in pattern.finditer(plain):
            groups = match.groupdict()
            month = groups.get("month") or next(i for i in range(1, 13) if groups[f"m{i}"])
            yield from _valid(match, int(month), int(match["day"]))
    for match in BY_YEAR.finditer(plain):
        yield from _valid(match, int(match[3]), int(match[4]))
    for match in IN_FIGURES.finditer(plain):
        first, second = int(match[1]), int(match[3])
        # A point parts a fraction as well, so it takes a year or a second point.
        if match["sign"] == "." and not (match["year"] or match[0][-1] == "."):
            continue
        if language not in DAY_FIRST:
            yield from _valid(match, first, second)
        if language in DAY_FIRST | EITHER:
            yield from _valid(match, second, first)


def _valid(match: re.Match[str], month: int, day: int) -> Iterator[tuple[tuple[int, int], Date]]:
    year = int(match["year"]) if match["year"] else None
    if year is not None and year < 100:
        year += 2000
    if 1 <= month <= 12 and 1 <= day <= 31:
        yield match.span(), Date(month, day, year)


def without_known(plain: str, sources: Iterable[str], language: str) -> str:
    """Returns a text with blanks for the dates that the sources say, too.

    A year that only the text says is not known; both are without capitals and accents.
    """
    known = {date for line in sources for _, date in read_dates(line, language)}
    known |= {date._replace(year=None) for date in known}
    for (start, end), date in list(read_dates(plain, language)):
        if date in known:
            plain = plain[:start] + " " * (end - start) + plain[end:]
    return plain
