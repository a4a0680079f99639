import numpy as np
import pytest
from scipy import stats

from bandit.errors import EstimateError
from bandit.ope.creatives import CreativeEstimate, CreativeJudge, judge_creatives, p_better
from bandit.ope.models import fit_model
from bandit.ope.readers.events import LoggedEvent
from streams.events import Action
from tests.bandit.decisions import a_decision
from tests.bandit.ope.test_evaluate import RATES, make_log

MEANS = {
    name: np.mean([rates[place] for rates in RATES.values()]) for place, name in enumerate("abc")
}


def skewed(n, seed=0):
    """A log whose policy shows each creative to those who like it: raw rates all look alike."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        age = ("young", "old")[rng.integers(2)]
        pmf = {"young": (0.1, 0.8, 0.1), "old": (0.8, 0.1, 0.1)}[age]
        index = int(rng.choice(3, p=pmf))
        decision = a_decision(
            number, [Action(name) for name in "abc"], pmf, index, at_ms=number, context={"age": age}
        )
        yield LoggedEvent(decision, float(rng.random() < RATES[age][index]))


def test_who_saw_a_creative_does_not_count():
    log = list(skewed(8000))
    raw = np.mean([e.reward for e in log if e.decision.action.id == "a"])
    assert raw > MEANS["a"] + 0.08
    for model in (None, fit_model("ridge", log)):
        found = {one.creative_id: one for one in judge_creatives(log, model=model, level=0.999)}
        for name, mean in MEANS.items():
            assert mean in found[name].interval, (name, model)
            assert found[name].value == pytest.approx(mean, abs=0.05)
            assert found[name].offered == 8000
        assert found["a"].effective < found["a"].shown
        assert (found["a"].dr is None) == (model is None)


def test_each_segment_has_its_own_best():
    found = judge_creatives(make_log(4000)(), segment="age", level=0.999)
    best = {}
    for one in found:
        best.setdefault(one.segment, one.creative_id)
        rate = RATES[one.segment]["abc".index(one.creative_id)]
        assert rate in one.interval
    assert best == {"young": "b", "old": "a"}


def test_parts_are_added_up():
    log = list(make_log(3000)())
    parts = CreativeJudge(), CreativeJudge()
    parts[0].add(log[:1100])
    parts[1].add(log[1100:])
    merged, whole = (parts[0] + parts[1]).get(), judge_creatives(log)
    for mine, theirs in zip(merged, whole, strict=True):
        assert (mine.creative_id, mine.shown) == (theirs.creative_id, theirs.shown)
        assert mine.snips == pytest.approx(theirs.snips)
        assert mine.effective == pytest.approx(theirs.effective)
    with pytest.raises(EstimateError, match="cannot be added up"):
        CreativeJudge("age") + CreativeJudge()


def test_intervals_of_rare_rewards_cover():
    rng = np.random.default_rng(3)
    decision = next(make_log(1)()).decision
    covered = 0
    for _ in range(200):
        clicks = rng.random(300) < 0.02
        log = [LoggedEvent(decision, float(click)) for click in clicks]
        (chosen,) = (c for c in judge_creatives(log) if c.shown)
        covered += 0.02 in chosen.interval
    assert 0.91 <= covered / 200 <= 0.99


def test_rewards_of_any_size_have_intervals_that_cover():
    """A mean below 1 of amounts up to 40 is no rate, and is far less sure than one."""
    rng, decision = np.random.default_rng(5), next(make_log(1)()).decision
    covered, runs = 0, 200
    for _ in range(runs):
        amounts = np.where(rng.random(600) < 0.05, rng.choice([5.0, 15.0, 40.0], 600), 0.0)
        log = [LoggedEvent(decision, float(amount)) for amount in amounts]
        (chosen,) = (c for c in judge_creatives(log) if c.shown)
        covered += 1.0 in chosen.interval
    assert 0.91 <= covered / runs <= 0.99


def test_users_who_come_again_make_a_creative_less_sure():
    rng, actions = np.random.default_rng(6), [Action(name) for name in "ab"]
    log = []
    for number in range(3000):
        user = number % 60
        decision = a_decision(
            number, actions, (0.5, 0.5), int(rng.integers(2)), context={"user": f"u{user}"}
        )
        log.append(LoggedEvent(decision, float(rng.random() < (0.5 if user % 2 else 0.02))))
    for model in (None, fit_model("ridge", log)):
        plain, by_user = (
            judge_creatives(log, model=model, unit=unit) for unit in (None, "context.user")
        )
        for one, other in zip(plain, by_user, strict=True):
            assert one.value == pytest.approx(other.value)
            widths = [each.interval.high - each.interval.low for each in (one, other)]
            assert widths[1] > 1.5 * widths[0]
    with pytest.raises(EstimateError, match="units cannot be added up"):
        CreativeJudge(unit="context.user") + CreativeJudge()


def estimate(value, n):
    return CreativeEstimate("a", "all", n, n, float(n), value, None, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [((0.1, 500), (0.08, 300)), ((0.01, 4000), (0.012, 5000)), ((0.5, 4), (0.2, 9))],
)
def test_how_probably_one_is_better_agrees_with_draws(one, other):
    rng = np.random.default_rng(4)
    draws = [
        stats.beta(0.5 + v * n, 0.5 + (1 - v) * n).rvs(200_000, random_state=rng)
        for v, n in (one, other)
    ]
    found = p_better(estimate(*one), estimate(*other))
    assert found == pytest.approx((draws[0] > draws[1]).mean(), abs=0.005)
    assert found + p_better(estimate(*other), estimate(*one)) == pytest.approx(1.0)


def test_nothing_known_is_a_coin():
    nothing = CreativeEstimate("a", "all", 0, 0, 0.0, None, None, None)
    assert p_better(nothing, nothing) == pytest.approx(0.5)
    assert p_better(estimate(0.9, 500), nothing) > 0.75
