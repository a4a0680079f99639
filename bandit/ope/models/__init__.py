"""Models that an evaluation fits to a log: of rewards, and of propensities not written down.

All are cross-fitted: no decision is judged by a model that has seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import numpy as np

from bandit.errors import EstimateError
from bandit.ope.base import Floats
from bandit.ope.models.ridge import MAIN, Encoder, RidgeModel, fold_of
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.rows import Reading, reading

MODELS: Final = ("ridge", "logistic", "boosting", "lightgbm")


class RewardModel(Protocol):
    """Learns what logged actions earned, and says what any action would."""

    def learn(self, event: LoggedEvent, weight: float = 1.0) -> None:
        """Takes in what a logged action earned; it counts `weight` times.

        Raises:
            FeatureError: the context or the action has features that cannot be read.
        """

    def fit(self) -> None:
        """Makes the model of what was learned.

        Raises:
            EstimateError: there is nothing to fit to, or the model refuses the rewards.
        """

    def scores(self, events: Sequence[LoggedEvent]) -> list[Floats]:
        """Returns what each action is expected to earn, shape (n_actions,) for each decision.

        By a model that has not seen the decision's own reward.

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """


def open_model(name: str) -> RewardModel:
    """Returns a reward model that has learned nothing yet.

    Args:
        name: `ridge`, which reads any length of log; `logistic` (logistic regression) or
            `boosting` (histogram gradient boosting) of scikit-learn; `lightgbm`.

    Raises:
        EstimateError: there is no model of this name, or its library is not installed.
    """
    if name == "ridge":
        return RidgeModel()
    if name not in MODELS:
        raise EstimateError(f"reward model is {name!r}; expected one of: {', '.join(MODELS)}")
    library = "lightgbm" if name == "lightgbm" else "sklearn"
    if find_spec(library) is None:
        raise EstimateError(
            f"reward model {name!r} needs {library}; install it with: "
            "pip install 'copyloop[evaluation]'"
        )
    return LearnedModel({"logistic": _logistic, "boosting": _boosting, "lightgbm": _gbm}[name])


def fit_model(name: str, events: Iterable[LoggedEvent]) -> RewardModel:
    """Returns the model of this name, fitted to what logged actions earned.

    Raises:
        EstimateError: as `open_model`, or the model refuses the rewards.
        FeatureError: features that cannot be read.
    """
    model = open_model(name)
    for event in events:
        model.learn(event)
    model.fit()
    return model


def _logistic(binary: bool) -> Any:
    from sklearn.linear_model import LogisticRegression

    if not binary:
        raise EstimateError(
            "reward model 'logistic' is for rewards that are 0 or 1; take ridge, boosting or "
            "lightgbm"
        )
    # the rows' joint features are small, and must not be shrunk away
    return LogisticRegression(C=100.0, max_iter=1000)


def _boosting(binary: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
    return kind(max_iter=100, learning_rate=0.05, max_leaf_nodes=15, random_state=0)


def _gbm(binary: bool) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if binary else LGBMRegressor
    return kind(
        n_estimators=100,
        learning_rate=0.05,
        num_leaves=15,
        n_jobs=1,
        random_state=0,
        deterministic=True,
        verbosity=-1,
    )


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
        """Takes in what a logged action earned."""
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
        """Fits a model a fold, to all other folds."""
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


PMF_FOLDS: Final = 3
PMF_ROWS: Final = 50_000
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

    def __init__(
        self, events: Iterable[LoggedEvent], *, folds: int = PMF_FOLDS, seed: int = 0
    ) -> None:
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
            _fit_classifier(np.stack(x)[folded != number], target[folded != number])
            for number in range(folds)
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
        least = 1.0 / (PMF_ROWS + len(self._names))
        places = [self._number.get(action.id) for action in decision.actions]
        mine = np.array([least if p is None else max(float(pmf[p]), least) for p in places])
        mine = (1.0 - MIXED) * mine / mine.sum() + MIXED / len(mine)
        known = msgspec.structs.replace(decision, pmf=tuple((mine / mine.sum()).tolist()))
        return event._replace(decision=known, whole=True, estimated=True, actions_known=True)

    def _drawn(
        self, events: Iterable[LoggedEvent], rng: np.random.Generator
    ) -> tuple[list[Floats], list[str], list[int]]:
        rows: list[tuple[Floats, str, int]] = []
        for seen, event in enumerate(events, start=1):
            place = len(rows) if len(rows) < PMF_ROWS else int(rng.integers(seen))
            if place >= PMF_ROWS:
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


def estimated(open_log: Callable[[], Iterable[LoggedEvent]], *, seed: int = 0) -> Reading:
    """Returns the log's events with propensities estimated from it; reads it twice."""
    model = Propensities(open_log(), seed=seed)

    def estimate(events: Iterator[LoggedEvent]) -> Iterator[LoggedEvent]:
        while batch := list(islice(events, AT_ONCE)):
            yield from model.estimate(batch)

    return reading(open_log()).through(estimate)


def _fit_classifier(x: Floats, target: Any) -> Any:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(target)) < 2:
        return DummyClassifier().fit(x, target)
    return LogisticRegression(max_iter=1000).fit(x, target)
