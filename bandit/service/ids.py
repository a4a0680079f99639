"""Ids that sort by time: of events, of evaluations, of generations."""

from __future__ import annotations

import os
from typing import Final

CHANCE_BYTES: Final = 10


class Ids:
    """Makes ids; the system is asked for the chance of many at once."""

    def __init__(self) -> None:
        self._chance = b""
        self._used = 0

    def new(self, now_ms: int) -> str:
        """Returns what `new_id` does."""
        if self._used == len(self._chance):
            self._chance = os.urandom(CHANCE_BYTES * 256)
            self._used = 0
        start, self._used = self._used, self._used + CHANCE_BYTES
        return f"{now_ms:012x}{self._chance[start : self._used].hex()}"


def new_id(now_ms: int) -> str:
    """Returns 32 hexadecimal digits: the time first, so that ids sort by it, then chance."""
    return f"{now_ms:012x}{os.urandom(CHANCE_BYTES).hex()}"
