"""What policies that look at no features remember: per creative, how often and how much.

A count and a sum are sufficient for a Bernoulli and a Gaussian posterior, they do not depend on
the order of things, and a reward can be taken back from them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from bandit.errors import PolicyStateError
from streams.events import Action


class Arm(NamedTuple):
    """One creative's history: how many rewards it earned, and their sum."""

    n: int
    total: float


FRESH: Final = Arm(0, 0.0)

_decoder = msgspec.msgpack.Decoder(dict[str, Arm])


class Arms:
    """The arms by creative id; one that was never rewarded is `FRESH`."""

    def __init__(self, state: bytes | None = None) -> None:
        try:
            self._arms = _decoder.decode(state) if state else {}
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of arms: {error}") from error

    def of(self, actions: Sequence[Action]) -> list[Arm]:
        """Returns the arm of each action."""
        return self.by_id([action.id for action in actions])

    def by_id(self, ids: Sequence[str]) -> list[Arm]:
        """Returns the arm of each id."""
        arms = self._arms
        return [arms.get(each, FRESH) for each in ids]

    def learn(self, creative_id: str, reward: float) -> None:
        """Adds one reward."""
        n, total = self._arms.get(creative_id, FRESH)
        self._arms[creative_id] = Arm(n + 1, total + reward)

    def correct(self, creative_id: str, old: float, new: float) -> None:
        """Replaces one reward by another."""
        n, total = self._arms.get(creative_id, FRESH)
        self._arms[creative_id] = Arm(n, total + (new - old))

    def to_bytes(self) -> bytes:
        """Returns the arms, sorted by id."""
        return msgspec.msgpack.encode(self._arms, order="sorted")
