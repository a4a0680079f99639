"""Ads as Meta's Ads Manager exports them and takes them in bulk: a row an ad.

Columns are those of the sheet that Ads Manager exports for import (Title, Body, Link Description,
Display Link, Link, Call to Action, Image File Name, Image Hash, Ad Status, Campaign, Ad Set and Ad
Name): https://www.facebook.com/business/help/1677250585915217. The names of buttons are those of
https://developers.facebook.com/docs/marketing-api/reference/ad-creative-link-data-call-to-action/.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from generator.brief.channels import load_channel
from generator.platforms.ads import Ad, AdsFile, AdStatus, RowError, cell, made_ad, read_rows, whole
from generator.platforms.tables import canonical, read_table, written_table

CHANNEL: Final = "meta"
PIECES: Final = {"primary_text": "Body", "headline": "Title", "description": "Link Description"}
"""The column of each part."""
NAMES: Final = {canonical(column): part for part, column in PIECES.items()}
IMAGE: Final = ("Image File Name", "Image Hash")
"""A picture is named by its file where it is uploaded with the sheet, else by Meta's hash."""
STATUSES: Final[Mapping[str, AdStatus]] = {"active": "live", "": "live", "paused": "paused"}
WRITTEN: Final = {"live": "ACTIVE", "paused": "PAUSED"}
HASH: Final = re.compile(r"[0-9a-f]{32}")
RESULTS: Final = re.compile(
    r"^(impressions|clicks|linkclicks|results?|reach|frequency|amountspent.*|costper.*|cpc.*|cpm.*|"
    r"ctr.*|reporting(starts|ends)|delivery|attributionsetting|qualityranking|.*rateranking|day|"
    r"ends|starts)$|\(all\)$"
)
CLICKS: Final = ("linkclicks", "clicks", "clicks(all)")
"""Of these the first that is there is read."""
READ: Final = frozenset(
    {*NAMES, "displaylink", "link", "calltoaction", "adstatus", "imagefilename", "imagehash"}
    | {"impressions", *CLICKS}
)


def is_header(names: frozenset[str]) -> bool:
    """Returns whether these are columns of such a sheet, by their canonical names."""
    return "body" in names and bool(names & {"title", "adname", "linkdescription"})


def read(path: Path, text: str) -> AdsFile:
    """Returns the ads in a sheet; rows without a text (campaigns, ad sets) are counted.

    Raises:
        AdsFileError: it cannot be read, or rows of it cannot.
    """
    table = read_table(path, text, is_header, "Title and Body")
    columns = {canonical(column): column for column in table.columns}
    skipped: Counter[str] = Counter()

    def made(row: dict[str, str]) -> Ad | None:
        by_name = {name: row[column] for name, column in columns.items()}
        if not any(by_name.get(name, "").strip() for name in NAMES):
            skipped["rows without a text (campaigns, ad sets, posts that are there already)"] += 1
            return None
        if by_name.get("adstatus", "").strip().casefold() in ("archived", "deleted"):
            skipped["archived ads"] += 1
            return None
        booked = {
            column: row[column]
            for name, column in columns.items()
            if name not in READ and not RESULTS.search(name) and row[column].strip()
        }
        return _ad(by_name, booked)

    ads = read_rows(str(path), table.rows, made)
    unread = set([name for name in CLICKS if name in columns][1:])
    left = [c for n, c in columns.items() if RESULTS.search(n) and (n not in READ or n in unread)]
    return AdsFile(ads, skipped, tuple(left))


def _ad(row: Mapping[str, str], booked: Mapping[str, str]) -> Ad:
    said = row.get("adstatus", "").strip()
    status = STATUSES.get(said.casefold())
    if status is None:
        raise RowError(f"Ad Status is {said!r}; expected ACTIVE, PAUSED, ARCHIVED or DELETED")
    button = cell(row.get("calltoaction", ""))
    link, shown = cell(row.get("link", "")), cell(row.get("displaylink", ""))
    # Of two clicks columns, the one of links is what a click leads somewhere by.
    clicks = next((row[n] for n in CLICKS if n in row), "")
    return made_ad(
        parts={part: text for n, part in NAMES.items() if (text := cell(row.get(n, "")))},
        ad={
            "final_url": None if link is None else link.strip(),
            "display_path": [] if shown is None else [shown],
            "call_to_action": None if button is None else button.strip().upper().replace(" ", "_"),
            "image": cell(row.get("imagefilename", "")) or cell(row.get("imagehash", "")),
            "booked": booked,
        },
        status=status,
        impressions=whole(row.get("impressions", ""), "Impressions"),
        clicks=whole(clicks, "Clicks"),
    )


def problem(ad: Ad) -> str | None:
    """Returns why the ad cannot be written for this, None if it can."""
    for part in ad.parts:
        if part not in PIECES:
            return f"part {part!r} has no column; a Meta ad has {', '.join(PIECES)}"
    named = [canonical(column) for column in ad.ad.booked]
    taken = [c for c in ad.ad.booked if canonical(c) in READ or RESULTS.search(canonical(c))]
    if taken or len(set(named)) < len(named):
        return f"column {(taken or named)[0]!r} beside it is one of the sheet's own; rename it"
    return load_channel(CHANNEL).problem_with(ad.ad)


def write(ads: Sequence[Ad], *, encoding: str | None = None, guard: bool = True) -> bytes:
    """Returns the ads as Ads Manager takes them: UTF-8 with a mark and commas, unless told."""
    columns = list(dict.fromkeys(column for ad in ads for column in ad.ad.booked))
    columns += ["Ad Status", *PIECES.values(), "Display Link", "Link", "Call to Action", *IMAGE]
    rows = map(_row, ads)
    return written_table(columns, rows, encoding=encoding or "utf-8-sig", guard=guard)


def _row(ad: Ad) -> dict[str, str]:
    row = {**ad.ad.booked, "Ad Status": WRITTEN[ad.status]}
    row |= {PIECES[part]: text for part, text in ad.parts.items()}
    picture = ad.ad.image or ""
    row[IMAGE[1] if HASH.fullmatch(picture) else IMAGE[0]] = picture
    return row | {
        "Display Link": ad.ad.display_path[0] if ad.ad.display_path else "",
        "Link": ad.ad.final_url or "",
        "Call to Action": ad.ad.call_to_action or "",
    }
