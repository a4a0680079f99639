"""A few candidates of thousands, drawn so that anyone can draw them again.

Whoever the policy thinks well of is let in often, everybody now and then, and how probable it was
is known: so what a decision costs does not grow with the creatives, and nothing is lost that an
evaluation needs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit.policy import Pmf
from streams.events import Action

_SEED_BYTES: Final = 16
_UNIT: Final = 2.0**-53


class Entry(NamedTuple):
    """Who was let in: `indices` in rising order, and `until`, when the first of the rest came."""

    indices: NDArray[np.intp]
    until: float


class Lots:
    """What is drawn from: the weights of all creatives, for one policy version.

    A creative comes at the times of a Poisson process of its weight's rate, and the first `size`
    different ones are let in: that is weighted sampling without replacement, the law of Gumbel
    top-n (Efraimidis & Spirakis 2006), at a cost that does not grow with their number. Given when
    all others come, a creative is let in if it comes before the last of those that would be: with
    probability 1 − exp(−weight · until) (Cohen & Kaplan 2007, rank conditioning). So dividing by
    that is unbiased, exactly.

    Args:
        pmf: what the policy gives each creative, shape (n,), for no context.
        floor: the share that is spread evenly, in (0, 1].

    >>> lots = Lots(np.array([0.9, 0.1, 0.0, 0.0]), floor=0.2)
    >>> entry = lots.draw(seed_of("event-13", "version@7"), 2)
    >>> entry.indices.tolist(), round(lots.inclusion(0, entry.until), 2)
    ([0, 3], 0.64)
    """

    def __init__(self, pmf: Pmf, floor: float) -> None:
        self._floor = floor
        self._weights = (1.0 - floor) * pmf + floor / len(pmf)
        self._cumulative = self._weights.cumsum()

    def draw(self, seed: int, size: int, barred: NDArray[np.bool_] | None = None) -> Entry:
        """Returns who is let in: `size` of those that are not barred, who must be more.

        The same seed gives the same, with any version of numpy: only its raw bits are used.
        """
        bits = np.random.PCG64(seed)
        picks = math.ceil(2.0 * (size + 1) / self._floor)
        times = _exponentials(bits, picks).cumsum() / self._cumulative[-1]
        found = self._cumulative.searchsorted(_uniforms(bits, picks) * self._cumulative[-1])
        came, at = np.unique(np.minimum(found, len(self._weights) - 1), return_index=True)
        when = times[at]
        if barred is not None:
            let = ~barred[came]
            came, when = came[let], when[let]
        if len(came) <= size:
            came, when = self._all(bits, came, when, float(times[-1]), barred)
        order = when.argsort(kind="stable")[: size + 1]
        return Entry(np.sort(came[order[:size]]), float(when[order[size]]))

    def inclusion(self, index: int, until: float) -> float:
        """Returns how probable it was that this one of those let in was, given all others."""
        return -math.expm1(-float(self._weights[index]) * until)

    def _all(
        self,
        bits: np.random.PCG64,
        came: NDArray[np.intp],
        when: NDArray[np.float64],
        since: float,
        barred: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Returns all that are not barred, with when they come: the rest, after `since`.

        A Poisson process forgets, so who did not come until then comes as if it began there.
        """
        left = np.ones(len(self._weights), dtype=np.bool_) if barred is None else ~barred
        left[came] = False
        rest = np.flatnonzero(left)
        later = since + _exponentials(bits, len(rest)) / self._weights[rest]
        return np.concatenate([came, rest]), np.concatenate([when, later])


def seed_of(event_id: str, policy_version: str) -> int:
    """Returns the seed by which a decision's shortlist is drawn."""
    text = f"shortlist\n{policy_version}\n{event_id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=_SEED_BYTES).digest(), "big")


def digest(actions: Sequence[Action]) -> str:
    """Returns a hash of the actions, with their features and in their order."""
    return hashlib.blake2b(msgspec.json.encode(actions), digest_size=8).hexdigest()


def _uniforms(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    """Returns n numbers in (0, 1)."""
    return ((bits.random_raw(n) >> np.uint64(11)).astype(np.float64) + 0.5) * _UNIT


def _exponentials(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    return -np.log(_uniforms(bits, n))
