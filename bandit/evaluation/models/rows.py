"""From decisions to rows of numbers of one size, whatever features they have.

Every model of an evaluation reads these, so that one may be put in another's place.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Raw

from bandit.estimator import Floats
from bandit.features import Feature, flatten, hash_vector
from streams.events import Action, Context

MAIN: Final = 64
JOINT: Final = 64
SIZE: Final = 2 * MAIN + JOINT
JOINT_SCALE: Final = 0.1
"""What is peculiar to a context with an action must show a hundred times as clearly to count."""
CACHE_SIZE: Final = 100_000


def fold_of(event_id: str, folds: int) -> int:
    """Returns the event's fold, 0 to folds - 1; its slots share it."""
    return zlib.crc32(event_id.encode()) % folds


class Encoder:
    """Hashed features of the context, of the action with its id, and of the two together.

    Together means their tensor sketch (Pham & Pagh 2013). Numbers are taken by their inverse
    hyperbolic sine, so that one large figure does not outweigh all else.
    """

    def __init__(self) -> None:
        self._hashed: dict[tuple[str, bytes], Floats] = {}

    def row(self, context: Context, action: Action) -> Floats:
        """Returns the row of one action in a context, shape (SIZE,).

        Raises:
            FeatureError: the context or the action has features that cannot be read.
        """
        seen, done = self.context(context), self.action(action)
        joint = np.fft.irfft(np.fft.rfft(seen[MAIN:]) * np.fft.rfft(done[MAIN:]), n=JOINT)
        return np.concatenate((seen[:MAIN], done[:MAIN], JOINT_SCALE * joint))

    def rows(self, context: Context, actions: Sequence[Action]) -> Floats:
        """Returns the rows of some actions in a context, shape (n_actions, SIZE)."""
        seen, done = self.context(context), self.actions(actions)
        joint = np.fft.irfft(np.fft.rfft(seen[MAIN:]) * np.fft.rfft(done[:, MAIN:]), n=JOINT)
        same = np.broadcast_to(seen[:MAIN], (len(done), MAIN))
        return np.concatenate((same, done[:, :MAIN], JOINT_SCALE * joint), axis=1)

    def context(self, context: Context) -> Floats:
        """Returns a context hashed twice, for alone and for together, shape (MAIN + JOINT,)."""
        return self._hash("context", context, [Feature("", "constant", 1.0)])

    def action(self, action: Action) -> Floats:
        """Returns an action hashed twice, shape (MAIN + JOINT,)."""
        return self._hash(f"action {action.id}", action.features, [Feature("id", action.id, 1.0)])

    def actions(self, actions: Sequence[Action]) -> Floats:
        """Returns the actions as rows, shape (n_actions, MAIN + JOINT)."""
        return np.stack([self.action(action) for action in actions])

    def _hash(self, key: str, raw: Raw, more: list[Feature]) -> Floats:
        """Returns the features hashed, kept from last time."""
        known = self._hashed.get((key, bytes(raw)))
        if known is None:
            features = [
                Feature(namespace, name, float(np.arcsinh(value)))
                for namespace, name, value in [*flatten(raw, namespace="top"), *more]
            ]
            seed = 2 if key == "context" else 4
            known = np.concatenate(
                (
                    hash_vector(features, MAIN, seed=seed),
                    hash_vector(features, JOINT, seed=seed + 1),
                )
            )
            if len(self._hashed) >= CACHE_SIZE:
                self._hashed.clear()
            self._hashed[key, bytes(raw)] = known
        return known
