"""Showings and what they earned, as sums that are added to and joined."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw, Struct

from bandit.ope.intervals import mean_band
from bandit.ope.units import hash_units
from bandit.service.figures.lift import LiftPlan, Lifts
from streams.events import Interaction, SlateInteraction
from streams.events.fields import value_at


class Scale(NamedTuple):
    """The range that rewards lie in, and by how much users who come again raise variances."""

    low: float = 0.0
    high: float = 1.0
    design: float = 1.0


UNSCALED: Final = Scale()


class Counts(Struct):
    """How often something was shown, what that earned, and how likely it was, summed up.

    >>> counts = Counts(n=100, total=20.0, squares=20.0)
    >>> low, high = counts.band()
    >>> round(counts.rate, 2), round(low, 3), round(high, 3)
    (0.2, 0.133, 0.289)
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    expected: float = 0.0

    def add(self, reward: float, previous: float | None) -> None:
        """Counts a reward, or what it is now in place of what it was."""
        old = 0.0 if previous is None else previous
        self.n += previous is None
        self.total += reward - old
        self.squares += reward * reward - old * old

    @property
    def rate(self) -> float | None:
        """The mean reward, None if nothing was shown."""
        return self.total / self.n if self.n else None

    def band(self, scale: Scale = UNSCALED) -> tuple[float, float] | tuple[None, None]:
        """Returns the 95 % band of the mean, within the rewards' range; None without a showing.

        It covers for one look, not for looking on until it pleases.
        """
        if not self.n:
            return None, None
        mean = self.total / self.n
        # rewards from before a placement changed its range may lie outside of it
        low, high = min(scale.low, mean), max(scale.high, mean)
        if low == high:
            return None, None
        return mean_band(self.n, self.total, self.squares, low, high, design=scale.design)

    def join(self, other: Counts) -> None:
        """Takes in all that the other counted."""
        self.n += other.n
        self.total += other.total
        self.squares += other.squares
        self.expected += other.expected


MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
KEPT: Final = {MINUTE_MS: 24 * 60, HOUR_MS: 30 * 24}
"""How many buckets of each length are kept: a day of minutes, and thirty days of hours."""
MAX_FIELDS: Final = 20
MAX_VALUES: Final = 30
"""How many fields of a context, and values of each, are told apart; what is beyond is left out."""
LONGEST_VALUE: Final = 64
DELAYS_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200, 86_400, 604_800)
SEEN: Final = (0, 1, 2, 3, 5, 10)
"""How often a user saw a creative before, from each of these on up to the next."""


class _Named(Struct):
    id: str


class _Decision(Struct):
    placement: str
    timestamp_ms: int
    context: Raw
    actions: list[_Named]
    pmf: list[float]
    index: int
    policy_version: str


class _Outcome(Struct):
    kind: str
    timestamp_ms: int


class SeenTotals(Struct, tag_field="type", tag="interaction"):
    """What is read of an interaction."""

    decision: _Decision
    reward: float
    status: str
    previous_reward: float | None = None
    outcomes: list[_Outcome] = []


_decoder: msgspec.json.Decoder[SeenTotals | SlateInteraction] = msgspec.json.Decoder(
    SeenTotals | SlateInteraction
)


def read_interactions(data: bytes) -> Sequence[SeenTotals | Interaction]:
    """Returns what is read of the interactions in a record: one, or those of a slate.

    Raises:
        msgspec.DecodeError: it is none.
    """
    found = _decoder.decode(data)
    return [found] if isinstance(found, SeenTotals) else found.interactions()


_fields: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class Bucket(Struct):
    """One stretch of time: all of it, and each creative; `changed_ms` is by the log's time.

    `entropy` and `explored` are sums over the showings of what `exploration` returns.
    """

    start_ms: int
    changed_ms: int = 0
    policy_version: str = ""
    all: Counts = msgspec.field(default_factory=Counts)
    creatives: dict[str, Counts] = {}
    entropy: float = 0.0
    explored: float = 0.0


class PlacementCounts:
    """One placement's figures."""

    def __init__(self) -> None:
        self.all = Counts()
        self.creatives: dict[str, Counts] = {}
        self.segments: dict[str, dict[str, dict[str, Counts]]] = {}
        self.delays: dict[str, list[int]] = {}
        self.fatigue: list[Counts] = []
        self.lifts: Lifts | None = None
        self.policy_version = ""
        self.changes = 0
        self.changed_ms = 0
        self.latest_ms = 0
        self._seen_path: str | None = None
        self._range = (0.0, 1.0)
        self._unit: str | None = None
        self._units = UnitTotals()
        self._buckets: dict[int, dict[int, Bucket]] = {length: {} for length in KEPT}

    @property
    def scale(self) -> Scale:
        """What bands are to know of the rewards and of the users."""
        return Scale(*self._range, self._units.design(self.all))

    def plan(
        self,
        plan: LiftPlan | None,
        seen_path: str | None,
        reward_range: tuple[float, float] = (0.0, 1.0),
        unit: str | None = None,
    ) -> None:
        """Says what lifts are over, where contexts say what users have seen, and who they are."""
        self._range, self._unit = reward_range, unit
        if plan != (None if self.lifts is None else self.lifts.plan):
            self.lifts = None if plan is None else Lifts(plan)
        self._seen_path = seen_path

    def add(self, seen: SeenTotals | Interaction, at_ms: int) -> None:
        """Counts an interaction that the log took in at `at_ms`."""
        decision, previous = seen.decision, seen.previous_reward
        chosen = decision.actions[decision.index].id
        self.changes += 1
        self.changed_ms = at_ms
        self.latest_ms = max(self.latest_ms, decision.timestamp_ms)
        self.all.add(seen.reward, previous)
        _of(self.creatives, chosen).add(seen.reward, previous)
        explored = exploration(decision.pmf) if previous is None else (0.0, 0.0)
        for length in KEPT:
            bucket = self._bucket(length, decision.timestamp_ms)
            bucket.entropy += explored[0]
            bucket.explored += explored[1]
            bucket.changed_ms = at_ms
            bucket.all.add(seen.reward, previous)
            _of(bucket.creatives, chosen).add(seen.reward, previous)
            if previous is None:
                bucket.policy_version = decision.policy_version
                for number, propensity in enumerate(decision.pmf):
                    _of(bucket.creatives, decision.actions[number].id).expected += propensity
        if previous is None:
            self.policy_version = decision.policy_version
        context = _fields.decode(decision.context)
        unit = None if self._unit is None else value_at(context, self._unit)
        if unit is not None:
            self._units.add(unit, seen.reward, previous)
        self._segment(context, chosen, seen.reward, previous)
        self._tire(context, chosen, seen.reward, previous)
        if self.lifts is not None and seen.status == "closed":
            ids: list[str] = [action.id for action in decision.actions]
            at_ms = decision.timestamp_ms
            self.lifts.take(ids, decision.pmf, decision.index, seen.reward, at_ms, unit=unit)
        self._delay(seen)

    def buckets(self, length_ms: int, since_ms: int, until_ms: int) -> Iterator[Bucket]:
        """Yields the buckets of this length that begin in [since_ms, until_ms), oldest first."""
        held = self._buckets[length_ms]
        for start_ms in sorted(held):
            if since_ms <= start_ms < until_ms:
                yield held[start_ms]

    def changed_since(self, at_ms: int) -> list[Bucket]:
        """Returns the minutes about which the log told something at this time, or later."""
        held = self._buckets[MINUTE_MS]
        return [held[s] for s in sorted(held) if held[s].changed_ms >= at_ms]

    def _bucket(self, length_ms: int, at_ms: int) -> Bucket:
        held, start_ms = self._buckets[length_ms], at_ms - at_ms % length_ms
        found = held.get(start_ms)
        if found is None:
            found = held[start_ms] = Bucket(start_ms)
            if len(held) > KEPT[length_ms]:
                del held[min(held)]
        return found

    def _segment(
        self, context: dict[str, Any], chosen: str, reward: float, previous: float | None
    ) -> None:
        for field, value in context.items():
            if not isinstance(value, str | bool) or len(str(value)) > LONGEST_VALUE:
                continue
            values = self.segments.get(field)
            if values is None:
                if len(self.segments) >= MAX_FIELDS:
                    continue
                values = self.segments[field] = {}
            word = value if isinstance(value, str) else str(value).lower()
            if word in values or len(values) < MAX_VALUES:
                _of(values.setdefault(word, {}), chosen).add(reward, previous)

    def _tire(
        self, context: dict[str, Any], chosen: str, reward: float, previous: float | None
    ) -> None:
        """Counts by how often the context says that its user saw the chosen one before."""
        if self._seen_path is None:
            return
        found: Any = context
        for key in (*self._seen_path.split("."), chosen):
            found = found.get(key, 0) if isinstance(found, dict) else None
        if isinstance(found, int) and found >= 0:
            self.fatigue = self.fatigue or [Counts() for _ in SEEN]
            self.fatigue[bisect_right(SEEN, found) - 1].add(reward, previous)

    def _delay(self, seen: SeenTotals | Interaction) -> None:
        # Of a correction the last outcome is the news; the others were counted before.
        news = seen.outcomes if seen.previous_reward is None else seen.outcomes[-1:]
        for outcome in news:
            seconds = max(outcome.timestamp_ms - seen.decision.timestamp_ms, 0) / 1e3
            counts = self.delays.setdefault(outcome.kind, [0] * (len(DELAYS_SECONDS) + 1))
            counts[bisect_left(DELAYS_SECONDS, seconds)] += 1


GROUPS: Final = 4096
"""Users are put together at random in so many groups, which leaves variances right."""


class UnitTotals:
    """Showings and rewards by groups of users: how much their decisions depend on each other."""

    def __init__(self) -> None:
        self._n = np.zeros(GROUPS)
        self._totals = np.zeros(GROUPS)

    def add(self, unit: str, reward: float, previous: float | None) -> None:
        """Counts a reward of this user, or what it is now in place of what it was."""
        group = int(hash_units([unit])[0]) % GROUPS
        self._n[group] += previous is None
        self._totals[group] += reward - (previous or 0.0)

    def design(self, of: Counts) -> float:
        """Returns the mean's variance by users over the one by decisions, at least 1 (Kish 1965).

        It is of all showings together; of a part of them it is less, so bands are rather too wide.
        """
        known = self._n > 0.0
        m, n = int(known.sum()), float(self._n.sum())
        variance = (of.squares / of.n - (of.total / of.n) ** 2) / of.n if of.n else 0.0
        if m < 2 or variance <= 0.0:
            return 1.0
        apart = self._totals[known] - self._n[known] * self._totals.sum() / n
        return max(float(apart @ apart) * m / (m - 1) / (n * n) / variance, 1.0)


def exploration(pmf: Sequence[float]) -> tuple[float, float]:
    """Returns how even a pmf is, 0 to 1, and what of it is not on the most likely action.

    That is its entropy, in shares of the entropy of as many actions all alike.

    >>> exploration([0.5, 0.5])
    (1.0, 0.5)
    """
    if len(pmf) < 2:
        return 0.0, 0.0
    entropy = -sum(p * math.log(p) for p in pmf if p > 0.0)
    return entropy / math.log(len(pmf)), max(1.0 - max(pmf), 0.0)


def _of(counts: dict[str, Counts], name: str) -> Counts:
    found = counts.get(name)
    if found is None:
        found = counts[name] = Counts()
    return found
