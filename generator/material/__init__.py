"""Material in words: what pictures show, what happens in films, what is heard."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from streams.files import write_whole

MAX_CHARACTERS: Final = 200
"""Of a description or an attribute, as a brief allows them."""


class MaterialDescription(Struct, frozen=True):
    """What is in a picture, a film or a sound."""

    description: str
    attributes: dict[str, str] = {}


def shortened(text: str) -> str:
    r"""Returns the text on one line, cut at a word to what a brief allows.

    >>> shortened("a bag\n of  beans")
    'a bag of beans'
    """
    line = " ".join(text.split())
    if len(line) <= MAX_CHARACTERS:
        return line
    return line[: MAX_CHARACTERS - 1].rpartition(" ")[0] + "…"


def cached(
    folder: Path, file: Path, models: str, look: Callable[[], MaterialDescription]
) -> MaterialDescription:
    """Returns what was seen in a file of this content by these models; looks if nobody has.

    An entry is written whole or not at all, so processes may share the folder; one that cannot be
    read is made anew.
    """
    digest = hashlib.sha256(file.read_bytes())
    digest.update(models.encode())
    entry = folder / f"{digest.hexdigest()}.json"
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(entry.read_bytes(), type=MaterialDescription)
    words = look()
    write_whole(entry, msgspec.json.encode(words), shared=True)
    return words
