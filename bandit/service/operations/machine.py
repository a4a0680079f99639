"""What the doctor finds on the machine: versions, disk, and the log's own file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from bandit.service.operations.finding import Finding, State
from bandit.service.settings import Settings

LITTLE_BYTES: Final = 1 << 30
LEAST_BYTES: Final = 200 << 20
CHECKED_BYTES: Final = 256 << 20
"""A larger SQLite file takes too long to go through while somebody waits."""
SQLITE: Final = "sqlite:///"


def versions() -> Iterator[Finding]:
    """Looks whether what is installed is what this version was tested with."""
    wrong = 0
    for text in requires("copyloop") or ():
        need = Requirement(text)
        optional = need.marker is not None and not need.marker.evaluate({"extra": ""})
        try:
            there = version(need.name)
        except PackageNotFoundError:
            if not optional:
                wrong += 1
                yield Finding("versions", "failure", f"{need.name} is missing", _install(need))
            continue
        if not need.specifier.contains(there, prereleases=True):
            wrong += 1
            state: State = "warning" if optional else "failure"
            found = f"{need.name} is {there}; tested with {need.specifier}"
            yield Finding("versions", state, found, _install(need))
    if not wrong:
        yield Finding(
            "versions", "ok", f"copyloop {version('copyloop')}, and what it was tested with"
        )


def disk(settings: Settings) -> Iterator[Finding]:
    """Looks whether there is room where decisions are written."""
    folder = settings.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free >> 20} MiB are free for {settings.data}"
    do = "make room: an append that finds none is refused, and the loop stands still"
    if free < LEAST_BYTES:
        yield Finding("disk", "failure", found, do)
    elif free < LITTLE_BYTES or _spools(settings) > free:
        yield Finding("disk", "warning", found, do)
    else:
        yield Finding("disk", "ok", found)


def sqlite_file(url: str) -> Iterator[Finding]:
    """Looks whether the file of a SQLite log holds together, if it can be gone through soon."""
    path = Path(url.removeprefix(SQLITE))
    if not url.startswith(SQLITE) or path.stat().st_size > CHECKED_BYTES:
        return
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    finally:
        connection.close()
    if verdict != "ok":
        yield Finding(
            "log",
            "failure",
            f"{path} is damaged: {verdict}",
            "stop everything, keep a copy, and restore the archive into a new log",
        )


def _spools(settings: Settings) -> int:
    """Returns how much may come to wait on disk."""
    return settings.spool_max_bytes if settings.log_url.startswith("kafka://") else 0


def _install(need: Requirement) -> str:
    return f"pip install '{need.name}{need.specifier}'"
