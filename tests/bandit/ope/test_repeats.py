"""A log in which users come again, and nobody is named, is told from one where they do not."""

from functools import partial

import msgspec
import pytest
from msgspec import Raw

from bandit.errors import EstimateError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.evaluate_columns import evaluate_columns
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.tables.table import open_columns, read_table
from bandit.ope.repeats import Repeats
from streams.events import Action
from tests.bandit.decisions import a_decision

AB = (Action("a"), Action("b"))


def events(context_of, n=600):
    for number in range(n):
        decision = a_decision(f"e{number}", AB, (0.5, 0.5), number % 2)
        context = Raw(msgspec.json.encode(context_of(number)))
        reward = float(number % 3 == 0)
        yield LoggedEvent(msgspec.structs.replace(decision, context=context), reward)


@pytest.mark.parametrize(
    ("context_of", "path"),
    [
        (lambda n: {"user": f"u{n % 30}"}, "user"),
        (lambda n: {"user": {"id": n % 50, "device": "phone"}}, "user.id"),
        (lambda n: {"visitorId": n // 20}, "visitorId"),
        (lambda n: {"user": f"u{n}"}, None),
        (lambda n: {"user": ("young", "old")[n % 2]}, None),
        (lambda n: {"user": {"device": f"d{n % 30}"}, "city": n % 30}, None),
        (lambda n: {}, None),
    ],
)
def test_the_field_that_names_users_is_found(context_of, path):
    repeats = Repeats()
    repeats.add(list(events(context_of)))
    words = repeats.words()
    assert (words is None) == (path is None)
    if words is not None:
        assert words.endswith(f"give --unit context.{path}.")


def test_the_verdict_says_so_until_a_unit_is_named():
    log = partial(events, lambda n: {"user": f"u{n % 150}"})
    options = Options(estimators=("snips",))
    for found in evaluate(log, ["uniform"], options).policies:
        assert found.diagnostics.verdict.code == "repeated_units"
        assert "--unit context.user" in found.diagnostics.verdict.words
    named = Options(estimators=("snips",), unit="context.user")
    for found in evaluate(log, ["uniform"], named).policies:
        assert found.diagnostics.verdict.code == "ok"
        assert found.diagnostics.effective == pytest.approx(150.0)


def test_a_unit_that_no_decision_has_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user,ad,clicked,p\n" + "u,a,1,0.5\n" * 20)
    roles = {"reward": "clicked", "propensity": "p", "action": "ad", "context.user": "user"}
    options = Options(estimators=("snips",), unit="context.usr")
    with pytest.raises(EstimateError, match=r"no decision has a value at 'context\.usr'"):
        evaluate(partial(read_table, path, roles), ["constant:a"], options)


@pytest.mark.parametrize("unit", [None, "context.user"])
def test_a_table_by_columns_and_by_decisions_says_the_same(tmp_path, unit):
    path = tmp_path / "log.csv"
    rows = [f"u{n % 150},{'ab'[n % 2]},{int(n % 3 == 0)},0.5" for n in range(600)]
    path.write_text("\n".join(["user,ad,clicked,p", *rows]) + "\n")
    roles = {"reward": "clicked", "propensity": "p", "action": "ad", "context.user": "user"}
    options = Options(estimators=("snips", "betting"), unit=unit)
    segments = () if unit is None else ("user",)
    fast = evaluate_columns(open_columns(path, roles, segments), ["constant:a"], options)
    slow = evaluate(partial(read_table, path, roles), ["constant:a"], options)
    for one, other in zip(fast.policies, slow.policies, strict=True):
        assert one.diagnostics.verdict == other.diagnostics.verdict
        for mine, theirs in zip(one.estimates, other.estimates, strict=True):
            assert mine.interval.low == pytest.approx(theirs.interval.low, abs=1e-9)
            assert mine.interval.high == pytest.approx(theirs.interval.high, abs=1e-9)
    words = [found.diagnostics.verdict.words for found in fast.policies]
    assert all(("--unit" in each) == (unit is None) for each in words)
