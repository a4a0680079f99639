"""Responsive search ads as Google Ads Editor exports and imports them: a row an ad.

Columns: https://support.google.com/google-ads/editor/answer/57747 (headers in English, whatever
their case and spaces; `[]` erases), and for headlines, positions and paths
https://support.google.com/google-ads/answer/7684791. Editor exports UTF-16 separated by tabs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Final

from generator.brief.channels import load_channel
from generator.platforms.ads import (
    Ad,
    AdsFile,
    AdStatus,
    RowError,
    cell,
    in_numbers,
    made_ad,
    read_rows,
    whole,
)
from generator.platforms.tables import Table, canonical, read_table, written_table

CHANNEL: Final = "google_rsa"
ERASED: Final = "[]"
AD_TYPE: Final = "Responsive search ad"
PIECES: Final = (("headline", "Headline", 15, 3), ("description", "Description", 4, 2))
"""A part's name, its column, how many there are, and at how many positions they may be pinned."""
STATUSES: Final[Mapping[str, AdStatus]] = {
    "enabled": "live",
    "active": "live",
    "": "live",
    "paused": "paused",
}
WRITTEN: Final = {"live": "Enabled", "paused": "Paused"}
IMPRESSIONS: Final = ("impressions", "impr.")
"""Of these the first that is there is read."""
STATUS: Final = ("status", "adstatus", "adstate")
RESULTS: Final = re.compile(
    r"impr|clicks|ctr|cost|cpc|cpm|conv|interaction|currency|day|week|month|quarter|year|date|"
    r"strength|approv|policy|quality|share|position\(|top%|value/|^id$|viewed"
)
"""Of these a column speaks of results or of a time; beside a booking they say nothing lasting."""


def is_header(names: frozenset[str]) -> bool:
    """Returns whether these are columns of such a file, by their canonical names."""
    return {"headline1", "headline2"} <= names


def read(path: Path, text: str) -> AdsFile:
    """Returns the responsive search ads in a file; rows of anything else are counted.

    Raises:
        AdsFileError: it cannot be read, or rows of it cannot.
    """
    table = read_table(path, text, is_header, "Headline 1 and Headline 2")
    columns = {canonical(column): column for column in table.columns}
    skipped: Counter[str] = Counter()

    def made(row: dict[str, str]) -> Ad | None:
        by_name = {name: row[column] for name, column in columns.items()}
        kind = _not_an_ad(by_name)
        if kind is not None:
            skipped[kind] += 1
            return None
        return _ad(row, by_name, columns)

    ads = read_rows(str(path), table.rows, made)
    return AdsFile(ads, skipped, _left_out(table))


def _not_an_ad(row: Mapping[str, str]) -> str | None:
    """Returns what a row is where it is no responsive search ad that may be shown."""
    kind = row.get("adtype", "").strip()
    if kind and canonical(kind) not in ("responsivesearchad", "rsa"):
        return f"other kinds of ads ({kind})"
    if not kind and not any(row.get(f"headline{n}", "").strip() for n in range(1, 16)):
        return "rows without headlines (campaigns, ad groups, keywords, sums)"
    status = next((row[name] for name in STATUS if name in row), "").strip().casefold()
    if status.startswith("total"):
        return "sums"
    return "removed ads" if status in ("removed", "deleted") else None


def _ad(row: Mapping[str, str], by_name: Mapping[str, str], columns: Mapping[str, str]) -> Ad:
    parts, pins = _texts(by_name)
    if not parts:
        raise RowError("has no headline and no description")
    paths = [_cell(by_name.get(f"path{n}", "")) for n in (1, 2)]
    if paths[0] is None and paths[1] is not None:
        raise RowError(f"Path 2 is {paths[1]!r} without a Path 1; move it there")
    booked = {
        column: row[column]
        for name, column in columns.items()
        if not _is_own(name) and row[column].strip()
    }
    return made_ad(
        parts=parts,
        ad={
            "final_url": _cell(by_name.get("finalurl", "").strip()),
            "display_path": [path for path in paths if path is not None],
            "pins": pins,
            "booked": booked,
        },
        status=_status(by_name),
        impressions=whole(by_name.get(_impressions(by_name) or "", ""), "Impressions"),
        clicks=whole(by_name.get("clicks", ""), "Clicks"),
    )


def _impressions(names: Container[str]) -> str | None:
    return next((name for name in IMPRESSIONS if name in names), None)


def _texts(row: Mapping[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """Returns a row's texts and pins by part."""
    parts, pins = {}, {}
    for part, column, most, positions in PIECES:
        for number in range(1, most + 1):
            text = _cell(row.get(f"{column}{number}".casefold(), ""))
            pin = row.get(f"{column}{number}position".casefold(), "").strip()
            if text is None:
                continue
            parts[f"{part}_{number}"] = text
            if pin in ("", "-", "--", ERASED):
                continue
            if pin not in [str(n) for n in range(1, positions + 1)]:
                raise RowError(
                    f"{column} {number} position is {pin!r}; expected 1 to {positions}, or nothing"
                )
            pins[f"{part}_{number}"] = int(pin)
    return parts, pins


def _status(row: Mapping[str, str]) -> AdStatus:
    said = next((row[name] for name in STATUS if name in row), "").strip()
    status = STATUSES.get(said.casefold())
    if status is None:
        raise RowError(f"Status is {said!r}; expected Enabled, Paused or Removed")
    return status


def _cell(text: str) -> str | None:
    """Returns a cell's text, None for one that is blank, or erases, or says that there is none."""
    return None if text.strip() in (ERASED, "--") else cell(text)


def _is_read(name: str) -> bool:
    pieces = "|".join(column for _, column, _, _ in PIECES).casefold()
    own = rf"({pieces})\d+(position)?|path[12]|finalurl|adtype|impressions|clicks"
    return name in STATUS or re.fullmatch(own, name) is not None


def _is_own(name: str) -> bool:
    return _is_read(name) or RESULTS.search(name) is not None


def _left_out(table: Table) -> tuple[str, ...]:
    names = {canonical(column): column for column in table.columns}
    read = {name for name in names if _is_read(name) and name not in IMPRESSIONS}
    read.add(_impressions(names) or "")
    return tuple(
        column for name, column in names.items() if RESULTS.search(name) and name not in read
    )


def problem(ad: Ad) -> str | None:
    """Returns why a responsive search ad cannot be written for this, None if it can."""
    channel = load_channel(CHANNEL)
    known = {f"{part}_{n}" for part, _, most, _ in PIECES for n in range(1, most + 1)}
    for part, text in ad.parts.items():
        asset = channel.asset_of(part)
        if part not in known or asset is None:
            return (
                f"part {part!r} has no column; a responsive search ad has headline_1 to "
                "headline_15 and description_1 to description_4"
            )
        if channel.units(_shown(text)) > asset.max_units:
            return f"{part} has {channel.units(_shown(text))} characters; {asset.max_units} at most"
    for part, _, _, _ in PIECES:
        least = next(asset.least for asset in channel.assets if asset.name == part)
        count = sum(name.startswith(f"{part}_") for name in ad.parts)
        if count < least:
            return f"it has {count} of {part}; {least} at least"
    return _details_problem(ad)


def _details_problem(ad: Ad) -> str | None:
    unknown = sorted(set(ad.ad.pins) - set(ad.parts))
    if unknown:
        return f"{unknown[0]} is pinned and has no text"
    if ad.ad.final_url is None:
        return "it has no final_url, which a search ad must have"
    named = [canonical(column) for column in ad.ad.booked]
    taken = [column for column in ad.ad.booked if _is_own(canonical(column))]
    if taken or len(set(named)) < len(named):
        return f"column {(taken or named)[0]!r} beside it is one of the file's own; rename it"
    every = (*ad.parts.values(), *ad.ad.display_path)
    if any(text.strip() in (ERASED, "--") for text in every):
        return f"it has a text that is {ERASED} or --, which is no text to Google"
    return load_channel(CHANNEL).problem_with(ad.ad)


# Insertions count as the text that stands in for them ({KeyWord:Shoes}), functions as nothing.
_INSERTED: Final = re.compile(r"\{(?:keyword|location\(\w+\)|customizer\.[^:}]+):([^}]*)\}", re.I)
_FUNCTION: Final = re.compile(r"\{(?:countdown|location|if|=)[^}]*\}", re.I)


def _shown(text: str) -> str:
    """Returns what a text is counted as.

    >>> _shown("{KeyWord:Running Shoes} on Sale")
    'Running Shoes on Sale'
    """
    return _FUNCTION.sub("", _INSERTED.sub(lambda found: found[1], text))


def write(ads: Sequence[Ad], *, encoding: str | None = None, guard: bool = True) -> bytes:
    """Returns the ads as Editor imports them: UTF-16 with tabs, or commas in another encoding."""
    booked = dict.fromkeys(column for ad in ads for column in ad.ad.booked)
    front = [column for column in booked if canonical(column) in ("campaign", "adgroup")]
    columns = front or ["Campaign", "Ad Group"]
    columns += [column for column in booked if column not in columns]
    columns += ["Ad type", *(f"{c} {n}" for _, c, most, _ in PIECES for n in range(1, most + 1))]
    columns += [f"{c} {n} position" for _, c, most, _ in PIECES for n in range(1, most + 1)]
    columns += ["Path 1", "Path 2", "Final URL", "Status"]
    return written_table(
        columns,
        map(_row, ads),
        delimiter="\t" if encoding is None else ",",
        encoding=encoding or "utf-16",
        guard=guard,
    )


def _row(ad: Ad) -> dict[str, str]:
    row = {**ad.ad.booked, "Ad type": AD_TYPE, "Status": WRITTEN[ad.status]}
    for part, column, most, _ in PIECES:
        for number, text in enumerate(in_numbers(ad.parts, part, most), 1):
            pin = ad.ad.pins.get(f"{part}_{number}")
            row[f"{column} {number}"] = text
            row[f"{column} {number} position"] = "" if pin is None else str(pin)
    paths = [*ad.ad.display_path, "", ""]
    return row | {"Path 1": paths[0], "Path 2": paths[1], "Final URL": ad.ad.final_url or ""}
