"""Models of other libraries, as the same rows are given to all of them."""

import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.models import FOLDS, MODELS, LearnedModel, fit_model, open_model
from bandit.ope.models.ridge import fold_of
from tests.bandit.ope.models.test_ridge import ACTIONS, RATES, event


def log(n, seed=0):
    rng = np.random.default_rng(seed)
    for number in range(n):
        age, action = ("young", "old")[rng.integers(2)], ACTIONS[rng.integers(2)]
        yield event(f"e{number}", age, action, float(rng.random() < RATES[age, action.id]))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_what_a_context_makes_of_an_action(name):
    model = fit_model(name, log(3000))
    found = model.scores([event("e1", "young"), event("e2", "old")])
    for age, scores in zip(("young", "old"), found, strict=True):
        expected = [RATES[age, action.id] for action in ACTIONS]
        assert scores == pytest.approx(expected, abs=0.15)


def test_a_decision_does_not_score_itself():
    """Nearest neighbours would repeat what they have seen."""
    from sklearn.neighbors import KNeighborsRegressor

    class Nearest(KNeighborsRegressor):
        def fit(self, x, y, sample_weight=None):
            return super().fit(x, y)

    model = LearnedModel(lambda binary: Nearest(n_neighbors=1))
    rewards = {}
    for number in range(40):
        rewards[f"e{number}"] = 0.1 + number
        model.learn(event(f"e{number}", f"age {number}", reward=0.1 + number))
    model.fit()
    for number in range(40):
        (scores,) = model.scores([event(f"e{number}", f"age {number}")])
        assert scores[0] != rewards[f"e{number}"]
        others = [
            r for e, r in rewards.items() if fold_of(e, FOLDS) != fold_of(f"e{number}", FOLDS)
        ]
        assert scores[0] in others


def test_rewards_that_never_varied_are_expected_again():
    model = fit_model("logistic", (event(f"e{n}", "old", reward=0.0) for n in range(30)))
    assert model.scores([event("e1", "old")])[0].tolist() == [0.0, 0.0]


def test_what_cannot_be_modelled_is_refused():
    with pytest.raises(EstimateError, match="'magic'; expected one of: ridge"):
        open_model("magic")
    with pytest.raises(EstimateError, match="rewards that are 0 or 1"):
        fit_model("logistic", (event(f"e{n}", "old", reward=n / 7) for n in range(30)))
    with pytest.raises(EstimateError, match="no decision"):
        fit_model("boosting", iter(()))


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("bandit.ope.models.find_spec", lambda name: None)
    with pytest.raises(EstimateError, match=r"pip install 'copyloop\[evaluation\]'"):
        open_model("lightgbm")
