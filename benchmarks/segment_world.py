"""A simulated market for contextual policies: tastes differ and drift, creatives come and go.

Nothing in here is measured; everything is made up from a seed. It exists so that what a policy
earned can be held against the best that anyone could have earned, visit by visit.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.events import Action, Context

DAY_MS: Final = 86_400_000
START_MS: Final = 1_700_006_400_000
"""A midnight; the first day begins then."""

TOPICS: Final = 6
EMBEDDING_SIZE: Final = 16
DEVICES: Final = ("mobile", "desktop")

Floats = NDArray[np.float64]


class Visit(NamedTuple):
    """One visit: its number, when it is, and what can be known of it beforehand."""

    number: int
    timestamp_ms: int
    context: Context
    segment: int
    device: int


class _Creative(NamedTuple):
    action: Action
    topics: Floats
    own: float
    delay_ms: float


class SegmentWorld:
    """A stream of visits to one placement, with a hidden taste; the seed decides everything.

    Segments come in pairs of opposite taste for what creatives are about, so the best single
    creative is hardly better than any. Part of the day and device count for something as well.
    A creative's features tell its topics, with noise, but not how good it is in itself. Tastes
    turn by `drift` radians a day. Every day the oldest creatives go, and new ones come. Who is
    won over converts after a while, which is longer for some creatives than for others, and a
    share of conversions is never reported.

    Args:
        seed: the world; the same seed is the same market, visit by visit.
        segments: how many; even.
        live: how many creatives are live at a time.
        new_per_day: how many of them are replaced at midnight.
        visits_per_day: evenly spread over the day.
        base_rate: conversion rate of a creative that is neither liked nor disliked, in (0, 1).
        spread: standard deviation, roughly, of the log rate over creatives for one visitor.
        drift: radians a day by which tastes turn.
        delay_hours: median time to a conversion of a typical creative.
        lost: share of conversions that are never reported, in [0, 1).

    >>> world = SegmentWorld(seed=1)
    >>> visit = world.visit(0)
    >>> 0.0 < world.rate(visit, world.creatives(visit)[0]) < 0.3
    True
    """

    def __init__(
        self,
        seed: int,
        *,
        segments: int = 4,
        live: int = 20,
        new_per_day: int = 4,
        visits_per_day: int = 2000,
        base_rate: float = 0.04,
        spread: float = 0.7,
        drift: float = 0.1,
        delay_hours: float = 6.0,
        lost: float = 0.1,
    ) -> None:
        if segments < 2 or segments % 2:
            raise ValueError(f"segments is {segments}; an even number, they come in pairs")
        if not 0.0 < base_rate * math.exp(2.0 * spread) <= 1.0:
            raise ValueError(
                f"base_rate {base_rate} with spread {spread} gives rates above 1 or not above 0; "
                "lower one of them"
            )
        self.seed = seed
        self.visits_per_day = visits_per_day
        self._segments, self._live, self._new_per_day = segments, live, new_per_day
        self._base_rate, self._spread, self._drift = base_rate, spread, drift
        self._delay_ms, self._lost = delay_hours * 3_600_000.0, lost
        tastes = self._normals("taste", 2, segments // 2, TOPICS)
        # A pair's second segment likes what its first dislikes.
        self._tastes = np.concatenate([tastes, -tastes], axis=1)
        self._by_device = self._normals("device", TOPICS)
        self._by_hour = self._normals("hour", 2, TOPICS)
        self._shown_as = self._normals("embedding", TOPICS, EMBEDDING_SIZE) / math.sqrt(TOPICS)
        self._made: dict[int, _Creative] = {}
        self._days: dict[int, tuple[Action, ...]] = {}
        self._asked: tuple[tuple[Action, ...], Floats, Floats] | None = None

    def visit(self, number: int) -> Visit:
        """Returns visit `number`, counted from 0 over all days."""
        timestamp_ms = START_MS + number * DAY_MS // self.visits_per_day
        segment = int(self._uniform("segment", number) * self._segments)
        device = int(self._uniform("device", number) < 0.4)
        context = {
            "user": {
                "segment": f"s{segment}",
                "age": 18 + int(50 * self._uniform("age", number)),
            },
            "device": DEVICES[device],
            "hour": timestamp_ms % DAY_MS // 3_600_000,
            "weekday": timestamp_ms // DAY_MS % 7,
        }
        raw = Context(json.dumps(context).encode())
        return Visit(number, timestamp_ms, raw, segment, device)

    def creatives(self, visit: Visit) -> tuple[Action, ...]:
        """Returns what can be shown to the visit; the same tuple all day."""
        day = (visit.timestamp_ms - START_MS) // DAY_MS
        if day not in self._days:
            first = day * self._new_per_day
            numbers = range(first, first + self._live)
            self._days[day] = tuple(self._creative(number).action for number in numbers)
        return self._days[day]

    def rate(self, visit: Visit, action: Action) -> float:
        """Returns the true chance that the visit converts when shown the creative."""
        creative = self._creative(int(action.id.removeprefix("creative-")))
        return float(self._likely(creative.topics @ self._taste(visit) + creative.own))

    def rates(self, visit: Visit, actions: tuple[Action, ...]) -> Floats:
        """Returns `rate` of each creative, shape (n_actions,)."""
        topics, own = self._truth(actions)
        return self._likely(topics @ self._taste(visit) + own)

    def respond(self, visit: Visit, action: Action) -> int | None:
        """Returns after how many ms a conversion is reported, None if none ever is.

        A visit has one hidden threshold, and converts on every creative whose rate is above it,
        whichever policy asks, and in any order.
        """
        if self._uniform("converts", visit.number) >= self.rate(visit, action):
            return None
        if self._uniform("lost", visit.number) < self._lost:
            return None
        creative = self._creative(int(action.id.removeprefix("creative-")))
        # Weibull of shape 0.6, scaled to a median of 1: most come soon, a few very late.
        late = -math.log(self._uniform("delay", visit.number)) / math.log(2.0)
        return int(creative.delay_ms * late ** (1.0 / 0.6))

    def _taste(self, visit: Visit) -> Floats:
        """Returns what the visit likes of each topic at its time, shape (TOPICS,)."""
        days = (visit.timestamp_ms - START_MS) / DAY_MS
        turned = self._drift * days
        first, second = self._tastes[:, visit.segment]
        angle = 2.0 * math.pi * days
        hour = math.cos(angle) * self._by_hour[0] + math.sin(angle) * self._by_hour[1]
        device = (1.0 if visit.device else -1.0) * self._by_device
        taste = math.cos(turned) * first + math.sin(turned) * second
        mixed: Floats = taste + 0.3 * device + 0.3 * hour
        return mixed

    def _likely(self, liking: Floats) -> Floats:
        # A soft bound: no creative is liked without end.
        rates: Floats = self._base_rate * np.exp(self._spread * 2.0 * np.tanh(liking / 2.0))
        return rates

    def _truth(self, actions: tuple[Action, ...]) -> tuple[Floats, Floats]:
        """Returns the creatives' topics, shape (n_actions, TOPICS), and their own appeal.

        Kept for as long as the same tuple is asked about.
        """
        if self._asked is None or self._asked[0] is not actions:
            shown = [self._creative(int(action.id.removeprefix("creative-"))) for action in actions]
            topics = np.array([creative.topics for creative in shown])
            self._asked = actions, topics, np.array([creative.own for creative in shown])
        return self._asked[1], self._asked[2]

    def _creative(self, number: int) -> _Creative:
        if number not in self._made:
            topics = self._normals("topics", number, TOPICS) / math.sqrt(TOPICS)
            noise = self._normals("noise", number, EMBEDDING_SIZE)
            embedding = (topics @ self._shown_as + 0.1 * noise).round(4).tolist()
            features = {
                "text": {"length": round(self._uniform("length", number), 2)},
                "embedding": embedding,
            }
            action = Action(f"creative-{number}", Context(json.dumps(features).encode()))
            own = 0.5 * float(self._normals("own", number, 1)[0])
            slow = math.exp(0.7 * float(self._normals("slow", number, 1)[0]))
            self._made[number] = _Creative(action, topics, own, self._delay_ms * slow)
        return self._made[number]

    def _normals(self, name: str, *numbers: int) -> Floats:
        """Returns normal draws; the last numbers are the shape that they fill."""
        key = f"{self.seed}/{name}/{numbers[0]}"
        shape = numbers if name not in ("topics", "noise", "own", "slow") else numbers[1:]
        digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
        # RandomState, since its streams are promised never to change.
        draws: Floats = np.random.RandomState(int.from_bytes(digest, "big")).standard_normal(shape)
        return draws

    def _uniform(self, *names: object) -> float:
        """In (0, 1), from a hash: what one name draws never depends on what else was drawn."""
        key = "/".join(map(str, (self.seed, *names)))
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        return ((int.from_bytes(digest, "big") >> 11) + 0.5) * 2.0**-53
