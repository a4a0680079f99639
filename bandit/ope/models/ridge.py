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
from bandit.features.flatten import Feature, flatten, hash_vector
from bandit.ope.base import Floats
from bandit.ope.readers.events import LoggedEvent
from streams.events import Action, Context

FOLDS: Final = 5
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

    def __add__(self, other: CrossRidge) -> CrossRidge:
        if (self.folds, self._ridge) != (other.folds, other._ridge):
            raise EstimateError("ridge regressions of other folds or priors cannot be added up")
        total = CrossRidge(self._response.shape[1], folds=self.folds, ridge=self._ridge)
        total._precision = self._precision + other._precision
        total._response = self._response + other._response
        return total

    def weights(self) -> Floats:
        """Returns the weights for decisions of each fold, shape (folds, size)."""
        precision = self._precision.sum(axis=0) - self._precision
        precision += self._ridge * np.eye(precision.shape[1])
        response = self._response.sum(axis=0) - self._response
        weights: Floats = np.linalg.solve(precision, response[:, :, None])[:, :, 0]
        return weights


class RidgeModel:
    """What a decision's actions are expected to earn: ridge on the rows of `Encoder`.

    Models of parts of a log add up with `+` to the model of all of it.
    """

    def __init__(self, *, folds: int = FOLDS, ridge: float = 1.0) -> None:
        self._ridge = CrossRidge(SIZE, folds=folds, ridge=ridge)
        self._weights: Floats | None = None
        self._encoder = Encoder()
        self._waiting: list[tuple[Floats, float, int, float]] = []

    def __add__(self, other: RidgeModel) -> RidgeModel:
        self._fold_in()
        other._fold_in()
        total = RidgeModel()
        total._ridge = self._ridge + other._ridge
        return total

    def __getstate__(self) -> dict[str, object]:
        # Encoded features are many, and made again where they are wanted.
        return self.__dict__ | {"_encoder": Encoder()}

    def learn(self, event: LoggedEvent, weight: float = 1.0) -> None:
        """Takes in what a logged action earned."""
        decision = event.decision
        x = self._encoder.row(decision.context, decision.action)
        self._waiting.append((x, event.reward, self._fold(decision.event_id), weight))
        self._weights = None
        if len(self._waiting) >= AT_ONCE:
            self._fold_in()

    def fit(self) -> None:
        """Makes the model of what was learned so far; nothing to be done for ridge."""

    def scores(self, events: Sequence[LoggedEvent]) -> list[Floats]:
        """Returns what each action is expected to earn, shape (n_actions,) for each decision.

        By the model that was fitted to the other folds than this decision's.
        """
        if self._weights is None:
            self._fold_in()
            self._weights = self._ridge.weights()
        return [self._scores(event, self._weights) for event in events]

    def _scores(self, event: LoggedEvent, weights: Floats) -> Floats:
        decision = event.decision
        mine = weights[self._fold(decision.event_id)]
        seen = self._encoder.context(decision.context)
        done = self._encoder.actions(decision.actions)
        # <a * c, w> = <a, w correlated with c>: one transform a context, none an action
        turned = np.fft.irfft(
            np.fft.rfft(mine[2 * MAIN :]) * np.fft.rfft(seen[MAIN:]).conj(), n=JOINT
        )
        scores: Floats = done[:, :MAIN] @ mine[MAIN : 2 * MAIN]
        scores += JOINT_SCALE * (done[:, MAIN:] @ turned) + seen[:MAIN] @ mine[:MAIN]
        return scores

    def _fold(self, event_id: str) -> int:
        return fold_of(event_id, self._ridge.folds)

    def _fold_in(self) -> None:
        """Gives the ridge what waits; one large product is far cheaper than many small ones."""
        if self._waiting:
            x, reward, fold, weight = zip(*self._waiting, strict=True)
            self._ridge.add(np.stack(x), np.array(reward), np.array(fold), weight=np.array(weight))
            self._waiting.clear()


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
        """Returns the row of one action in a context, shape (SIZE,)."""
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
