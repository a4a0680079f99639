"""Logs of several policies as one: weights by the mixture are right, and vary less."""

import msgspec
import numpy as np
import pytest
from msgspec import Raw

from bandit.errors import EstimateError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.mixture import mixed
from bandit.ope.readers.events import LoggedEvent, spread
from streams.events import Action
from tests.bandit.decisions import a_decision

ACTIONS = tuple(Action(name) for name in "abc")
RATES = (0.1, 0.5, 0.3)
LOGGERS = {"shy": (0.9, 0.02, 0.08), "bold": (0.1, 0.6, 0.3)}


def events(n=3000, *, of_shy=2 / 3, lacking=None):
    rng, found = np.random.default_rng(9), []
    for number in range(n):
        name = "shy" if rng.random() < of_shy else "bold"
        index = int(rng.choice(3, p=LOGGERS[name]))
        pmf = spread(LOGGERS[name][index], index, 3)
        decision = a_decision(f"e{number}", ACTIONS, pmf, index)
        context = Raw(msgspec.json.encode({"logger": name}))
        decision = msgspec.structs.replace(decision, context=context)
        targets = {who: of[index] for who, of in LOGGERS.items() if who != lacking}
        found.append(
            LoggedEvent(decision, float(rng.random() < RATES[index]), whole=False, targets=targets)
        )
    return found


def test_the_mixture_is_the_balance_heuristic():
    log = events()
    shares = {name: sum(_logger(e) == name for e in log) / len(log) for name in LOGGERS}
    for before, after in zip(log, mixed(lambda: log, "context.logger")(), strict=True):
        index = before.decision.index
        expected = sum(shares[name] * LOGGERS[name][index] for name in LOGGERS)
        assert after.decision.propensity == pytest.approx(expected, abs=1e-12)
        assert after.reward == before.reward


def test_its_interval_holds_the_value_and_is_narrower():
    log = events()
    options = Options(estimators=("ips",))
    plain, joint = (
        evaluate(opened, ["constant:b"], options).policies[1].estimates[0]
        for opened in (lambda: log, mixed(lambda: log, "logger"))
    )
    assert 0.5 in joint.interval
    widths = [each.interval.high - each.interval.low for each in (plain, joint)]
    assert widths[1] < 0.7 * widths[0]


def test_who_logged_and_what_each_would_have_done_must_be_known():
    with pytest.raises(EstimateError, match="has no 'who' in its context"):
        list(mixed(lambda: events(5), "who")())
    with pytest.raises(EstimateError, match=r"--column target\.bold=COLUMN"):
        list(mixed(lambda: events(50, lacking="bold"), "logger")())


def _logger(event):
    return msgspec.json.decode(event.decision.context)["logger"]
