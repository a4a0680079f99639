"""Headers that a platform wrote in another language than English, which nothing here reads.

Each word is how Google Ads, Ads Editor and Meta call a campaign in a language of theirs; hardly an
export is without that column. Editor itself takes only English headers:
https://support.google.com/google-ads/editor/answer/57747.
"""

from __future__ import annotations

import re
from typing import Final

from generator.platforms import plain

CAMPAIGN: Final = (
    *("kampagne", "campagne", "campaña", "campanha", "campagna", "kampania", "kampaň", "kampanj"),
    *("kampanje", "kampanja", "kampanya", "kampanye", "kampány", "kampanjat", "campanie"),
    *("кампания", "кампанія", "καμπάνια", "chiếndịch", "แคมเปญ", "अभियान", "الحملة", "קמפיין"),
    *("キャンペーン", "캠페인", "广告系列", "廣告活動", "推广系列"),
)
PIECES: Final = ("headline", "description", "path", "displaypath")
ENGLISH_ONLY: Final = (
    "its header is not in English, and only English headers are read; set the language of Google "
    "Ads Editor, of the Google Ads account or of Meta's Ads Manager to English and export again, "
    "or rename the columns (Campaign, Headline 1, Description 1, Final URL, Status)"
)
_NUMBERED: Final = re.compile(r"(.*\D)([12])")


def is_foreign(names: frozenset[str]) -> bool:
    """Returns whether these columns, by their canonical names, are of an export not in English.

    >>> is_foreign(frozenset({"kampagne", "anzeigentitel1", "anzeigentitel2"}))
    True
    >>> is_foreign(frozenset({"campaign", "headline1", "headline2"}))
    False
    """
    if len(names) < 3 or names & {"headline", "headline1"}:
        return False
    if not any(name.startswith(CAMPAIGN) for name in names):
        return False
    numbered = {found.groups() for name in names if (found := _NUMBERED.fullmatch(name))}
    pieces = {stem for stem, number in numbered if number == "1" and (stem, "2") in numbered}
    return bool(pieces - set(PIECES)) or not plain.is_header(names)
