"""Ads in a plain table, for spreadsheets: a row an ad, a column a part.

The columns `id`, `status`, `final_url`, `display_path_1`, `display_path_2`, `call_to_action`,
`image`, `impressions`, `clicks` and `pin:PART` are what they say; `part:NAME`, and the name of any
channel's part, are texts; other columns are kept beside the ad.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, get_args

from generator.brief.channels import channel_names, load_channel
from generator.platforms.ads import Ad, AdsFile, AdStatus, RowError, cell, made_ad, read_rows, whole
from generator.platforms.tables import canonical, read_table, written_table

PART: Final = "part:"
PIN: Final = "pin:"
BOOKED: Final = "beside:"
PATHS: Final = ("display_path_1", "display_path_2")
GOOGLE_ONLY: Final = re.compile(r"path[12]|ad(type|status|state)|\w+\d+position|removed")
OWN: Final = (
    *("id", "status", "final_url", *PATHS, "call_to_action", "image", "impressions", "clicks"),
)


@cache
def part_names() -> frozenset[str]:
    """Returns the names of all channels' parts, and `headline` and `text`, which need none.

    >>> "headline_15" in part_names()
    True
    """
    found = {"headline", "text"}
    for channel in map(load_channel, channel_names()):
        for asset in channel.assets:
            numbered = range(1, asset.most + 1)
            found |= {asset.name, *(f"{asset.name}_{n}" for n in numbered)}
    return frozenset(found)


def is_header(names: frozenset[str]) -> bool:
    """Returns whether these are columns of such a table, by their canonical names."""
    texts = {canonical(name) for name in part_names()}
    return any(name in texts or name.startswith(PART) for name in names)


def is_own_header(names: frozenset[str]) -> bool:
    """Returns whether these are columns as `write` names them, to the letter.

    What is exported from a catalogue has `id` and `status`. Without these a table may be written by
    hand, and is ours unless it has columns that only Google knows.
    """
    if not any(name in part_names() or name.startswith(PART) for name in names):
        return False
    return {"id", "status"} <= names or not any(map(GOOGLE_ONLY.fullmatch, map(canonical, names)))


def read(path: Path, text: str) -> AdsFile:
    """Returns the ads in a table.

    Raises:
        AdsFileError: it cannot be read, or rows of it cannot.
    """
    expected = "a column of texts, such as headline or part:NAME"
    table = read_table(path, text, is_header, expected)
    return AdsFile(read_rows(str(path), table.rows, _ad))


def _ad(row: dict[str, str]) -> Ad:
    parts: dict[str, str] = {}
    pins: dict[str, int] = {}
    booked: dict[str, str] = {}
    own: dict[str, str] = {}
    for column, text in row.items():
        if cell(text) is None:
            continue
        name = column.casefold().replace(" ", "_")
        if column.startswith(PART):
            parts[column.removeprefix(PART)] = text
        elif column.startswith(PIN):
            pins[column.removeprefix(PIN)] = _position(column, text)
        elif column.startswith(BOOKED):
            booked[column.removeprefix(BOOKED)] = text
        elif name in OWN:
            own[name] = text
        elif name in part_names():
            parts[name] = text
        else:
            booked[column] = text
    return made_ad(
        parts=parts,
        ad={
            "final_url": own.get("final_url"),
            "display_path": [own[name] for name in PATHS if name in own],
            "call_to_action": own.get("call_to_action"),
            "image": own.get("image"),
            "pins": pins,
            "booked": booked,
        },
        id=own.get("id"),
        status=_status(own.get("status", "live")),
        impressions=whole(own.get("impressions", ""), "impressions"),
        clicks=whole(own.get("clicks", ""), "clicks"),
    )


def _position(column: str, text: str) -> int:
    found = whole(text, column)
    if found is None or not 1 <= found <= 9:
        raise RowError(f"{column} is {text!r}; expected a position from 1")
    return found


def _status(said: str) -> AdStatus:
    known: dict[str, AdStatus] = {name: name for name in get_args(AdStatus)}
    known |= {"enabled": "live", "active": "live"}
    status = known.get(said.strip().casefold())
    if status is None:
        raise RowError(f"status is {said!r}; expected one of {', '.join(known)}")
    return status


def problem(ad: Ad) -> str | None:
    """Returns why the ad cannot be written so, None if it can."""
    names = [*ad.parts, *ad.ad.pins, *ad.ad.booked]
    spaced = [name for name in names if name != name.strip()]
    if spaced:
        return f"{spaced[0]!r} begins or ends with a space, which no column's name does"
    if len(ad.ad.display_path) > len(PATHS):
        return f"it has {len(ad.ad.display_path)} display paths; {len(PATHS)} at most"
    return None


def write(ads: Sequence[Ad], *, encoding: str | None = None, guard: bool = True) -> bytes:
    """Returns the ads as a table, UTF-8 with a byte-order mark unless told otherwise."""
    rows = [dict(_cells(ad)) for ad in ads]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns.sort(key=lambda column: OWN.index(column) if column in OWN else len(OWN))
    return written_table(columns, rows, encoding=encoding or "utf-8-sig", guard=guard)


def _cells(ad: Ad) -> Iterator[tuple[str, str]]:
    own: Mapping[str, str | int | None] = {
        "id": ad.id,
        "status": ad.status,
        "final_url": ad.ad.final_url,
        **dict(zip(PATHS, ad.ad.display_path, strict=False)),
        "call_to_action": ad.ad.call_to_action,
        "image": ad.ad.image,
        "impressions": ad.impressions,
        "clicks": ad.clicks,
    }
    for name, value in own.items():
        if value is not None:
            yield name, str(value)
    for part, text in ad.parts.items():
        yield part if part in part_names() else PART + part, text
    for part, position in ad.ad.pins.items():
        yield PIN + part, str(position)
    for column, text in ad.ad.booked.items():
        taken = column.casefold().replace(" ", "_")
        plain = taken not in OWN and taken not in part_names() and ":" not in column
        yield column if plain else BOOKED + column, text
