"""Showings and rewards by creative and by age, so that old ones can count less, or the same.

Decisions are kept in blocks by their own time, the newest of 256 decisions and older ones twice,
four times as large: some three blocks for each doubling of the history. What a block holds are
sums, so a reward in it can be corrected at any time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from bandit.errors import PolicyStateError
from bandit.policies.base import MOST_ARMS, least_of
from bandit.policies.best import Floats

FINEST: Final = 256
"""How many decisions the newest block takes."""
PER_SIZE: Final = 3
"""How many blocks there are of each size before two become one."""


class _State(Struct, array_like=True):
    """Blocks by their first time and their size, and of each creative block, showings, sum."""

    starts: list[int]
    sizes: list[int]
    newest_ms: int
    arms: dict[str, list[tuple[int, float, float]]]


_decoder = msgspec.msgpack.Decoder(_State)


class Blocks:
    """Sums of each creative in each block.

    A decision belongs to the last block that began at its time or before. A block begins after
    all decisions that were learned before it, and blocks are only ever merged: so a correction
    finds its decision's sums.
    """

    def __init__(self, state: bytes | None = None) -> None:
        try:
            saved = _decoder.decode(state) if state else _State([-(2**62)], [0], -(2**62), {})
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of blocks: {error}") from error
        self._starts, self._sizes, self._newest_ms = saved.starts, saved.sizes, saved.newest_ms
        self._slots = {name: slot for slot, name in enumerate(saved.arms)}
        self._sums = np.zeros((2, max(16, len(self._slots)), len(self._starts) + 8))
        for slot, cells in enumerate(saved.arms.values()):
            for block, n, total in cells:
                self._sums[:, slot, block] = n, total
        self.closed = 0
        """Rises whenever anything but the newest block changes."""

    @property
    def sizes(self) -> Floats:
        """How many decisions each block holds, oldest first."""
        return np.array(self._sizes, dtype=np.float64)

    def of(self, ids: Sequence[str]) -> tuple[Floats, Floats]:
        """Returns showings and sums of rewards, each of shape (n_ids, n_blocks)."""
        # The last row is never given to a creative.
        slots = [self._slots.get(each, -1) for each in ids]
        found = self._sums[:, slots, : len(self._starts)]
        return found[0], found[1]

    def learn(self, creative_id: str, timestamp_ms: int, reward: float) -> None:
        """Adds a decision."""
        block = self._block(timestamp_ms)
        slot = self._slots.setdefault(creative_id, len(self._slots))
        if slot + 1 >= self._sums.shape[1]:
            self._sums = np.concatenate((self._sums, np.zeros_like(self._sums)), axis=1)
        self._sums[0, slot, block] += 1.0
        self._sums[1, slot, block] += reward
        self._sizes[block] += 1
        self._newest_ms = max(self._newest_ms, timestamp_ms)
        if block != len(self._sizes) - 1:
            self.closed += 1
        elif self._sizes[-1] >= FINEST:
            self._begin()

    def correct(self, creative_id: str, timestamp_ms: int, change: float) -> None:
        """Adds to the sum of rewards that the decision is in, unless that is forgotten."""
        if creative_id not in self._slots:
            return
        block = self._block(timestamp_ms)
        self._sums[1, self._slots[creative_id], block] += change
        if block != len(self._sizes) - 1:
            self.closed += 1

    def forget_least(self) -> list[str]:
        """Forgets the creatives that were shown least, where there are too many; returns them."""
        if len(self._slots) <= MOST_ARMS:
            return []
        shown = self._sums[0].sum(axis=1)
        gone = least_of({name: shown[slot] for name, slot in self._slots.items()}, MOST_ARMS)
        for name in gone:
            del self._slots[name]
        kept = self._sums[:, list(self._slots.values())]
        self._sums = np.concatenate((kept, np.zeros_like(kept[:, :16])), axis=1)
        self._slots = {name: slot for slot, name in enumerate(self._slots)}
        self.closed += 1
        return gone

    def to_bytes(self) -> bytes:
        """Returns the blocks, and the cells that are not empty."""
        arms = {}
        for name, slot in self._slots.items():
            n, total = self._sums[:, slot, : len(self._starts)]
            arms[name] = [(int(b), float(n[b]), float(total[b])) for b in np.flatnonzero(n)]
        state = _State(self._starts, self._sizes, self._newest_ms, arms)
        return msgspec.msgpack.encode(state)

    def _block(self, timestamp_ms: int) -> int:
        return max(bisect_right(self._starts, timestamp_ms) - 1, 0)

    def _begin(self) -> None:
        """Begins a block after all that was learned, and merges where there are too many."""
        self._starts.append(self._newest_ms + 1)
        self._sizes.append(0)
        if len(self._starts) > self._sums.shape[2]:
            self._sums = np.concatenate((self._sums, np.zeros_like(self._sums)), axis=2)
        self.closed += 1
        # From the newest on, a run of like blocks that is too long merges its two oldest.
        last, size = len(self._sizes) - 2, FINEST
        while True:
            first = last
            while first >= 0 and self._sizes[first] < 2 * size:
                first -= 1
            if last - first <= PER_SIZE:
                return
            self._merge(first + 1)
            last, size = first + 1, 2 * size

    def _merge(self, block: int) -> None:
        self._sums[:, :, block] += self._sums[:, :, block + 1]
        self._sums[:, :, block + 1 : -1] = self._sums[:, :, block + 2 :]
        self._sums[:, :, -1] = 0.0
        del self._starts[block + 1]
        self._sizes[block] += self._sizes.pop(block + 1)
