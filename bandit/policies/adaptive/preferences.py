"""What texts promise: weights fitted beforehand, believed and corrected by what is clicked here.

Which of the offered creatives was clicked tells how to weigh their features: one Newton step of a
conditional logit (McFadden 1974), from which level, season and context cancel. Its sums are
linear in rewards. A creative that is clicked often tells mostly of itself, so what it says of
its features is bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from bandit.errors import PolicyStateError
from bandit.features.flatten import Feature, balanced, flatten
from bandit.policies.adaptive.slopes import Columns, ColumnsState
from bandit.policies.base import CACHE_SIZE
from bandit.policies.best import Floats
from streams.events import Action, Decision

LARGEST_SCORE: Final = 0.5
"""No text is taken to be better or worse by the given weights, in logarithms of the rate."""
LARGEST: Final = 1.5
"""The same of given and learned weights together."""
OWN: Final = 30.0
"""How much information it takes to believe half of what a learned weight says."""

BOUND: Final = 10.0
"""How many events of a creative, at most, tell of its features."""

_decoder = msgspec.msgpack.Decoder(tuple[ColumnsState, list[str], int, bytes, bytes])


class Preferences:
    """Weights of the creatives' features in this placement.

    Args:
        weights: by `namespace.feature`, or by a namespace for having any of it.
        trust: how much information halves or doubles what they say.
        state: what `to_bytes` gave.
    """

    def __init__(
        self, weights: Mapping[str, float], trust: float, state: bytes | None = None
    ) -> None:
        self._weights, self._trust = weights, trust
        try:
            columns, names, p, information, arms = (
                _decoder.decode(state) if state else (Columns().state(), [], 1, bytes(8), b"")
            )
            self._information = np.frombuffer(information, "<f8").reshape(p, p).copy()
            self._arms = np.frombuffer(arms, "<f8").reshape(len(names), 1 + p).copy()
        except (msgspec.DecodeError, ValueError) as error:
            raise PolicyStateError(f"not the state of preferences: {error}") from error
        self._slots = {name: slot for slot, name in enumerate(names)}
        self._columns = Columns(columns)
        self._read: dict[tuple[str, bytes], Floats] = {}
        self._found: tuple[float, Floats] | None = None
        self._stacked: tuple[Sequence[Action], Floats] = (), np.zeros((0, 1))

    def ahead(self, actions: Sequence[Action], unit: float) -> Floats:
        """Returns by how much each promises more than the others, in logarithms of the rate.

        Args:
            actions: shape (n_actions,).
            unit: the size of a reward, by which the sums are divided.
        """
        z = self._vectors(actions)
        z = z - z.mean(axis=0)
        z[:, 0] = np.minimum(np.maximum(z[:, 0], -LARGEST_SCORE), LARGEST_SCORE)
        if self._found is None or self._found[0] != unit:
            self._found = unit, self._solved(unit)
        found: Floats = np.minimum(np.maximum(z @ self._found[1], -LARGEST), LARGEST)
        return found

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds a decision, and what it earned."""
        if decision.action.id not in self._slots:
            self._meet(decision)
        self.correct(decision, reward)

    def _meet(self, decision: Decision) -> None:
        """Makes room for a creative; features that enough creatives have are read from now on."""
        if self._columns.learn(self._features(decision.action), decision.timestamp_ms):
            p, old = len(self._columns) + 1, len(self._information)
            information = np.zeros((p, p))
            information[:old, :old] = self._information
            self._information = information
            self._arms = np.hstack([self._arms, np.zeros((len(self._arms), p - old))])
            self._read.clear()
            self._found = None
        self._slots[decision.action.id] = len(self._arms)
        self._arms = np.vstack([self._arms, np.zeros((1, self._arms.shape[1]))])

    def correct(self, decision: Decision, change: float) -> None:
        """Adds to what a decision earned."""
        if not change or decision.action.id not in self._slots:
            return
        pmf = np.array(decision.pmf)
        known = self._columns.known_at(decision.timestamp_ms)
        if known == len(self._columns):
            z = self._vectors(decision.actions)
        else:
            z = np.array([self._vector_of(action, known) for action in decision.actions])
        z = z - pmf @ z
        self._information += change * ((z.T * pmf) @ z)
        slot = self._slots[decision.action.id]
        self._arms[slot, 0] += change
        self._arms[slot, 1:] += change * z[decision.index]
        self._found = None

    def forget(self, creative_ids: Collection[str]) -> None:
        """Forgets what these creatives earned; what features tell of all stays."""
        gone = set(creative_ids)
        left = {name: slot for name, slot in self._slots.items() if name not in gone}
        self._arms = self._arms[list(left.values())].reshape(len(left), -1)
        self._slots = {name: slot for slot, name in enumerate(left)}
        self._found = None

    def take_over(self, before: Preferences) -> None:
        """Takes over what the other has read, where it reads the same."""
        if self._columns.same(before._columns) and before._weights == self._weights:
            self._read = before._read

    def to_bytes(self) -> bytes:
        """Returns columns and sums."""
        sums = [part.astype("<f8").tobytes() for part in (self._information, self._arms)]
        names, p = list(self._slots), len(self._information)
        return msgspec.msgpack.encode((self._columns.state(), names, p, *sums))

    def _solved(self, unit: float) -> Floats:
        """Returns the weights: first that of the given score, 0 to 1, then each feature's."""
        prior = np.full(len(self._information), OWN)
        prior[0] = self._trust
        events = np.maximum(self._arms[:, 0], 0.0) / unit
        counted = BOUND / (BOUND + events)
        right = counted @ self._arms[:, 1:] / unit
        right[0] += self._trust
        share = float(counted @ events) / max(float(events.sum()), 1e-30)
        found = np.linalg.solve(self._information * (share / unit) + np.diag(prior), right)
        found[0] = min(max(found[0], 0.0), 1.0)
        weights: Floats = found
        return weights

    def check(self, actions: Sequence[Action]) -> None:
        """Reads the features of each.

        Raises:
            FeatureError: they cannot be read.
        """
        if self._stacked[0] is not actions:
            for action in actions:
                self._vector(action)

    def _vectors(self, actions: Sequence[Action]) -> Floats:
        """Returns the actions' vectors, shape (n_actions, p); the same tuple's are kept."""
        known, found = self._stacked
        if known is not actions or found.shape[1] != len(self._information):
            found = np.array([self._vector(action) for action in actions])
            if isinstance(actions, tuple):
                self._stacked = actions, found
        return found

    def _vector(self, action: Action) -> Floats:
        """Returns the score by the given weights, and the features that are read."""
        key = (action.id, bytes(action.features))
        found = self._read.get(key)
        if found is None:
            found = self._vector_of(action, len(self._columns))
            if len(self._read) >= CACHE_SIZE:
                self._read.clear()
            self._read[key] = found
        return found

    def _vector_of(self, action: Action, known: int) -> Floats:
        plain = flatten(action.features, namespace="action")
        weights = self._weights
        score = sum(weights.get(f"{f.namespace}.{f.name}", 0.0) * f.value for f in plain)
        score += sum(weights.get(name, 0.0) for name in sorted({f.namespace for f in plain}))
        return np.append(score, self._columns.vector(self._features(action), known))

    def _features(self, action: Action) -> list[Feature]:
        return balanced(flatten(action.features, namespace="action", zeros=True))
