import json
from pathlib import Path

import numpy as np
import pytest

from bandit.errors import EstimateError, PolicySpecError, PolicyStateError
from bandit.estimators.bounded import RewardRange
from bandit.evaluation.evaluate import evaluate
from bandit.evaluation.judged import open_judged
from bandit.evaluation.page import to_page
from bandit.policies import open_policy, parse_policy
from bandit.policy import sample
from bandit.readers import open_reader
from bandit.readers.logged import LoggedEvent, spread
from streams.events import Action, Decision, Raw

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
        decision = Decision(
            event_id=f"{seed}/{number}",
            placement="p",
            timestamp_ms=number,
            context=Raw(json.dumps({"age": age}).encode()),
            actions=ACTIONS,
            pmf=pmf if whole else spread(pmf[index], index, 3),
            index=index,
            policy_version="v",
        )
        reward = float(rng.random() < RATES[age][index])
        of_target = {name: pmf[index] for name, pmf in (targets or {}).items()}
        events.append(LoggedEvent(decision, reward, whole, of_target))
    return lambda: iter(events)


def of(found, policy):
    (row,) = (row for row in found.policies if row.policy == policy)
    return row, {estimate.estimator: estimate for estimate in row.estimates}


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


def test_a_snapshot_stays_as_it_is(tmp_path):
    policy = open_policy(parse_policy("thompson:alpha=1,beta=1"))
    decision = next(LOG()).decision
    for _ in range(200):
        policy.learn(decision, 1.0)
    path = tmp_path / "policy"
    path.write_bytes(policy.to_bytes())
    judged = open_judged(f"snapshot:{path}")
    answers = [judged.answer(event).pmf for event in list(LOG())[:50]]
    for pmf in answers:
        np.testing.assert_array_equal(pmf, policy.pmf(decision.context, ACTIONS))


def test_an_answer_comes_before_what_is_learned_from_it():
    judged = open_judged("epsilon_greedy:epsilon=0.1")
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
        (
            lambda: evaluate(LOG, [], ["betting"], reward_range=RewardRange(0.0, 0.5)),
            EstimateError,
            "range",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


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
    assert page.count("<svg") == 1
    assert not any(word in page for word in ("src=", "<link", "@import", "url(http"))
    for name in ("snips", "uniform", "constant:a"):
        assert name in page
    assert page == to_page(hostile)


@pytest.mark.skipif(not OBD.is_dir(), reason=f"no {OBD} here")
def test_too_few_clicks_are_no_ranking():
    folder = OBD / "random" / "all"
    found = evaluate(lambda: open_reader("obd", folder), ["constant:14"], ["replay", "snips"])
    row, estimates = of(found, "constant:14")
    assert row.diagnostics.verdict.code == "few_rewards"
    assert estimates["replay"].interval.high > 0.01
