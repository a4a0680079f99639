"""Every reward model by its name, and how one is fitted to a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any, Final, Protocol

from bandit.errors import EstimateError
from bandit.estimator import Floats
from bandit.evaluation.models.learned import LearnedModel
from bandit.evaluation.models.ridge import RidgeModel
from bandit.readers.logged import LoggedEvent

MODELS: Final = ("ridge", "logistic", "boosting", "lightgbm")


class RewardModel(Protocol):
    """Learns what logged actions earned, and says what any action would."""

    def learn(self, event: LoggedEvent, weight: float = 1.0) -> None:
        """Takes in what a logged action earned; it counts `weight` times."""

    def fit(self) -> None:
        """Makes the model of what was learned."""

    def scores(self, events: Sequence[LoggedEvent]) -> list[Floats]:
        """Returns what each action is expected to earn, shape (n_actions,) for each decision.

        By a model that has not seen the decision's own reward.
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
