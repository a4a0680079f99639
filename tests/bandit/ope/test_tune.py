import json

import numpy as np
import pytest

from bandit.errors import EstimateError, PolicySpecError
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.tune import grid, parse_range, tune
from bandit.policies import open_policy, parse_policy
from bandit.policy import sample
from streams.events import EMPTY, Action
from tests.bandit.decisions import a_decision
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
    assert (told["learned_from"], told["tried"]) == ("own", 1333)
    first, second = (candidate["selection"] for candidate in told["candidates"])
    assert first >= second
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


def ten_arms(n, *, pmf=(0.1,) * 10, seed=0, rates=(0.05, 0.09)):
    """A log of ten creatives, one of which earns 9 % and the others 5 %."""
    rng, events = np.random.default_rng(seed), []
    actions = tuple(Action(f"{k}") for k in range(10))
    for number in range(n):
        index = sample(pmf, f"{seed}/{number}")
        decision = a_decision(f"{seed}/{number}", actions, pmf, index, at_ms=number)
        reward = float(rng.random() < rates[index == 7])
        events.append(LoggedEvent(decision, reward, whole=True, targets={}))
    return lambda: iter(events)


GREEDY = grid({"name": "epsilon_greedy", "mean": 0.05}, [("epsilon", [0.0, 0.3])])


def lived(spec, n, seeds):
    """What the policy earns on average in its later half, where it decides itself."""
    earned = []
    for seed in range(seeds):
        policy, rng = open_policy(spec), np.random.default_rng([seed, 9])
        actions = tuple(Action(f"{k}") for k in range(10))
        for number in range(n):
            pmf = policy.pmf(EMPTY, actions)
            index = sample(pmf, f"{seed}/{number}")
            earned += [0.05 + 0.04 * pmf[7]] * (number >= n // 2)
            reward = float(rng.random() < (0.09 if index == 7 else 0.05))
            policy.learn(a_decision(f"{number}", actions, pmf, index), reward)
    return np.mean(earned)


def test_a_candidate_is_promised_what_it_would_have_found_out_itself():
    """Not what it would have earned had it known all that was logged, .088 of at most .09."""
    found = tune(ten_arms(6000), GREEDY[:1], level=0.99)
    assert (found.learned_from, found.tried) == ("own", 600)
    truth = lived(GREEDY[0], 600, 12)
    assert truth < 0.07
    assert found.winner.value == pytest.approx(truth, abs=0.012)
    assert truth in found.winner.interval
    assert "would have tried itself, about 600 decisions a run" in found.words


def test_a_log_that_does_not_allow_it_says_so():
    pmf = (0.991, *[0.001] * 9)
    found = tune(ten_arms(3000, pmf=pmf), GREEDY[:1])
    assert (found.learned_from, found.tried) == ("all", 3)
    assert "Do not choose how much to explore by them" in found.to_table().caption
    assert json.loads(found.to_json())["learned_from"] == "all"


def test_intervals_count_users_where_a_unit_names_them():
    log = users(150)
    plain, by_user = tune(log, SPECS), tune(log, SPECS, unit="context.user")
    assert plain.winner.diagnostics.verdict.code == "repeated_units"
    assert "give --unit context.user" in plain.winner.diagnostics.verdict.words
    assert by_user.winner.diagnostics.verdict.code == "ok"
    assert by_user.winner.value == plain.winner.value
    widths = [each.winner.interval.high - each.winner.interval.low for each in (plain, by_user)]
    assert widths[1] > 1.5 * widths[0]
    with pytest.raises(EstimateError, match=r"no decision has a value at 'context\.who'"):
        tune(log, SPECS, unit="context.who")


def users(n, visits=20):
    """Users who come again and again; each clicks on whatever there is, or on nothing."""
    rng, events = np.random.default_rng(3), []
    actions, pmf = (Action("a"), Action("b"), Action("c")), (1 / 3,) * 3
    for number in range(n * visits):
        user, event_id = number % n, f"{number}"
        index, context = sample(pmf, event_id), {"user": f"u{user}"}
        decision = a_decision(event_id, actions, pmf, index, context=context, at_ms=number)
        reward = float(rng.random() < (0.6 if user % 2 else 0.05))
        events.append(LoggedEvent(decision, reward, whole=True, targets={}))
    return lambda: iter(events)


def test_every_interval_lies_where_the_value_can():
    """Also when few earn anything, and what other runs would have changed makes it wider."""
    log = ten_arms(1200, pmf=(0.1,) * 10, rates=(0.99, 0.995))
    for candidate in tune(log, GREEDY).candidates:
        assert 0.0 <= candidate.interval.low <= candidate.value <= candidate.interval.high <= 1.0
