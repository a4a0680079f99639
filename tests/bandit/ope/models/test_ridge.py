import json

import numpy as np
import pytest
from msgspec import Raw

from bandit.errors import EstimateError, FeatureError
from bandit.ope.models.ridge import FOLDS, CrossRidge, RidgeModel, fold_of
from bandit.ope.readers.events import LoggedEvent, spread
from streams.events import Action
from tests.bandit.decisions import a_decision

ACTIONS = tuple(Action(name, Raw(b'{"tone":"%s"}' % name.encode())) for name in ("loud", "plain"))
RATES = {
    ("young", "loud"): 0.8,
    ("young", "plain"): 0.2,
    ("old", "loud"): 0.1,
    ("old", "plain"): 0.4,
}


def context(age):
    return Raw(json.dumps({"age": age}).encode())


def event(event_id, age, action=ACTIONS[0], reward=0.0, actions=ACTIONS):
    decision = a_decision(
        event_id,
        actions,
        spread(1 / len(actions), 0, len(actions)),
        actions.index(action),
        context=context(age),
    )
    return LoggedEvent(decision, reward)


def fitted(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    model = RidgeModel()
    for number in range(n):
        age, action = ("young", "old")[rng.integers(2)], ACTIONS[rng.integers(2)]
        reward = float(rng.random() < RATES[age, action.id])
        model.learn(event(f"e{number}", age, action, reward))
    return model


def test_it_learns_what_a_context_makes_of_an_action():
    model = fitted()
    for age in ("young", "old"):
        expected = [RATES[age, action.id] for action in ACTIONS]
        assert model.scores([event("e1", age)])[0] == pytest.approx(expected, abs=0.1)


def test_scores_do_not_depend_on_the_other_actions():
    model = fitted(200)
    (both,) = model.scores([event("e1", "old")])
    alone = [model.scores([event("e1", "old", a, actions=(a,))])[0][0] for a in ACTIONS]
    assert both == pytest.approx(alone, abs=1e-12)


def test_a_decision_does_not_score_itself():
    # one decision of a large reward moves all folds' scores but its own
    model, other = fitted(200), fitted(200)
    other.learn(event("big", "old", reward=1000.0))
    same = next(f"e{i}" for i in range(99) if fold_of(f"e{i}", FOLDS) == fold_of("big", FOLDS))
    apart = next(f"e{i}" for i in range(99) if fold_of(f"e{i}", FOLDS) != fold_of("big", FOLDS))

    def moved(event_id):
        scores = [m.scores([event(event_id, "old")])[0][0] for m in (model, other)]
        return abs(scores[1] - scores[0])

    assert moved(same) < 1e-9
    assert moved("big") < 1e-9
    assert moved(apart) > 1.0


def test_features_that_cannot_be_read_are_refused():
    bad = Action("bad", Raw(b"[1]"))
    with pytest.raises(FeatureError):
        RidgeModel().learn(event("e", "old", bad, actions=(bad,)))


def test_cross_ridge_is_ridge_on_the_other_folds():
    rng = np.random.default_rng(1)
    x, reward, fold = rng.normal(size=(90, 4)), rng.normal(size=90), np.arange(90) % 3
    weight = rng.uniform(0.5, 2.0, 90)
    model = CrossRidge(4, folds=3, ridge=2.0)
    for part in np.array_split(np.arange(90), 4):
        model.add(x[part], reward[part], fold[part], weight=weight[part])
    found = model.weights()
    for number in range(3):
        others = fold != number
        scaled = x[others] * weight[others, None]
        expected = np.linalg.solve(
            scaled.T @ x[others] + 2.0 * np.eye(4), scaled.T @ reward[others]
        )
        assert found[number] == pytest.approx(expected)


def test_one_fold_is_none():
    with pytest.raises(EstimateError, match="at least 2"):
        CrossRidge(3, folds=1)
