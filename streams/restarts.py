"""Which processes of a machine die again and again: noted by who starts them, told by the API."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.files.writing import write_whole

FILE: Final = "restarts.json"
"""Its name in the data folder."""
RECENT_MS: Final = 600_000
OFTEN: Final = 3

logger = logging.getLogger(__name__)


def note_death(path: Path, name: str, now_ms: int) -> None:
    """Notes that a process of this name ended without being asked to."""
    found = {each: recent(times, now_ms) for each, times in read_deaths(path).items()}
    found[name] = [*found.get(name, ()), now_ms]
    try:
        write_whole(path, json.dumps(found).encode())
    except OSError as error:
        logger.error("%s cannot be written: %s", path, error)


def often_restarted(path: Path, now_ms: int) -> dict[str, int]:
    """Returns how often processes died in the last ten minutes, if that was `OFTEN` at least."""
    counts = {name: len(recent(times, now_ms)) for name, times in read_deaths(path).items()}
    return {name: count for name, count in counts.items() if count >= OFTEN}


def recent(times_ms: list[int], now_ms: int) -> list[int]:
    """Returns those of the times that are of the last ten minutes."""
    return [at for at in times_ms if now_ms - RECENT_MS < at]


def read_deaths(path: Path) -> Mapping[str, list[int]]:
    """Returns when processes died, by name; nothing if nobody noted that."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
