"""A model of rewards for the estimators that want one: ridge regression, cross-fitted as it reads.

Ridge needs but two sums of the log, so models that each leave out one fold cost one reading of
any length of log and no memory of it; and no decision is scored by a model that has seen it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bandit.errors import EstimateError
from bandit.estimator import Floats
from bandit.features import Feature, flatten, hash_vector
from streams.events import Action, Context

FOLDS: Final = 5
MAIN: Final = 64
JOINT: Final = 64
JOINT_SCALE: Final = 0.1
"""What is peculiar to a context with an action must show a hundred times as clearly to count."""
CACHE_SIZE: Final = 100_000
AT_ONCE: Final = 1000


class CrossRidge:
    """Ridge regressions of rewards, one a fold, each fitted to all the other folds.

    With A = Σ v x xᵀ and b = Σ v r x over the decisions outside of a fold, its weights are
    (A + ridge·I)⁻¹ b (Hoerl & Kennard 1970, equation 2.1). Scoring a decision by the model of its
    own fold is cross-fitting (Chernozhukov et al. 2018, definition 3.2).

    Args:
        size: of a feature vector.
        folds: at least 2.
        ridge: how many decisions the prior of no effect is worth.
    """

    def __init__(self, size: int, *, folds: int = FOLDS, ridge: float = 1.0) -> None:
        if folds < 2:
            raise EstimateError(f"folds is {folds}; cross-fitting needs at least 2")
        self.folds = folds
        self._ridge = ridge
        self._precision = np.zeros((folds, size, size))
        self._response = np.zeros((folds, size))

    def add(
        self, x: Floats, reward: Floats, fold: NDArray[np.int64], *, weight: Floats | None = None
    ) -> None:
        """Takes in decisions.

        Args:
            x: feature vectors of the logged actions, shape (n, size).
            reward: shape (n,).
            fold: of each decision, shape (n,).
            weight: v, shape (n,); None is 1. More robust DR (Farajtabar, Chow & Ghavamzadeh
                2018, equation 10) takes target (1 - propensity) / propensity².
        """
        weighted = x if weight is None else x * weight[:, None]
        for number in range(self.folds):
            rows = fold == number
            self._precision[number] += weighted[rows].T @ x[rows]
            self._response[number] += weighted[rows].T @ reward[rows]

    def weights(self) -> Floats:
        """Returns the weights for decisions of each fold, shape (folds, size)."""
        precision = self._precision.sum(axis=0) - self._precision
        precision += self._ridge * np.eye(precision.shape[1])
        response = self._response.sum(axis=0) - self._response
        weights: Floats = np.linalg.solve(precision, response[:, :, None])[:, :, 0]
        return weights


class RewardModel:
    """What a decision's actions are expected to earn, from its context and their features.

    A score is linear in the hashed features of the context, of the action with its id, and of
    the two together (their tensor sketch, Pham & Pagh 2013). Numbers are taken by their inverse
    hyperbolic sine, so that one large figure does not outweigh all else.
    """

    def __init__(self, *, folds: int = FOLDS, ridge: float = 1.0) -> None:
        self._ridge = CrossRidge(2 * MAIN + JOINT, folds=folds, ridge=ridge)
        self._weights: Floats | None = None
        self._hashed: dict[tuple[str, bytes], Floats] = {}
        self._waiting: list[tuple[Floats, float, int]] = []

    def fold(self, event_id: str) -> int:
        """Returns the decision's fold; the slots of one event share it."""
        return zlib.crc32(event_id.encode()) % self._ridge.folds

    def learn(self, event_id: str, context: Context, action: Action, reward: float) -> None:
        """Takes in what a logged action earned.

        Raises:
            FeatureError: the context or the action has features that cannot be read.
        """
        seen, done = self._context(context), self._action(action)
        joint = np.fft.irfft(np.fft.rfft(seen[MAIN:]) * np.fft.rfft(done[MAIN:]), n=JOINT)
        x = np.concatenate((seen[:MAIN], done[:MAIN], JOINT_SCALE * joint))
        self._waiting.append((x, reward, self.fold(event_id)))
        self._weights = None
        if len(self._waiting) >= AT_ONCE:
            self._fold_in()

    def scores(self, event_id: str, context: Context, actions: Sequence[Action]) -> Floats:
        """Returns what each action is expected to earn, shape (n_actions,).

        By the model that was fitted to the other folds than this decision's.

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """
        if self._weights is None:
            self._fold_in()
            self._weights = self._ridge.weights()
        weights = self._weights[self.fold(event_id)]
        seen = self._context(context)
        done = np.stack([self._action(action) for action in actions])
        # <a * c, w> = <a, w correlated with c>: one transform a context, none an action
        turned = np.fft.irfft(
            np.fft.rfft(weights[2 * MAIN :]) * np.fft.rfft(seen[MAIN:]).conj(), n=JOINT
        )
        scores: Floats = done[:, :MAIN] @ weights[MAIN : 2 * MAIN]
        scores += JOINT_SCALE * (done[:, MAIN:] @ turned) + seen[:MAIN] @ weights[:MAIN]
        return scores

    def _fold_in(self) -> None:
        """Gives the ridge what waits; one large product is far cheaper than many small ones."""
        if self._waiting:
            x, reward, fold = zip(*self._waiting, strict=True)
            self._ridge.add(np.stack(x), np.array(reward), np.array(fold))
            self._waiting.clear()

    def _context(self, context: Context) -> Floats:
        return self._hash("context", context, [Feature("", "constant", 1.0)])

    def _action(self, action: Action) -> Floats:
        return self._hash(f"action {action.id}", action.features, [Feature("id", action.id, 1.0)])

    def _hash(self, key: str, raw: Raw, more: list[Feature]) -> Floats:
        """Returns the features hashed twice, for alone and for together, kept from last time."""
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
