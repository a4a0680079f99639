import json

import pytest

from bandit.errors import EstimateError, PolicySpecError
from bandit.ope.tune import grid, parse_range, tune
from bandit.policies import parse_policy
from tests.bandit.ope.test_evaluate import make_log

LOG = make_log(4000, pmf=(1 / 3, 1 / 3, 1 / 3))
SPECS = grid({"name": "epsilon_greedy"}, [("epsilon", [0.05, 0.9])])


def test_the_better_setting_wins_and_its_value_is_told_by_what_did_not_pick_it():
    found = tune(LOG, SPECS)
    assert found.winner.spec["epsilon"] == 0.05
    assert (found.n, found.held_out, found.estimator) == (2000, 2000, "dr")
    # b is the best for all alike: .35, and .3 is what choosing at random earns
    assert found.winner.interval.low < 0.345 < found.winner.interval.high
    assert found.winner.difference_interval.low > 0.0
    assert found.winner.diagnostics.n == 2000
    assert "epsilon_greedy:epsilon=0.05" in "".join(found.to_table().columns[0]._cells[0].plain)


def test_the_same_by_snips_and_in_processes():
    alone = tune(LOG, SPECS, model=None)
    assert alone.estimator == "snips"
    assert alone.winner.spec["epsilon"] == 0.05


def test_json_has_the_winner_first():
    told = json.loads(tune(LOG, SPECS, share=0.25).to_json())
    assert (told["n"], told["held_out"]) == (1000, 3000)
    assert told["candidates"][0]["spec"]["epsilon"] == 0.05
    assert set(told["candidates"][0]["interval"]) == {"method", "level", "low", "high"}


def test_candidates_that_are_the_same_are_tried_once():
    spec = parse_policy("uniform")
    assert len(tune(LOG, [spec, dict(spec)]).candidates) == 1


def test_a_grid_is_every_combination():
    specs = grid(parse_policy("thompson"), [("alpha", [1, 2]), ("beta", [10, 20, 30])])
    assert len({json.dumps(spec) for spec in specs}) == 6
    with pytest.raises(PolicySpecError, match="alpha"):
        grid(parse_policy("thompson"), [("alpha", [-1])])
    with pytest.raises(PolicySpecError, match="names no values"):
        parse_range("alpha")
    assert parse_range("kind=fast,1") == ("kind", ["fast", 1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tune(LOG, []), "no candidate"),
        (lambda: tune(LOG, SPECS, share=1.0), "above 0 and below 1"),
        (lambda: tune(make_log(3), SPECS), "3 decisions"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(call, words):
    with pytest.raises(EstimateError, match=words):
        call()
