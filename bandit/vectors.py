"""From features to dense vectors of a fixed size, the same online and offline.

Linear policies want numbers of about 1 in a few dimensions, whatever comes: ages and prices,
hours that wrap around at midnight, names that nobody has seen before. Nothing in here learns, so
a decision has the same vector whenever it is read again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.features import Feature

PERIODS: Final = {"hour": 24.0, "weekday": 7.0, "day_of_week": 7.0, "month": 12.0}
"""Numbers by these names, or by names that end in `.` or `_` and one of them, go in circles."""
HARMONICS: Final = 2
CACHE_SIZE: Final = 16_384


def standardised(features: Iterable[Feature]) -> Iterator[Feature]:
    """Yields the features with every number brought to between -1 and 1.

    What goes in circles becomes sines and cosines of the whole period and of half of it, so that
    23 is next to 0. Another number stays as it is up to 1; a larger one becomes its place on a
    scale of powers of two, shared between the two marks that it lies between.

    >>> [(f.name, round(f.value, 2)) for f in standardised([Feature("user", "age", 48.0)])]
    [('age', 1.0), ('age~5', 0.42), ('age~6', 0.58)]
    """
    for feature in features:
        period = _period(feature.name)
        if period is not None:
            yield from _circle(feature, period)
        elif abs(feature.value) <= 1.0:
            yield feature
        else:
            yield from _scale(feature)


def _period(name: str) -> float | None:
    # A string's name ends in its value: "hour=late" is no number.
    last = name.rpartition(".")[2]
    for known, period in PERIODS.items():
        if last == known or last.endswith(f"_{known}"):
            return period
    return None


def _circle(feature: Feature, period: float) -> Iterator[Feature]:
    namespace, name, value = feature
    angle = 2.0 * math.pi * value / period
    length = HARMONICS**-0.5
    for harmonic in range(1, HARMONICS + 1):
        yield Feature(namespace, f"{name}~cos{harmonic}", length * math.cos(harmonic * angle))
        yield Feature(namespace, f"{name}~sin{harmonic}", length * math.sin(harmonic * angle))


def _scale(feature: Feature) -> Iterator[Feature]:
    namespace, name, value = feature
    sign = math.copysign(1.0, value)
    share, mark = math.modf(math.log2(abs(value)))
    yield Feature(namespace, name, sign)
    if mark:
        yield Feature(namespace, f"{name}~{mark:.0f}", sign * (1.0 - share))
    if share:
        yield Feature(namespace, f"{name}~{mark + 1.0:.0f}", sign * share)


def balanced(features: Iterable[Feature]) -> list[Feature]:
    """Returns the features scaled so that all namespaces count alike, and to length 1 in all.

    A namespace that is longer than 1 is shortened to that, so an embedding is not lost among
    many flags, nor are many flags worth more than one.
    """
    found = list(features)
    squares: dict[str, float] = {}
    for namespace, _, value in found:
        squares[namespace] = squares.get(namespace, 0.0) + value * value
    total = math.sqrt(len(squares))
    lengths = {name: total * max(math.sqrt(square), 1.0) for name, square in squares.items()}
    return [Feature(n, name, value / lengths[n]) for n, name, value in found]


class Codebook:
    """A random direction for every name: features become their weighted sum.

    A direction's entries are ±1/√size, by a hash of the name and the seed, so inner products are
    kept on average, off by about 1/√size (Achlioptas 2003, equation 4). As long as there are fewer
    names than dimensions, no two of them are ever mistaken for each other, as they are where
    names share buckets.

    >>> book = Codebook(4, seed=1)
    >>> book.vector([Feature("user", "age", 0.5)]).round(2).tolist()
    [0.25, 0.25, -0.25, 0.25]
    """

    def __init__(self, size: int, *, seed: int) -> None:
        self._size = size
        self._key = seed.to_bytes(8, "big")
        self._codes: dict[tuple[str, str], NDArray[np.float64]] = {}

    def vector(self, features: Iterable[Feature]) -> NDArray[np.float64]:
        """Returns the sum of the features' directions, shape (size,)."""
        total = np.zeros(self._size)
        for namespace, name, value in features:
            total += value * self._code(namespace, name)
        return total

    def _code(self, namespace: str, name: str) -> NDArray[np.float64]:
        """Returns the name's direction, kept from last time."""
        key = (namespace, name)
        found = self._codes.get(key)
        if found is None:
            if len(self._codes) >= CACHE_SIZE:
                self._codes.clear()
            found = self._codes[key] = self._draw(f"{namespace}\x00{name}")
        return found

    def _draw(self, text: str) -> NDArray[np.float64]:
        digest = hashlib.shake_128(self._key + text.encode()).digest(-(-self._size // 8))
        bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8), count=self._size)
        return (2.0 * bits - 1.0).astype(np.float64) / math.sqrt(self._size)
