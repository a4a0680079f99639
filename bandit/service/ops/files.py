"""The doctor's look at files: who may read them, and what was begun and not finished."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bandit.service.settings import Settings
from streams.forgetting.marks import unfinished
from streams.logs.opening import sqlite_path

OTHERS: Final = 0o077
"""The bits of a mode by which others than the owner get at a file."""


def open_files(settings: Settings) -> list[Path]:
    """Returns the files of the SQLite log that others than their owner may read or write."""
    path = sqlite_path(settings.log_url)
    if path is None:
        return []
    files = (path.with_name(path.name + end) for end in ("", "-wal", "-shm"))
    return [file for file in files if file.exists() and file.stat().st_mode & OTHERS]


def half_done(settings: Settings) -> Iterator[str]:
    """Yields what of the data folder was begun and is not finished, in words."""
    for mark in unfinished(settings.data):
        whose = "" if mark.placement is None else f" of placement {mark.placement!r}"
        yield f"a value of {mark.field!r}{whose} is being forgotten, and is not gone everywhere"


def unreadable_reports(settings: Settings) -> Iterator[Path]:
    """Yields the files of evaluations that are no JSON any more."""
    for path in sorted((settings.data / "evaluations").glob("*/*/*.json")):
        try:
            msgspec.json.decode(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield path
