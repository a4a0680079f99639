import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from msgspec import Raw, structs

from bandit.errors import EstimateError, PolicySpecError, PolicyStateError
from bandit.ope.candidate import DEFAULT, Options
from bandit.ope.estimators.bounded import RewardRange
from bandit.ope.evaluate import evaluate as run_evaluate
from bandit.ope.policies import Candidate, open_target
from bandit.ope.readers import open_reader
from bandit.ope.readers.events import LoggedEvent, spread
from bandit.ope.reports.html import to_page
from bandit.policies import open_policy, parse_policy
from bandit.policy import sample
from streams.events import Action
from tests.bandit.decisions import a_decision

ACTIONS = tuple(Action(name) for name in "abc")
RATES = {"young": (0.1, 0.5, 0.3), "old": (0.4, 0.2, 0.3)}
TRUTH = {
    "uniform": 0.3,
    "constant:a": 0.25,
    "constant:b": 0.35,
}
OBD = Path(__file__).parents[3].parent / "shared" / "data" / "obd"


def make_log(n, *, pmf=(0.5, 0.25, 0.25), whole=True, targets=None, seed=0):
    rng = np.random.default_rng(seed)
    events = []
    for number in range(n):
        age = ("young", "old")[rng.integers(2)]
        index = sample(pmf, f"{seed}/{number}")
        decision = a_decision(
            f"{seed}/{number}",
            ACTIONS,
            pmf if whole else spread(pmf[index], index, 3),
            index,
            at_ms=number,
            context={"age": age},
        )
        reward = float(rng.random() < RATES[age][index])
        of_target = {name: pmf[index] for name, pmf in (targets or {}).items()}
        events.append(LoggedEvent(decision, reward, whole, of_target))
    return lambda: iter(events)


def evaluate(log, policies, estimators=DEFAULT, *, batch_size=2000, processes=1, **more):
    options = Options(estimators=tuple(estimators), **more)
    return run_evaluate(log, policies, options, batch_size=batch_size, processes=processes)


def of(found, policy):
    (row,) = (row for row in found.policies if row.policy == policy)
    return row, {estimate.estimator: estimate for estimate in row.estimates}


def logged_events(n):
    """As a log that another process can open."""
    return make_log(n)()


def many_creatives(n):
    """Forty creatives of two tones, of which only the tone counts."""
    rng = np.random.default_rng(5)
    actions = tuple(
        Action(f"{tone} {number}", Raw(json.dumps({"tone": tone}).encode()))
        for tone in ("hot", "cold")
        for number in range(20)
    )
    events = []
    for number in range(n):
        index = int(rng.integers(40))
        decision = a_decision(number, actions, (1 / 40,) * 40, index, at_ms=number)
        events.append(LoggedEvent(decision, float(rng.random() < (0.5 if index < 20 else 0.1))))
    return lambda: iter(events)


def slates(n):
    """Two slots an event, each with three creatives that earn .25, .35 and .3 in either."""
    first, second = make_log(n, seed=1)(), make_log(n, seed=2)()
    events = []
    for number, pair in enumerate(zip(first, second, strict=True)):
        for slot, event in enumerate(pair):
            decision = structs.replace(event.decision, event_id=str(number), slot=slot)
            events.append(event._replace(decision=decision))
    return lambda: iter(events)


LOGGED_VALUE = 0.5 * 0.25 + 0.25 * 0.35 + 0.25 * 0.3
LOG = make_log(6000)


@pytest.fixture(scope="module")
def found():
    estimators = ["ips", "snips", "dm", "dr", "sndr", "blend", "betting", "bernstein"]
    return evaluate(LOG, list(TRUTH), estimators, level=0.999, batch_size=700)


@pytest.mark.parametrize("policy", TRUTH)
def test_every_interval_holds_the_truth(found, policy):
    row, estimates = of(found, policy)
    assert row.diagnostics.verdict.code == "ok"
    assert len(estimates) == 8
    for estimate in estimates.values():
        assert TRUTH[policy] in estimate.interval, estimate.estimator
        assert estimate.value == pytest.approx(TRUTH[policy], abs=0.05)


def test_the_log_s_own_policy_earned_what_it_earned(found):
    rewards = [event.reward for event in LOG()]
    _, estimates = of(found, "logged")
    for name in ("ips", "snips", "dr", "betting"):
        assert estimates[name].value == pytest.approx(np.mean(rewards), abs=2e-3)
        assert estimates[name].difference is None


def test_differences_to_the_baseline_hold_the_truth(found):
    logged = 0.5 * 0.25 + 0.25 * 0.35 + 0.25 * 0.3
    _, estimates = of(found, "constant:b")
    for name in ("ips", "snips", "dr", "sndr", "betting"):
        assert 0.35 - logged in estimates[name].difference_interval
    assert estimates["dr"].difference_interval.low > 0.0
    assert estimates["blend"].difference is None


def test_batches_make_no_difference():
    log = make_log(1500)
    one, many = (evaluate(log, ["thompson"], ["snips", "dr"], batch_size=n) for n in (10**6, 700))
    for left, right in zip(one.policies, many.policies, strict=True):
        for a, b in zip(left.estimates, right.estimates, strict=True):
            assert a.value == pytest.approx(b.value, abs=1e-12)


def test_a_policy_that_learns_does_better_than_uniform():
    log = make_log(4000, pmf=(1 / 3, 1 / 3, 1 / 3))
    result = evaluate(log, ["thompson:alpha=1,beta=1"], ["snips"])
    _, estimates = of(result, "thompson:alpha=1,beta=1")
    assert estimates["snips"].difference_interval.low > 0.0


def test_a_candidate_is_evaluated_by_its_spec_whatever_it_is_called():
    log, text = make_log(2000), "thompson:alpha=1,beta=1"
    candidates = [Candidate(name, parse_policy(text)) for name in ("logged", "mine")]
    report = run_evaluate(log, [*candidates, text, "uniform", text])
    assert [one.policy for one in report.policies] == ["logged", "logged", "mine", text, "uniform"]
    _, first, second, by_text, _ = (one.estimates for one in report.policies)
    assert first == second == by_text


def test_a_snapshot_stays_as_it_is(tmp_path):
    policy = open_policy(parse_policy("thompson:alpha=1,beta=1"))
    decision = next(LOG()).decision
    for _ in range(200):
        policy.learn(decision, 1.0)
    path = tmp_path / "policy"
    path.write_bytes(policy.to_bytes())
    judged = open_target(f"snapshot:{path}")
    answers = [judged.answer(event).pmf for event in list(LOG())[:50]]
    for pmf in answers:
        np.testing.assert_array_equal(pmf, policy.pmf(decision.context, ACTIONS))


def test_an_answer_comes_before_what_is_learned_from_it():
    judged = open_target("epsilon_greedy:epsilon=0.1")
    event = next(LOG())
    first, second = (judged.answer(event._replace(reward=1.0)) for _ in range(2))
    assert first.pmf.tolist() == pytest.approx([1 / 3] * 3)
    assert second.target > 0.9


def test_a_column_of_the_log_can_be_judged():
    log = make_log(3000, targets={"rival": (0.1, 0.8, 0.1)}, whole=False)
    result = evaluate(log, ["column:rival"], ["snips", "dr", "replay"])
    row, estimates = of(result, "column:rival")
    assert estimates["snips"].value == pytest.approx(0.1 * 0.25 + 0.8 * 0.35 + 0.1 * 0.3, abs=0.05)
    assert set(row.skipped) == {"dr", "replay"}
    with pytest.raises(PolicySpecError, match=r"no such target, but rival"):
        evaluate(log, ["column:other"], ["ips"])


def test_replay_is_for_uniform_logs():
    uniform = evaluate(make_log(3000, pmf=(1 / 3, 1 / 3, 1 / 3)), ["constant:b"], ["replay"])
    _, estimates = of(uniform, "constant:b")
    assert estimates["replay"].interval.method == "clopper_pearson"
    assert 0.35 in estimates["replay"].interval
    row, estimates = of(evaluate(LOG, ["constant:b"], ["replay"]), "constant:b")
    assert not estimates
    assert "uniformly" in row.skipped["replay"]


def test_replay_says_what_part_of_the_log_it_is_of():
    found = evaluate(make_log(3000, pmf=(1 / 3, 1 / 3, 1 / 3)), ["constant:b"], ["replay"])
    logged, constant = found.policies
    # the log's own policy made every decision of the log
    assert logged.matched == 3000
    assert 900 < constant.matched < 1100
    assert f"of the {constant.matched:,} of 3,000 decisions" in found.remarks()
    assert of(found, "logged")[1]["replay"].interval.method == "clopper_pearson"


def test_the_estimator_that_cross_validation_chose_is_told():
    found = evaluate(make_log(2000), ["constant:b"], ["snips", "cross_validated"])
    row, estimates = of(found, "constant:b")
    assert 0.35 in estimates["cross_validated"].interval
    assert f"constant:b: cross_validated chose {row.chosen}." in found.remarks()
    assert json.loads(found.to_json())["policies"][1]["chosen"] == row.chosen


def test_what_the_log_never_did_is_told():
    log = make_log(2000, pmf=(0.5, 0.5, 0.0))
    row, _ = of(evaluate(log, ["uniform"], ["ips"]), "uniform")
    assert row.diagnostics.unsupported == pytest.approx(1 / 3)
    assert row.diagnostics.verdict.code == "unsupported"
    row, _ = of(evaluate(log, ["constant:nobody"], ["ips", "dr"]), "constant:nobody")
    assert row.diagnostics.verdict.code == "no_overlap"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: evaluate(lambda: iter(()), ["uniform"]), EstimateError, "no decision"),
        (lambda: evaluate(LOG, ["uniform"], ["magic"]), EstimateError, "magic"),
        (lambda: evaluate(LOG, ["magic"]), PolicySpecError, "magic"),
        (lambda: evaluate(LOG, ["snapshot:/nowhere"]), PolicySpecError, "cannot be read"),
        (lambda: evaluate(LOG, [f"snapshot:{__file__}"]), PolicyStateError, "not a policy"),
    ],
)
def test_what_cannot_be_judged_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_rewards_beyond_1_skip_what_counts_on_a_range_that_nobody_named():
    def log():
        for event in LOG():
            yield event._replace(reward=20.0 * event.reward)

    found = evaluate(log, ["uniform"], ["snips", "betting"])
    with pytest.raises(EstimateError, match="--rewards LOW HIGH"):
        evaluate(log, [], ["betting"], reward_range=RewardRange(0.0, 5.0))
    for row in found.policies:
        assert "--rewards LOW HIGH" in row.skipped["betting"]
        assert [each.estimator for each in row.estimates] == ["snips"]


def test_processes_make_no_difference():
    log, names = partial(logged_events, 1200), ["uniform", "thompson", "constant:b"]
    one, two = (evaluate(log, names, ["snips", "dr"], processes=n) for n in (1, 2))
    assert [row.policy for row in two.policies] == ["logged", *names]
    for left, right in zip(one.policies, two.policies, strict=True):
        assert left == right
    assert one.calibration == two.calibration


def test_a_policy_that_was_trained_is_judged_by_what_came_after():
    log = make_log(5000, pmf=(1 / 3, 1 / 3, 1 / 3))
    name = "trained:epsilon_greedy:epsilon=0.1"
    found = evaluate(log, [name, "uniform"], ["snips", "dr"], train=2000)
    assert found.n == 3000
    _, estimates = of(found, name)
    # b is best: 0.9 x .35 and the rest evenly
    for row in estimates.values():
        assert 0.9 * 0.35 + 0.1 * 0.3 in row.interval
    with pytest.raises(EstimateError, match="--train"):
        evaluate(log, [name])


def test_exploration_is_judged_by_what_it_would_have_seen_itself():
    log = make_log(6000, pmf=(1 / 3, 1 / 3, 1 / 3))
    names = ["explore:epsilon_greedy:epsilon=0.02", "explore:epsilon_greedy:epsilon=0.5"]
    found = evaluate(log, names, ["replay", "snips"])
    (_, bold), (_, shy) = (of(found, name) for name in names)
    for rows in (bold, shy):
        # a third of a uniform log's decisions of three actions are the policy's own
        assert rows["replay"].interval.method == "clopper_pearson"
        width = rows["replay"].interval.high - rows["replay"].interval.low
        assert width == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 2000), rel=0.1)
    # what explores half of the time earns about half of what b has over the mean
    assert 0.5 * 0.35 + 0.5 * 0.3 in shy["snips"].interval


def test_exploring_learns_from_no_more_than_it_accepts():
    judged = open_target("explore:epsilon_greedy:epsilon=0")
    accepted = [judged.answer(event).accepted for event in list(LOG())[:400]]
    # 1 over the least propensity is 4, so a quarter is accepted
    assert sum(accepted) == pytest.approx(100, abs=35)


@pytest.mark.parametrize("model", ["ridge", "boosting"])
def test_a_model_fitted_to_the_policy_s_own_weights(model):
    found = evaluate(make_log(2500), ["constant:b"], ["mrdr", "dr"], model=model, level=0.999)
    _, estimates = of(found, "constant:b")
    assert 0.35 in estimates["mrdr"].interval
    assert estimates["mrdr"].value != estimates["dr"].value
    assert 0.35 - LOGGED_VALUE in estimates["mrdr"].difference_interval


def test_many_creatives_of_few_kinds_are_judged_by_kind():
    found = evaluate(many_creatives(3000), ["constant:hot 0"], ["ips", "mips"])
    _, estimates = of(found, "constant:hot 0")
    widths = {
        name: estimates[name].interval.high - estimates[name].interval.low
        for name in ("ips", "mips")
    }
    assert 0.5 in estimates["mips"].interval
    assert widths["mips"] < 0.3 * widths["ips"]


def test_segments_hold_their_own_truth():
    found = evaluate(LOG, ["constant:b"], ["dr"], segments=("age",), level=0.999)
    row, _ = of(found, "constant:b")
    parts = {part.label: part for part in row.segments["age"]}
    assert parts["young"].n + parts["old"].n == 6000
    assert 0.5 in parts["young"].interval
    assert 0.2 in parts["old"].interval
    assert sum(part.n for part in row.over_time) == 6000


def test_creatives_are_judged_by_themselves():
    found = evaluate(LOG, [], ["dr"], creatives=True, level=0.999)
    assert found.creatives[0].creative_id == "b"
    for one in found.creatives:
        assert TRUTH.get(f"constant:{one.creative_id}", 0.3) in one.interval
    assert "By creative" in to_page(found)
    assert evaluate(LOG, [], ["snips"]).creatives == ()


def test_slots_are_judged_together_and_apart():
    found = evaluate(
        slates(3000), ["uniform"], ["slate_cascade", "slate_snips", "snips"], level=0.999
    )
    row, estimates = of(found, "uniform")
    truth = 2 * 0.3
    for name in ("slate_cascade", "slate_snips"):
        assert truth in estimates[name].interval, name
        assert estimates[name].difference_interval is not None
    assert [part.label for part in row.slots] == ["0", "1"]
    assert sum(part.value for part in row.slots) == pytest.approx(estimates["slate_cascade"].value)
    assert 0.3 in estimates["snips"].interval


def test_the_bootstrap_can_be_asked_for():
    found = evaluate(make_log(1500), ["uniform"], ["snips"], bootstrap=True)
    _, estimates = of(found, "uniform")
    assert estimates["snips"].interval.method == "bootstrap"


def test_json_holds_all_of_it(found):
    told = json.loads(found.to_json())
    assert (told["n"], told["level"], told["baseline"]) == (6000, 0.999, "logged")
    assert [row["policy"] for row in told["policies"]] == ["logged", *TRUTH]
    first = told["policies"][1]
    assert first["diagnostics"]["verdict"]["code"] == "ok"
    assert set(first["estimates"][0]["interval"]) == {"method", "level", "low", "high"}


def test_the_page_is_whole_and_escapes_names(found):
    policy = found.policies[0]
    hostile = found._replace(baseline="<script>", policies=(policy, *found.policies))
    page = to_page(hostile)
    assert "<script>" not in page
    # one of all policies, one over time, one of the weights of each, one of the reward model
    assert page.count("<svg") == 3 + len(hostile.policies)
    assert not any(word in page for word in ("src=", "<link", "@import", "url(http"))
    for name in ("snips", "uniform", "constant:a"):
        assert name in page
    assert page == to_page(hostile)


def test_the_page_says_which_log_it_is_of_and_how_large_a_lift_is(found):
    page = to_page(found._replace(source="home.parquet", since_ms=1.7e12, until_ms=1.71e12))
    assert "home.parquet" in page
    assert "from 2023-11-14 22:13 UTC to 2024-03-09 16:00 UTC" in page
    assert f"judged by copyloop {found.version}" in page
    row, estimates = of(found, "constant:b")
    logged = of(found, "logged")[1]["snips"].value
    lift = estimates["snips"].lift
    assert lift == pytest.approx(estimates["snips"].value / logged - 1.0, abs=1e-12)
    assert f"{100 * estimates['dr'].lift:+.1f} % (" in page
    assert row.diagnostics.proves


def test_policies_of_the_same_value_are_told_apart_in_pictures():
    found = evaluate(LOG, ["uniform", "constant:a"], ["snips"])
    logged, uniform, other = found.policies
    same = structs.replace(other, policy="twin", over_time=uniform.over_time)
    page = to_page(found._replace(policies=(logged, uniform, same)))
    assert "twin" in page
    assert page.count("stroke-dasharray") > to_page(
        found._replace(policies=(logged, uniform))
    ).count("stroke-dasharray")


@pytest.mark.parametrize("policy", ["constant:a", "constant:c"])
def test_a_handful_of_decisions_proves_nothing_over_the_logged_policy(policy):
    found = evaluate(make_log(15), [policy], ["snips", "betting"])
    row, estimates = of(found, policy)
    assert not row.diagnostics.proves
    assert estimates["snips"].difference is not None
    assert estimates["snips"].difference_interval is None
    assert estimates["snips"].lift_interval is None
    assert 0.0 in estimates["betting"].difference_interval


def test_a_uniform_log_supplies_the_largest_weight_by_itself():
    third = (1 / 3, 1 / 3, 1 / 3)
    log = make_log(800, pmf=third)
    told, untold = (
        of(evaluate(log, ["constant:b"], ["betting"], max_weight=weight), "constant:b")[1]
        for weight in (3.0, None)
    )
    assert told["betting"].interval == untold["betting"].interval
    skewed = make_log(800)
    assert evaluate(skewed, ["constant:b"], ["betting"]).policies[1].estimates[0].interval


@pytest.mark.skipif(not OBD.is_dir(), reason=f"no {OBD} here")
def test_too_few_clicks_are_no_ranking():
    folder = OBD / "random" / "all"
    found = evaluate(lambda: open_reader("obd", folder), ["constant:14"], ["replay", "snips"])
    row, estimates = of(found, "constant:14")
    assert row.diagnostics.verdict.code == "few_rewards"
    assert estimates["replay"].interval.high > 0.01


def test_a_fixed_policy_s_value_is_told_from_a_learning_one_s():
    learning = "epsilon_greedy:epsilon=0.1"
    found = evaluate(make_log(300), ["constant:b", learning, f"explore:{learning}"], ["snips"])
    told = {each.policy: each.value_of for each in found.policies}
    assert told == {
        "logged": "fixed",
        "constant:b": "fixed",
        learning: "learning",
        f"explore:{learning}": "exploring",
    }
    assert "learned from the whole log, also from what it would not have tried" in found.remarks()
