"""How a creative's reward depends on the context: a linear model each, around what all share.

Bayesian linear regressions on contexts that are centred for each creative, so its average stays
apart. They are kept for several ridges at once, and the evidence of each says how far contexts
matter: not at all, for all creatives alike, or for each in its own way.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from bandit.errors import PolicyStateError
from bandit.features.flatten import Feature, name_hash
from bandit.policies.base import MOST_ARMS
from bandit.policies.best import Floats

RIDGES: Final = np.array([0.3, 5.0, 70.0, 1000.0])
"""How many decisions the prior of no effect is worth."""
N_RIDGES: Final = len(RIDGES)
MOST_COLUMNS: Final = 64
LEAST_COUNT: Final = 3
LEAST_SHARE: Final = 0.01
"""A feature is read from when so many had it, and such a share of all."""
MOST_COUNTED: Final = 4096
MOST_CELLS: Final = 4_000_000
"""How many numbers all inverses hold: 32 MB, for 2,500 creatives of 20 columns, 244 of 64."""
LEAST_WEIGHT: Final = 1e-3
"""Contexts are not read where it is less probable than this that they matter."""
ALIKE: Final = 3e-4
"""How probable it is beforehand that contexts matter to all creatives alike, and to none."""
SHARED_RIDGE: Final = 4.0
"""How many decisions the prior is worth that creatives share no effect."""
_PRIOR: Final = np.array([ALIKE, ALIKE, *[(1.0 - 2.0 * ALIKE) / N_RIDGES] * N_RIDGES])
_SQUARES: Final = (RIDGES**2)[:, None, None]


ColumnsState: TypeAlias = tuple[list[int], list[int], dict[int, int], int, int]


class Columns:
    """Which features are read, and as which number: those that are not rare.

    They are kept by hashes of their names.

    A feature is read of decisions that are later than all that were learned before it was chosen.
    So a correction reads a decision as it was read when it was learned.

    Args:
        state: what `state` gave.
    """

    def __init__(self, state: ColumnsState = ([], [], {}, 0, -(2**62))) -> None:
        names, since_ms, counts, self._n, self._newest_ms = state
        self._place = {name: place for place, name in enumerate(names)}
        self._since_ms, self._counts = list(since_ms), dict(counts)

    def __len__(self) -> int:
        return len(self._place)

    def learn(self, features: Iterable[Feature], timestamp_ms: int) -> bool:
        """Counts the features; returns whether more are read from now on."""
        self._n += 1
        self._newest_ms = max(self._newest_ms, timestamp_ms)
        before = len(self)
        for namespace, name, _ in features:
            full = name_hash(namespace, name)
            if full in self._place or len(self) == MOST_COLUMNS:
                continue
            count = self._counts.get(full, 0) + 1
            if count >= max(LEAST_COUNT, LEAST_SHARE * self._n):
                self._place[full] = len(self)
                self._since_ms.append(self._newest_ms + 1)
                self._counts.pop(full, None)
            elif full in self._counts or len(self._counts) < MOST_COUNTED:
                self._counts[full] = count
        return len(self) > before

    def known_at(self, timestamp_ms: int) -> int:
        """Returns how many of the features are read of a decision of that time."""
        return bisect_right(self._since_ms, timestamp_ms)

    def vector(self, features: Iterable[Feature], known: int | None = None) -> Floats:
        """Returns the features that are read, shape (n_columns,), at length 1.

        Args:
            features: of one context or action.
            known: how many columns are read, `known_at` some time; None is all.
        """
        found = np.zeros(len(self))
        known = len(self) if known is None else known
        for namespace, name, value in features:
            place = self._place.get(name_hash(namespace, name))
            if place is not None and place < known:
                found[place] += value
        length = math.sqrt(found @ found)
        return found / length if length > 0.0 else found

    def same(self, other: Columns) -> bool:
        """Returns whether the other reads the same features."""
        return list(self._place) == list(other._place)

    def state(self) -> ColumnsState:
        """Returns what the constructor takes."""
        return list(self._place), self._since_ms, self._counts, self._n, self._newest_ms


class Reading(NamedTuple):
    """What the models say of some creatives, in any context.

    In context x a creative earns `slope @ (x - centre)` more than on average, shapes
    (n_actions, m), with the variance (x - centre)ᵀ `covariance` (x - centre), in units of the
    noise's, shape (n_actions, m, m).
    """

    slope: Floats
    centre: Floats
    covariance: Floats


class Evidence(NamedTuple):
    """Log evidence relative to that of contexts that change nothing.

    Of one model for all, and of one each for every ridge, shape (n_ridges,). With the most
    probable of these, number `ridge`, they share the effects `shared`, shape (m,).
    """

    alike: float
    each: Floats
    ridge: int
    shared: Floats

    @property
    def probable(self) -> float:
        """How probable it is that contexts matter to each creative in its own way.

        They are taken to do so until the data speaks against it: a model that is believed too
        late has shown each creative in too few contexts to be found out.
        """
        logs = np.array([0.0, self.alike, *self.each])
        weights = _PRIOR * np.exp(logs - logs.max())
        return float(weights[2:].sum() / weights.sum())


class _Sums:
    """Sums over all creatives, for each ridge λ: what the evidence is made of.

    With S the scatter of a creative's contexts, G = (λI + S)⁻¹ and b its contexts' covariance
    with rewards: `log_det` is Σ log det(I + S/λ), `fit` Σ bᵀGb, `response` Σ Gb and `inverse`
    Σ (G - I/λ). `pooled` and its two are of one model for all: its own G, log det, and Σ b. `n`
    and `x` are how many decisions there were, and the sum of their contexts.
    """

    def __init__(self, m: int) -> None:
        self.log_det, self.fit = np.zeros(N_RIDGES), np.zeros(N_RIDGES)
        self.response, self.inverse = np.zeros((N_RIDGES, m)), np.zeros((N_RIDGES, m, m))
        self.pooled = np.eye(m) / RIDGES[:, None, None]
        self.pooled_log_det, self.pooled_response = np.zeros(N_RIDGES), np.zeros(m)
        self.n, self.x = np.zeros(1), np.zeros(m)

    def arrays(self) -> list[Floats]:
        """Returns all of them."""
        return list(vars(self).values())

    def widened(self, m: int) -> _Sums:
        """Returns the same in more columns, of which nothing is known."""
        found = _Sums(m)
        for new, old in zip(found.arrays(), self.arrays(), strict=True):
            new[tuple(slice(0, size) for size in old.shape)] = old
        return found

    def evidence(self, variance: float) -> Evidence:
        """Returns how well contexts explain rewards, one model for all, and one each.

        A model each is N(β, variance/λ) around a β that is N(0, variance/`SHARED_RIDGE`); both
        are integrated out (Lindley & Smith 1972).
        """
        response = self.pooled_response
        pooled = ((self.pooled @ response) @ response / variance - self.pooled_log_det) / 2.0
        # Σ (λI - λ²G) is Σ λ(I - λG), which is -λ² Σ (G - I/λ).
        precision = SHARED_RIDGE * np.eye(len(response)) - _SQUARES * self.inverse
        right = RIDGES[:, None] * self.response
        shared = np.linalg.solve(precision, right[:, :, None])[:, :, 0]
        log_det = self.log_det + np.linalg.slogdet(precision / SHARED_RIDGE)[1]
        each = ((self.fit + (right * shared).sum(axis=1)) / variance - log_det) / 2.0
        j = int(np.argmax(self.fit / variance - self.log_det))
        return Evidence(float(pooled.max()), each, j, shared[j])


class Slopes:
    """The models of all creatives: sums, and for each ridge λ the inverse of λI + Σ (x-x̄)(x-x̄)ᵀ.

    Inverses change by Sherman & Morrison (1950) and not with rewards, so a correction changes
    sums alone.
    """

    def __init__(self, state: bytes | None = None) -> None:
        names, m, arms, inverse, sums = _unpack(state)
        self._slots = {name: slot for slot, name in enumerate(names)}
        self._m, rows = m, len(names)
        self._arms = arms.copy()
        self._inverse = np.zeros((rows, N_RIDGES, m, m))
        upper = np.triu_indices(m)
        self._inverse[:, :, upper[0], upper[1]] = inverse
        self._inverse[:, :, upper[1], upper[0]] = inverse
        self._sums, start = _Sums(m), 0
        for array in self._sums.arrays():
            array[...] = sums[start : start + array.size].reshape(array.shape)
            start += array.size

    def widen(self, m: int) -> None:
        """Makes room for more columns, of which nothing is known."""
        rows, old = len(self._arms), self._m
        arms = np.zeros((rows, 2 + 2 * m))
        arms[:, : 2 + old] = self._arms[:, : 2 + old]
        arms[:, 2 + m : 2 + m + old] = self._arms[:, 2 + old :]
        inverse = np.zeros((rows, N_RIDGES, m, m))
        inverse[:, :, :old, :old] = self._inverse
        new = np.arange(old, m)
        inverse[:, :, new, new] = 1.0 / RIDGES[:, None]
        self._arms, self._inverse, self._m = arms, inverse, m
        self._sums = self._sums.widened(m)
        while len(self._slots) > self._most():
            self._forget_oldest()

    def learn(self, creative_id: str, x: Floats, reward: float) -> None:
        """Adds a decision."""
        slot, m, sums = self._slot(creative_id), self._m, self._sums
        # The last ones are those that were learned of last.
        self._slots[creative_id] = self._slots.pop(creative_id)
        self._count(slot, -1.0)
        arm, inverse = self._arms[slot], self._inverse[slot]
        n = arm[0]
        if n:
            apart, part = x - arm[2 : 2 + m] / n, n / (n + 1.0)
            for matrices, log_det in (
                (inverse, sums.log_det),
                (sums.pooled, sums.pooled_log_det),
            ):
                gain = matrices @ apart
                pull = 1.0 + part * (gain @ apart)
                change = (gain[:, :, None] * gain[:, None, :]) * (part / pull)[:, None, None]
                matrices -= change
                log_det += np.log(pull)
                if matrices is inverse:
                    sums.inverse -= change
        arm[:2] += (1.0, reward)
        arm[2 : 2 + m] += x
        arm[2 + m :] += reward * x
        sums.n += 1.0
        sums.x += x
        self._count(slot, 1.0)

    def correct(self, creative_id: str, x: Floats, change: float) -> None:
        """Adds to the reward of a decision, unless its creative's model was given up since."""
        slot = self._slots.get(creative_id)
        if slot is None:
            return
        self._count(slot, -1.0)
        self._arms[slot, 1] += change
        self._arms[slot, 2 + self._m :] += change * x
        self._count(slot, 1.0)

    def read(self, ids: Sequence[str], variance: float) -> Reading | None:
        """Returns what contexts change, or None if they change nothing.

        Args:
            ids: of the creatives.
            variance: of a reward around its mean.
        """
        m = self._m
        if not m:
            return None
        found = self._sums.evidence(variance)
        weight = found.probable
        if weight < LEAST_WEIGHT:
            return None
        ridge, j = RIDGES[found.ridge], found.ridge
        places = np.array([self._slots.get(name, -1) for name in ids])
        known = places >= 0
        arms, inverse = self._arms[places], self._inverse[places, j]
        n, x, rx = arms[:, :1], arms[:, 2 : 2 + m], arms[:, 2 + m :]
        if not known.all():
            n[~known], inverse[~known], rx[~known] = 1.0, np.eye(m) / ridge, 0.0
            x[~known] = self._sums.x / max(float(self._sums.n[0]), 1.0)
            arms[~known, 1] = 0.0
        centre = x / n
        response = rx - arms[:, 1:2] * centre + ridge * found.shared
        slope = (inverse @ response[:, :, None])[:, :, 0]
        return Reading(weight * slope, centre, weight * inverse)

    def to_bytes(self) -> bytes:
        """Returns each creative's sums and inverses (their upper triangles), and all's."""
        upper, slots = np.triu_indices(self._m), list(self._slots.values())
        inverse = self._inverse[slots][:, :, upper[0], upper[1]]
        sums = np.concatenate([array.ravel() for array in self._sums.arrays()])
        parts = [part.astype("<f8").tobytes() for part in (self._arms[slots], inverse, sums)]
        return msgspec.msgpack.encode((list(self._slots), self._m, *parts))

    def _slot(self, creative_id: str) -> int:
        """Returns the creative's row, that of the longest unseen one where there are too many."""
        slot = self._slots.get(creative_id)
        if slot is not None:
            return slot
        if len(self._slots) >= self._most():
            slot = self._forget_oldest()
        else:
            slot = len(self._slots)
            if slot == len(self._arms):
                more = max(8, slot)
                self._arms = np.vstack([self._arms, np.zeros((more, 2 + 2 * self._m))])
                fresh = np.tile(np.eye(self._m) / RIDGES[:, None, None], (more, 1, 1, 1))
                self._inverse = np.concatenate([self._inverse, fresh])
        self._slots[creative_id] = slot
        return slot

    def _most(self) -> int:
        """Returns how many creatives have a model of their own."""
        room = MOST_CELLS // (N_RIDGES * self._m**2) if self._m else MOST_ARMS
        return max(min(room, MOST_ARMS), 32)

    def _forget_oldest(self) -> int:
        """Takes the creative that was not learned of for longest out of all sums."""
        name = next(iter(self._slots))
        slot, last = self._slots.pop(name), len(self._slots)
        self._count(slot, -1.0)
        sums, m, inverse = self._sums, self._m, self._inverse[slot]
        fresh = np.eye(m) / RIDGES[:, None, None]
        sums.log_det += np.linalg.slogdet(inverse)[1] + m * np.log(RIDGES)
        sums.inverse -= inverse - fresh
        scatter = np.linalg.inv(inverse) - np.linalg.inv(fresh)
        pooled = np.linalg.inv(np.linalg.inv(sums.pooled) - scatter)
        sums.pooled = (pooled + pooled.swapaxes(1, 2)) / 2.0
        sums.pooled_log_det = -np.linalg.slogdet(sums.pooled)[1] - m * np.log(RIDGES)
        sums.n -= self._arms[slot, 0]
        sums.x -= self._arms[slot, 2 : 2 + m]
        if slot != last:
            # Rows in use stay together.
            moved = next(each for each, row in self._slots.items() if row == last)
            self._slots[moved] = slot
            self._arms[slot], self._inverse[slot] = self._arms[last], self._inverse[last]
        self._arms[last], self._inverse[last] = 0.0, fresh
        return last

    def _count(self, slot: int, sign: float) -> None:
        """Adds a creative's part to the sums that change with rewards, or takes it out."""
        arm, m, sums = self._arms[slot], self._m, self._sums
        if not arm[0]:
            return
        response = arm[2 + m :] - arm[1] * (arm[2 : 2 + m] / arm[0])
        solved = self._inverse[slot] @ response
        sums.fit += sign * (solved @ response)
        sums.response += sign * solved
        sums.pooled_response += sign * response


_decoder = msgspec.msgpack.Decoder(tuple[list[str], int, bytes, bytes, bytes])


def _unpack(state: bytes | None) -> tuple[list[str], int, Floats, Floats, Floats]:
    if state is None:
        return [], 0, np.zeros((0, 2)), np.zeros((0, N_RIDGES, 0)), np.zeros(3 * N_RIDGES + 1)
    try:
        names, m, arms, inverse, sums = _decoder.decode(state)
        return (
            names,
            m,
            np.frombuffer(arms, dtype="<f8").reshape(len(names), 2 + 2 * m),
            np.frombuffer(inverse, "<f8").reshape(len(names), N_RIDGES, m * (m + 1) // 2),
            np.frombuffer(sums, dtype="<f8"),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise PolicyStateError(f"not the state of slopes: {error}") from error
