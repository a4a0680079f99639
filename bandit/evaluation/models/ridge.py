"""A model of rewards for the estimators that want one: ridge regression, cross-fitted as it reads.

Ridge needs but two sums of the log, so models that each leave out one fold cost one reading of
any length of log and no memory of it; and no decision is scored by a model that has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.errors import EstimateError
from bandit.estimator import Floats
from bandit.evaluation.models.rows import JOINT, JOINT_SCALE, MAIN, SIZE, Encoder, fold_of
from bandit.readers.logged import LoggedEvent

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

    def weights(self) -> Floats:
        """Returns the weights for decisions of each fold, shape (folds, size)."""
        precision = self._precision.sum(axis=0) - self._precision
        precision += self._ridge * np.eye(precision.shape[1])
        response = self._response.sum(axis=0) - self._response
        weights: Floats = np.linalg.solve(precision, response[:, :, None])[:, :, 0]
        return weights


class RidgeModel:
    """What a decision's actions are expected to earn: ridge on the rows of `Encoder`."""

    def __init__(self, *, folds: int = FOLDS, ridge: float = 1.0) -> None:
        self._ridge = CrossRidge(SIZE, folds=folds, ridge=ridge)
        self._weights: Floats | None = None
        self._encoder = Encoder()
        self._waiting: list[tuple[Floats, float, int, float]] = []

    def learn(self, event: LoggedEvent, weight: float = 1.0) -> None:
        """Takes in what a logged action earned.

        Raises:
            FeatureError: the context or the action has features that cannot be read.
        """
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

        Raises:
            FeatureError: the context or an action has features that cannot be read.
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
