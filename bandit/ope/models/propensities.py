"""Propensities that nobody wrote down, estimated: how probable each action was in its context.

Right only where the choice depended on nothing but what the log holds. So whatever is made from
them carries a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Final

import msgspec
import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import Floats
from bandit.ope.models.ridge import MAIN, Encoder, fold_of
from bandit.ope.readers.events import LoggedEvent

FOLDS: Final = 3
ROWS: Final = 50_000
MIXED: Final = 0.01
"""The share of evenness in what is estimated, so that no propensity is 0."""
AT_ONCE: Final = 1000


class Propensities:
    """A multinomial logistic regression of the chosen action on its context, cross-fitted.

    Each decision's pmf is by the model fitted to the other folds, restricted to the actions that
    it had. An action that a fold never chose counts as if chosen once.

    Args:
        events: the log; of more than 50,000 decisions, as many are drawn from all of it.
        folds: at least 2.
        seed: of the drawing.

    Raises:
        EstimateError: scikit-learn is not installed, or fewer than two actions were ever chosen.
        FeatureError: a context that cannot be read.
    """

    def __init__(self, events: Iterable[LoggedEvent], *, folds: int = FOLDS, seed: int = 0) -> None:
        if find_spec("sklearn") is None:
            raise EstimateError(
                "propensities are estimated by scikit-learn; install it with: "
                "pip install 'copyloop[evaluation]'"
            )
        self._encoder = Encoder()
        self._folds = folds
        x, action, fold = self._drawn(events, np.random.default_rng(seed))
        self._names = sorted(set(action))
        if len(self._names) < 2:
            raise EstimateError(
                f"the log's decisions chose {len(self._names)} actions; propensities need two"
            )
        self._number = {name: place for place, name in enumerate(self._names)}
        target = np.array([self._number[name] for name in action])
        folded = np.array(fold)
        self._models = [
            _fit(np.stack(x)[folded != number], target[folded != number]) for number in range(folds)
        ]

    def estimate(self, events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
        """Returns the events with estimated pmfs, marked so."""
        fold = np.array([fold_of(event.decision.event_id, self._folds) for event in events])
        x = np.stack([self._row(event) for event in events])
        pmfs: Floats = np.zeros((len(events), len(self._names)))
        for number, model in enumerate(self._models):
            mine = fold == number
            if mine.any():
                pmfs[np.ix_(mine, model.classes_)] = model.predict_proba(x[mine])
        return [self._with(event, pmf) for event, pmf in zip(events, pmfs, strict=True)]

    def _with(self, event: LoggedEvent, pmf: Floats) -> LoggedEvent:
        decision = event.decision
        least = 1.0 / (ROWS + len(self._names))
        places = [self._number.get(action.id) for action in decision.actions]
        mine = np.array([least if p is None else max(float(pmf[p]), least) for p in places])
        mine = (1.0 - MIXED) * mine / mine.sum() + MIXED / len(mine)
        known = msgspec.structs.replace(decision, pmf=tuple((mine / mine.sum()).tolist()))
        return event._replace(decision=known, whole=True, estimated=True)

    def _drawn(
        self, events: Iterable[LoggedEvent], rng: np.random.Generator
    ) -> tuple[list[Floats], list[str], list[int]]:
        rows: list[tuple[Floats, str, int]] = []
        for seen, event in enumerate(events, start=1):
            place = len(rows) if len(rows) < ROWS else int(rng.integers(seen))
            if place >= ROWS:
                continue
            decision = event.decision
            fold = fold_of(decision.event_id, self._folds)
            row = (self._row(event), decision.action.id, fold)
            rows[place : place + 1] = [row]
        if not rows:
            raise EstimateError("the log holds no decision; there are no propensities to estimate")
        x, action, fold_numbers = zip(*rows, strict=True)
        return list(x), list(action), list(fold_numbers)

    def _row(self, event: LoggedEvent) -> Floats:
        return self._encoder.context(event.decision.context)[:MAIN]


def estimated(
    open_log: Callable[[], Iterable[LoggedEvent]], *, seed: int = 0
) -> Iterator[LoggedEvent]:
    """Yields the log's events with propensities estimated from it; reads it twice."""
    model, waiting = Propensities(open_log(), seed=seed), []
    for event in open_log():
        waiting.append(event)
        if len(waiting) == AT_ONCE:
            yield from model.estimate(waiting)
            waiting = []
    if waiting:
        yield from model.estimate(waiting)


def _fit(x: Floats, target: Any) -> Any:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(target)) < 2:
        return DummyClassifier().fit(x, target)
    return LogisticRegression(max_iter=1000).fit(x, target)
