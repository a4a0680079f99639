"""One world with one seed, laid out in arrays before anyone plays.

A policy is asked round by round, as in production; the world costs nothing then. The random
number of a round belongs to the round, so all players meet the same visitors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.events import Action, Context

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

EMBEDDING_SIZE: Final = 32
ROUND_MS: Final = 30_000
"""Between two visits, unless a world says otherwise."""


class Epoch(NamedTuple):
    """From round `first` on these creatives are live: their columns, and their actions."""

    first: int
    columns: Ints
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Game:
    """A world with a seed.

    Attributes:
        contexts: of each round.
        covariates: the same as numbers about 0 to 1, for peers; shape (n, d), d may be 0.
        epochs: which creatives are live, by first round.
        means: the expected reward of each creative in each round, shape (n, n_creatives).
        draws: one number a round; uniform if `noise` is None, else standard normal.
        noise: the standard deviation of a reward; None if rewards are 0 and 1.
        low: the least that a reward can be.
        high: the most.
        delay: after how many rounds a reward other than 0 is known, shape (n,); 0 is at once.
        times_ms: of each round.
    """

    contexts: Sequence[Context]
    covariates: Floats
    epochs: tuple[Epoch, ...]
    means: NDArray[Any]
    draws: Floats
    noise: float | None = None
    low: float = 0.0
    high: float = 1.0
    delay: Ints | None = None
    times_ms: Ints | None = None

    @property
    def rounds(self) -> int:
        """How many decisions there are."""
        return len(self.contexts)

    def live(self) -> list[Epoch]:
        """Returns the epoch of each round."""
        firsts = [epoch.first for epoch in self.epochs]
        places = np.searchsorted(firsts, np.arange(self.rounds), side="right") - 1
        return [self.epochs[place] for place in places.tolist()]

    def time_ms(self, number: int) -> int:
        """Returns when a round is."""
        return number * ROUND_MS if self.times_ms is None else int(self.times_ms[number])

    def reward(self, number: int, column: int) -> float:
        """Returns what a round earns with a creative."""
        mean, draw = float(self.means[number, column]), float(self.draws[number])
        if self.noise is None:
            return float(draw < mean)
        return min(max(mean + self.noise * draw, self.low), self.high)

    def bounds(self) -> tuple[float, float]:
        """Returns what an even choice and the best one of each round earn, in all."""
        ends = [epoch.first for epoch in self.epochs[1:]] + [self.rounds]
        even = best = 0.0
        for epoch, end in zip(self.epochs, ends, strict=True):
            shown = self.means[epoch.first : end, epoch.columns]
            even += float(shown.mean(axis=1).sum())
            best += float(shown.max(axis=1).sum())
        return even, best


def raw(value: Mapping[str, object]) -> Context:
    """Returns the JSON of a context or of an action's features."""
    return Context(json.dumps(value).encode())


def plain_actions(n: int, name: str = "c") -> tuple[Action, ...]:
    """Returns creatives without features."""
    return tuple(Action(f"{name}{number}", raw({})) for number in range(n))


def text_actions(codes: Floats, name: str = "c") -> tuple[Action, ...]:
    """Returns creatives with an embedding each, and a length that means nothing."""
    return tuple(
        Action(
            f"{name}{number}",
            raw(
                {
                    "text": {"length": 0.3 + 0.05 * (number % 8), "question": number % 3 == 0},
                    "embedding": code.round(4).tolist(),
                }
            ),
        )
        for number, code in enumerate(codes)
    )


def unit_codes(rng: np.random.Generator, n: int) -> Floats:
    """Returns embeddings of length 1, shape (n, 32)."""
    codes = rng.standard_normal((n, EMBEDDING_SIZE))
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True))


def always(actions: tuple[Action, ...]) -> tuple[Epoch, ...]:
    """Returns the one epoch in which all are live."""
    return (Epoch(0, np.arange(len(actions)), actions),)


def rotating(actions: tuple[Action, ...], live: int, new: int, every: int, n: int) -> list[Epoch]:
    """Returns epochs in which, `every` so many rounds, the oldest `new` of `live` are replaced."""
    epochs = []
    for number, first in enumerate(range(0, n, every)):
        columns = np.arange(number * new, number * new + live)
        epochs.append(Epoch(first, columns, tuple(actions[i] for i in columns.tolist())))
    return epochs


def one_hot(values: Ints, n: int) -> Floats:
    """Returns a column for each of `n` values, shape (len(values), n)."""
    return np.asarray(np.eye(n)[values])


def nothing_known(n: int) -> tuple[list[Context], Floats]:
    """Returns empty contexts, and no covariates."""
    return [raw({})] * n, np.zeros((n, 0))
