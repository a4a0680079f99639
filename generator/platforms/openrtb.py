"""Ads as OpenRTB Native 1.2 asset responses, a JSON object on each line.

The object is the Native Markup Response of section 5 (5.1 response, 5.2 assets, 5.3 titles, 5.4
images, 5.5 data, 5.7 link) of
https://www.iab.com/wp-content/uploads/2018/03/OpenRTB-Native-Ads-Specification-Final-1.2.pdf; types
of data are those of its section 7.4, of images those of 7.5. What a bidder reads has room for one
title and two descriptions; the whole ad is in `ext.copyloop`, so that reading it loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct
from msgspec.structs import replace

from generator.errors import AdsFileError
from generator.platforms.ads import Ad, AdsFile, RowError, read_rows
from generator.platforms.own import read_creative
from streams.events import Lineage

VERSION: Final = "1.2"
SPONSORED, DESC, DESC2, DISPLAY_URL, CTA_TEXT = 1, 2, 10, 11, 12
MAIN_IMAGE: Final = 3
TITLES: Final = ("headline", "headline_1", "title", "subject", "title_1")
TEXTS: Final = (
    *("description", "description_1", "primary_text", "body", "introductory_text", "preheader"),
    *("long_headline", "long_headline_1", "text"),
)
SECOND_TEXTS: Final = ("description_2",)
SPONSORS: Final = ("business_name", "brand_name")
OURS: Final = "copyloop"


class _Length(Struct):
    len: int = 0


class _Data(Struct):
    type: int
    len: int = 0


class _Image(Struct):
    type: int = MAIN_IMAGE


class Wanted(Struct):
    """An asset that an exchange asks for (section 4.2); one of the last three is there."""

    id: int
    required: Annotated[int, Meta(ge=0, le=1)] = 0
    title: _Length | None = None
    data: _Data | None = None
    img: _Image | None = None


USUAL: Final = (
    Wanted(1, 1, title=_Length(140)),
    Wanted(2, data=_Data(DESC)),
    Wanted(3, data=_Data(DESC2)),
    Wanted(4, img=_Image()),
    Wanted(5, data=_Data(CTA_TEXT)),
    Wanted(6, data=_Data(SPONSORED)),
    Wanted(7, data=_Data(DISPLAY_URL)),
)
"""What is answered where no exchange has asked yet."""


class _Request(Struct):
    assets: list[Wanted]


def read_request(path: Path) -> list[Wanted]:
    """Returns what a Native request in a file asks for.

    Raises:
        AdsFileError: it cannot be read.
    """
    try:
        content = msgspec.json.decode(path.read_bytes())
        inner = content.get("native", content) if isinstance(content, dict) else content
        return msgspec.convert(inner, _Request).assets
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AdsFileError(f"{path}: no OpenRTB Native request: {error}") from error


def read(path: Path, text: str) -> AdsFile:
    """Returns the ads in a file of responses.

    Raises:
        AdsFileError: lines that cannot be read; each is named by its number.
    """
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return AdsFile(read_rows(str(path), lines, _read_response))


def _read_response(line: str) -> Ad:
    try:
        content = msgspec.json.decode(line, type=dict[str, Raw])
        if "native" in content:
            content = msgspec.json.decode(content["native"], type=dict[str, Raw])
        ext = msgspec.json.decode(content.get("ext", Raw(b"{}")), type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise RowError(f"no Native response: {error}") from error
    if OURS in ext:
        return read_creative(ext[OURS])
    return _of_assets({name: msgspec.json.decode(value) for name, value in content.items()})


def _of_assets(content: Mapping[str, Any]) -> Ad:
    """Returns the ad that the assets of somebody else's response make."""
    parts: dict[str, Any] = {}
    ad: dict[str, Any] = {"final_url": (content.get("link") or {}).get("url")}
    for asset in content.get("assets") or ():
        data = asset.get("data") or {}
        if "title" in asset:
            parts["headline"] = asset["title"].get("text")
        elif "img" in asset:
            ad["image"] = asset["img"].get("url")
        elif data.get("type") in (SPONSORED, DESC, DESC2):
            names = {SPONSORED: "brand_name", DESC: "description", DESC2: "description_2"}
            parts[names[data["type"]]] = data.get("value")
        elif data.get("type") == CTA_TEXT:
            ad["call_to_action"] = data.get("value")
    given = {name: value for name, value in ad.items() if value is not None}
    return read_creative(Raw(msgspec.json.encode({"parts": parts, "ad": given})))


def problem(ad: Ad, wanted: Sequence[Wanted] = USUAL) -> str | None:
    """Returns why the ad cannot answer what is asked for, None if it can."""
    if ad.ad.final_url is None:
        return "it has no final_url; a native ad links somewhere"
    for asset in wanted:
        found = _filled(ad, asset)
        if found is None and asset.required:
            return f"it has nothing for asset {asset.id}, which is required"
        text = found and (found.get("title", {}).get("text") or found.get("data", {}).get("value"))
        most = (asset.title or asset.data or _Length()).len
        if text and most and len(text) > most:
            return f"asset {asset.id} would have {len(text)} characters; {most} at most"
    return None


def write(
    ads: Sequence[Ad],
    *,
    encoding: str | None = None,
    guard: bool = True,
    wanted: Sequence[Wanted] = USUAL,
) -> bytes:
    """Returns a response a line; no spreadsheet runs JSON, so nothing is guarded."""
    lines = [msgspec.json.encode(_response(ad, wanted)).decode() + "\n" for ad in ads]
    return "".join(lines).encode(encoding or "utf-8")


def _response(ad: Ad, wanted: Sequence[Wanted]) -> dict[str, object]:
    return {
        "ver": VERSION,
        "assets": [found for asset in wanted if (found := _filled(ad, asset)) is not None],
        "link": {"url": ad.ad.final_url},
        # What policies read and where a text came from is nobody's business but ours.
        "ext": {OURS: replace(ad, features=UNSET, caps=UNSET, reason=None, lineage=Lineage())},
    }


def _filled(ad: Ad, asset: Wanted) -> dict[str, Any] | None:
    """Returns the asset with what the ad has for it, None if it has nothing."""
    if asset.title is not None:
        text = _first(ad, TITLES) or _first(ad, TEXTS)
        return text and {"id": asset.id, "title": {"text": text}}  # type: ignore[return-value]
    if asset.img is not None:
        picture = ad.ad.image or ""
        is_main = asset.img.type == MAIN_IMAGE and picture.startswith(("http://", "https://"))
        return {"id": asset.id, "img": {"type": MAIN_IMAGE, "url": picture}} if is_main else None
    kind = asset.data.type if asset.data is not None else 0
    shown = {
        SPONSORED: _first(ad, SPONSORS),
        DESC: _first(ad, TEXTS) if _first(ad, TITLES) else None,
        DESC2: _first(ad, SECOND_TEXTS),
        CTA_TEXT: ad.ad.call_to_action,
        DISPLAY_URL: "/".join(ad.ad.display_path) or None,
    }
    value = shown.get(kind)
    return None if value is None else {"id": asset.id, "data": {"type": kind, "value": value}}


def _first(ad: Ad, names: Sequence[str]) -> str | None:
    return next((ad.parts[name] for name in names if name in ad.parts), None)
