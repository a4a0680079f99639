"""Creatives in copyloop's own JSON, with everything that the catalogue has of them.

A file is an array of them, or an object that has one: a page of the API (`items`), or what
`copyloop generate --format json` prints (`accepted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw

from generator.errors import AdsFileError
from generator.platforms.ads import Ad, AdsFile, RowError, read_rows

LISTS: Final = ("creatives", "items", "accepted")
OTHERS: Final = frozenset({"type", "v", "placement", "timestamp_ms", "etag"})
"""Fields of the catalogue and of the API that say nothing of the ad."""


def read(path: Path, text: str) -> AdsFile:
    """Returns the creatives in a file.

    Raises:
        AdsFileError: it cannot be read, or creatives of it cannot; each is named by its number.
    """
    try:
        content = msgspec.json.decode(text, type=list[Raw] | dict[str, Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise AdsFileError(f"{path}: not an array of creatives: {error}") from error
    if isinstance(content, dict):
        name = next((name for name in LISTS if name in content), None)
        if name is None:
            raise AdsFileError(
                f"{path}: has {', '.join(content) or 'nothing'}; expected an array of creatives, "
                f"or an object with one as {' or '.join(LISTS)}"
            )
        try:
            content = msgspec.json.decode(content[name], type=list[Raw])
        except msgspec.DecodeError as error:
            raise AdsFileError(f"{path}: {name}: {error}") from error
    return AdsFile(read_rows(str(path), enumerate(content, 1), read_creative))


def read_creative(data: Raw) -> Ad:
    """Returns the creative in one JSON object.

    Raises:
        RowError: it is none.
    """
    try:
        fields = msgspec.json.decode(data, type=dict[str, Raw])
        unknown = sorted(set(fields) - OTHERS - set(Ad.__struct_fields__))
        if unknown:
            raise RowError(f"{unknown[0]}: there is no such field")
        # A null is nothing, as over HTTP.
        given = {name: value for name, value in fields.items() if bytes(value) != b"null"}
        # What is laid out for people is kept as the log keeps it.
        compact = msgspec.json.format(msgspec.json.encode(given), indent=-1)
        return msgspec.json.decode(compact, type=Ad)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RowError(str(error).replace("`$.", "`")) from error


def problem(ad: Ad) -> str | None:
    """Returns None: every ad can be written so."""
    return None


def write(ads: Sequence[Ad], *, encoding: str | None = None, guard: bool = True) -> bytes:
    """Returns the ads as indented JSON; no spreadsheet runs it, so nothing is guarded."""
    data = msgspec.json.format(msgspec.json.encode(ads), indent=2)
    return (data.decode() + "\n").encode(encoding or "utf-8")
