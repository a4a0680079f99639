"""Reward models of scikit-learn and LightGBM, for whoever finds ridge too plain.

They need their data in memory, so they learn from a sample of the log, of a bounded size. Both
libraries are extras (`evaluation`) and are imported only when asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from bandit.errors import EstimateError
from bandit.estimator import Floats
from bandit.evaluation.models.rows import Encoder, fold_of
from bandit.readers.logged import LoggedEvent

FOLDS: Final = 3
ROWS: Final = 100_000
"""The most decisions that are learned from; of more, each is as likely to be among them."""

Make: TypeAlias = Callable[[bool], Any]


class LearnedModel:
    """Any model with scikit-learn's `fit` and `predict`, cross-fitted.

    Args:
        make: returns a new model, a classifier where it is given True, which it is if all rewards
            are 0 or 1, and a regressor else.
        folds: at least 2.
        seed: of which decisions are learned from.
    """

    def __init__(self, make: Make, *, folds: int = FOLDS, seed: int = 0) -> None:
        if folds < 2:
            raise EstimateError(f"folds is {folds}; cross-fitting needs at least 2")
        self._make = make
        self._folds = folds
        self._rng = np.random.default_rng(seed)
        self._encoder = Encoder()
        self._seen = 0
        self._rows: list[tuple[Any, float, int, float]] = []
        self._models: list[Any] = []

    def learn(self, event: LoggedEvent, weight: float = 1.0) -> None:
        """Takes in what a logged action earned.

        Raises:
            FeatureError: the context or the action has features that cannot be read.
        """
        self._seen += 1
        place = len(self._rows)
        if place >= ROWS:
            place = int(self._rng.integers(self._seen))
            if place >= ROWS:
                return
        decision = event.decision
        x = self._encoder.row(decision.context, decision.action).astype(np.float32)
        row = (x, event.reward, fold_of(decision.event_id, self._folds), weight)
        if place < len(self._rows):
            self._rows[place] = row
        else:
            self._rows.append(row)

    def fit(self) -> None:
        """Fits a model a fold, to all other folds.

        Raises:
            EstimateError: a fold leaves nothing to fit to, or the model refuses the rewards.
        """
        # policies are shared among processes already; threads of each would get in others' way
        from threadpoolctl import threadpool_limits

        if not self._rows:
            raise EstimateError("the log holds no decision; there is nothing to fit a model to")
        x, reward, fold, weight = (np.array(column) for column in zip(*self._rows, strict=True))
        binary = bool(((reward == 0.0) | (reward == 1.0)).all())
        self._models = []
        for number in range(self._folds):
            others = fold != number
            if binary and len(np.unique(reward[others])) < 2:
                # a classifier of one class cannot be fitted, and has one answer
                self._models.append(float(reward[others][0]) if others.any() else 0.0)
                continue
            model = self._make(binary)
            try:
                with threadpool_limits(limits=1):
                    model.fit(x[others], reward[others], sample_weight=weight[others])
            except ValueError as error:
                raise EstimateError(f"the reward model cannot be fitted: {error}") from error
            self._models.append(model)
        self._rows = []

    def scores(self, events: Sequence[LoggedEvent]) -> list[Floats]:
        """Returns what each action is expected to earn, shape (n_actions,) for each decision.

        By the model that was fitted to the other folds than this decision's.

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """
        fold = np.array([fold_of(event.decision.event_id, self._folds) for event in events])
        found: list[Floats] = [np.zeros(0)] * len(events)
        for number, model in enumerate(self._models):
            mine = np.flatnonzero(fold == number).tolist()
            if not mine:
                continue
            decisions = [events[row].decision for row in mine]
            x = [self._encoder.rows(d.context, d.actions).astype(np.float32) for d in decisions]
            scores = _predict(model, np.concatenate(x))
            ends = np.cumsum([len(part) for part in x])[:-1]
            for row, part in zip(mine, np.split(scores, ends), strict=True):
                found[row] = part
        return found


def _predict(model: Any, x: Any) -> Floats:
    if isinstance(model, float):
        return np.full(len(x), model)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        # a classifier's second class is 1
        predicted = model.predict_proba(x)[:, 1] if hasattr(model, "classes_") else model.predict(x)
    return np.asarray(predicted, dtype=np.float64)
