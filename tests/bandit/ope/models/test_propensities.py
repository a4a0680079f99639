"""Propensities that are estimated, where the true ones are known."""

import json
from functools import partial

import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.models import Propensities, estimated
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.reports.html import to_page
from streams.events import Action
from tests.bandit.decisions import a_decision

ACTIONS = tuple(Action(name) for name in "abc")
LOGGED = {"young": (0.7, 0.2, 0.1), "old": (0.1, 0.3, 0.6)}
RATES = {"young": (0.1, 0.5, 0.3), "old": (0.4, 0.2, 0.3)}


def make_log(n, seed=0, actions=ACTIONS):
    """What is written down as the pmf is even, and wrong; the truth is in LOGGED."""
    rng = np.random.default_rng(seed)
    events = []
    for number in range(n):
        age = ("young", "old")[rng.integers(2)]
        index = int(rng.choice(3, p=LOGGED[age]))
        decision = a_decision(
            f"{seed}/{number}",
            actions,
            (1 / 3, 1 / 3, 1 / 3),
            index,
            at_ms=number,
            context={"age": age},
        )
        events.append(LoggedEvent(decision, float(rng.random() < RATES[age][index]), whole=False))
    return events


LOG = make_log(6000)


def test_they_come_to_the_true_ones():
    for event in list(estimated(lambda: LOG))[:50]:
        age = json.loads(bytes(event.decision.context))["age"]
        assert event.decision.pmf == pytest.approx(LOGGED[age], abs=0.05)
        assert event.estimated
        assert event.whole


def test_values_are_right_where_the_logged_ones_made_them_wrong():
    found = {}
    for name, log in (("even", lambda: LOG), ("estimated", partial(estimated, lambda: LOG))):
        result = evaluate(log, ["constant:b"], Options(("ips",), level=0.999))
        found[name] = result.policies[1].estimates[0]
    assert 0.35 in found["estimated"].interval
    assert 0.35 not in found["even"].interval


def test_every_figure_made_from_them_carries_a_warning():
    result = evaluate(partial(estimated, lambda: LOG), ["uniform"], Options(("snips", "dr")))
    rows = [row for policy in result.policies for row in policy.estimates]
    assert {row.caveat for row in rows} == {"propensities_estimated"}
    assert "not logged but estimated" in result.warnings[0]
    page = to_page(result)
    assert "class=warning" in page
    assert "not logged but estimated" in page
    told = json.loads(result.to_json())
    assert told["policies"][0]["estimates"][0]["caveat"] == "propensities_estimated"


def test_an_action_that_was_never_chosen_has_one_all_the_same():
    model = Propensities(make_log(300))
    strange = make_log(1, seed=1, actions=(Action("a"), Action("b"), Action("new")))[0]
    if strange.decision.index == 2:
        strange = strange._replace(decision=make_log(2, seed=2)[0].decision)
    (event,) = model.estimate([strange])
    assert min(event.decision.pmf) > 0.0
    assert sum(event.decision.pmf) == pytest.approx(1.0)


def test_logs_without_choice_are_refused():
    one = [event for event in make_log(200) if event.decision.index == 0]
    with pytest.raises(EstimateError, match="propensities need two"):
        Propensities(one)
    with pytest.raises(EstimateError, match="no decision"):
        Propensities([])
