"""Challengers beside a champion: what they learn, how they are judged, and what comes of it."""

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from bandit.errors import PolicySpecError, VersionError
from bandit.learning.fold import PartitionFold, PlacementFold
from bandit.learning.trials import Plan, Trials, plan_of, verdict
from bandit.learning.versions import checked, with_challenger
from bandit.ope.betting import Bets
from bandit.policies import load_policy, open_policy
from bandit.policy import sample
from streams.catalogue.state import catalogue_message
from streams.errors import CheckpointError, SchemaError
from streams.events import decode, encode
from streams.events.placement import Safety, TrialResult
from tests.bandit.decisions import a_decision
from tests.bandit.histories import (
    ACTIONS,
    NOW_MS,
    catalogue_of,
    interaction,
    interaction_message,
    live,
    new_log,
    placement,
    put,
)
from tests.bandit.learning.test_worker import (
    PARTITION,
    Clock,
    a_learner,
    learning,
    published,
    undisturbed,
    until,
)
from tests.crossed_log import CrossedLog

UNIFORM = {"name": "uniform"}
THOMPSON = open_policy({"name": "thompson", "alpha": 1.0, "beta": 1.0}).spec
RATES = (0.2, 0.5, 0.8)
PLAN = Plan({"eager": THOMPSON}, "a", NOW_MS, 0.0, 1.0)


def interactions(n, *, seed=1, pmf=(1 / 3, 1 / 3, 1 / 3)):
    """What a fixed pmf decided, and what came of it."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        index = sample(pmf, f"{seed}/{number}")
        made = a_decision(f"e{number}", ACTIONS, pmf, index, at_ms=NOW_MS + number)
        yield interaction(made, number, float(rng.random() < RATES[index]))


def after(history, plan=PLAN):
    trials = Trials(plan)
    for each in history:
        trials.take(each)
    return trials


def test_estimates_bracket_what_each_would_earn():
    found = after(interactions(4000)).results()
    assert list(found) == ["champion", "eager", "baseline"]
    assert {result.n for result in found.values()} == {4000}
    for name, truth in (("champion", 0.5), ("baseline", 0.2)):
        assert found[name].low < truth < found[name].high
        assert found[name].value == pytest.approx(truth, abs=0.05)
    assert 0.65 < found["eager"].low < found["eager"].value < 0.85


def test_bounds_hold_where_the_log_never_shows_what_the_policy_would():
    found = after(interactions(500, pmf=(1.0, 0.0, 0.0))).results()["eager"]
    assert found.low <= 0.2
    assert found.high >= 0.8


def test_a_challenger_is_judged_before_it_learns():
    """Learning first, it would know which action won, and be credited for it."""
    trials = after(interactions(1))
    pmf = open_policy(THOMPSON).pmf(msgspec.Raw(b"{}"), ACTIONS)
    (first,) = interactions(1)
    assert trials.estimates["eager"].weights == pytest.approx(
        pmf[first.decision.index] / first.decision.pmf[first.decision.index]
    )


def test_only_closed_interactions_count_and_only_from_the_beginning_on():
    (one,) = interactions(1)
    early = msgspec.structs.replace(
        one, decision=msgspec.structs.replace(one.decision, timestamp_ms=NOW_MS - 1)
    )
    for status in ("provisional", "corrected"):
        trials = Trials(PLAN)
        assert not trials.take(msgspec.structs.replace(one, status=status))
        assert trials.to_bytes() == Trials(PLAN).to_bytes()
    trials = after([early])
    assert trials.results()["eager"].n == 0
    assert trials.policies["eager"].to_bytes() != Trials(PLAN).policies["eager"].to_bytes()


def test_match_is_how_often_the_favourites_agree():
    found = after(interactions(300, pmf=(0.1, 0.1, 0.8))).results()
    assert found["eager"].match > 0.8
    assert found["baseline"].match == 0.0


def test_rewards_outside_of_the_range_are_refused_and_counted():
    (one,) = interactions(1)
    found = after([msgspec.structs.replace(one, reward=2.0)]).results()
    assert {(result.n, result.refused) for result in found.values()} == {(0, 1)}


def test_a_challenger_that_cannot_learn_disturbs_nobody():
    (one,) = interactions(1)
    plan = Plan({"bold": THOMPSON, "wide": UNIFORM}, None, NOW_MS, 0.0, 5.0)
    found = after([msgspec.structs.replace(one, reward=2.0)], plan).results()
    assert {name: (result.n, result.refused) for name, result in found.items()} == {
        "champion": (1, 0),
        "bold": (0, 1),
        "wide": (1, 0),
    }


def test_bytes_hold_everything_wherever_it_was_resumed():
    history = list(interactions(40))
    trials = after(history[:17])
    trials = Trials.from_bytes(trials.to_bytes())
    for each in history[17:]:
        trials.take(each)
    whole = after(history)
    assert trials.to_bytes() == whole.to_bytes()
    assert trials.results() == whole.results()


def test_one_value_at_a_time_is_the_same_bet():
    values = np.array([0.0, 1.0, 3.5])
    one, many = Bets(), Bets()
    many.add(values)
    for value in values:
        one.add_one(float(value))
    assert one.lower(0.05) == pytest.approx(many.lower(0.05))
    assert Bets.of(*one.sums()).sums() == one.sums()


def home(**fields):
    return checked(placement(policy=UNIFORM, **fields))


def test_what_counts_begins_with_the_present_policy():
    one, other = home(challengers={"x": THOMPSON}), placement(policy=THOMPSON)
    renamed = msgspec.structs.replace(one, challengers={"y": THOMPSON})
    plan = plan_of([(1, one), (2, other), (3, one), (4, renamed)])
    assert (plan.challengers, plan.since_ms) == ({"y": THOMPSON}, 3)
    assert plan_of([(2, other)]) is None


def test_an_apprentice_is_on_trial_by_itself():
    wrapped = placement(policy={"name": "apprentice", "policy": THOMPSON})
    assert plan_of([(1, wrapped)]).challengers == {"apprentice": THOMPSON}


def result(low, high):
    return TrialResult(since_ms=0, n=9, value=None, low=low, high=high, match=None)


def results(champion, x, baseline):
    return {"champion": result(*champion), "x": result(*x), "baseline": result(*baseline)}


def test_nothing_changes_by_itself_unless_it_may():
    won = results((0.1, 0.2), (0.3, 0.4), (0.3, 0.4))
    assert verdict(home(challengers={"x": THOMPSON}), won) is None
    named = Safety(baseline="a")
    assert verdict(home(challengers={"x": THOMPSON}, safety=named), won) is None


def test_a_challenger_that_is_better_for_sure_becomes_the_champion():
    ours = home(challengers={"x": THOMPSON}, safety=Safety(promote=True))
    assert verdict(ours, results((0.1, 0.3), (0.3, 0.4), (0.0, 1.0))) is None
    changed = verdict(ours, results((0.1, 0.2), (0.3, 0.4), (0.0, 1.0)))
    assert (changed.policy, changed.challengers) == (THOMPSON, UNSET)
    assert changed.why == (
        "automatic: x earns 0.3 or more, the champion 0.2 or less, after 9 decisions"
    )


def test_a_challenger_that_cannot_read_the_contexts_is_not_promoted():
    """Also where the few that it read were kind to it."""
    ours = home(challengers={"x": THOMPSON, "y": UNIFORM}, safety=Safety(promote=True))
    won = results((0.1, 0.2), (0.5, 0.6), (0.0, 1.0)) | {"y": result(0.3, 0.4)}
    won["x"] = msgspec.structs.replace(won["x"], refused=1)
    assert verdict(ours, won).policy == UNIFORM
    # a reward that nobody takes says nothing of who can read
    both = won | {"champion": msgspec.structs.replace(won["champion"], refused=1)}
    assert verdict(ours, both).policy == THOMPSON
    alone = home(challengers={"x": THOMPSON}, safety=Safety(promote=True))
    assert verdict(alone, won) is None


def test_a_champion_that_is_worse_than_the_baseline_for_sure_is_shown_no_more():
    ours = home(safety=Safety(fall_back=True, baseline="a"))
    assert verdict(ours, results((0.1, 0.3), (0.0, 1.0), (0.3, 0.4))) is None
    changed = verdict(ours, results((0.1, 0.2), (0.0, 1.0), (0.3, 0.4)))
    assert (
        changed.policy
        == open_policy({"name": "apprentice", "policy": UNIFORM, "baseline": "a"}).spec
    )
    assert verdict(changed, results((0.1, 0.2), (0.0, 1.0), (0.3, 0.4))) is None


def test_a_challenger_is_promoted_by_name():
    ours = home(challengers={"x": THOMPSON, "y": UNIFORM})
    changed = with_challenger(ours, "x", "by hand")
    assert (changed.policy, changed.challengers) == (THOMPSON, {"y": UNIFORM})
    with pytest.raises(VersionError, match="'z'; the placement has: x, y"):
        with_challenger(ours, "z", "by hand")


@pytest.mark.parametrize(
    ("challengers", "message"),
    [
        ({"champion": UNIFORM}, "called 'champion'"),
        ({"x": {"name": "vw"}}, "cannot correct a reward"),
        ({"x": {"name": "x"}}, "name is 'x'"),
    ],
)
def test_challengers_that_could_not_take_over_are_refused(challengers, message):
    with pytest.raises(PolicySpecError, match=message):
        home(challengers=challengers)


def test_falling_back_needs_a_baseline():
    with pytest.raises(ValueError, match="without a baseline"):
        Safety(fall_back=True)
    event = encode(home(safety=Safety(fall_back=True, baseline="a")))
    with pytest.raises(SchemaError, match="without a baseline"):
        decode(event.replace(b'"baseline":"a"', b'"baseline":null'))


def test_a_placement_without_trials_is_written_as_ever():
    assert not {b"challengers", b"safety", b"why"} & set(encode(placement()).split(b'"'))


def test_a_learners_state_from_before_trials_still_reads():
    fold = PartitionFold()
    fold.placements["home"] = PlacementFold(THOMPSON)
    state = msgspec.msgpack.decode(fold.to_bytes())
    state[1]["home"].pop()
    old = msgspec.msgpack.encode(state)
    assert PartitionFold.from_bytes(old).to_bytes() == fold.to_bytes()
    with pytest.raises(CheckpointError):
        PartitionFold.from_bytes(old[:-1])


def test_a_challenger_that_is_named_later_learns_from_the_whole_log(tmp_path):
    ours = home()
    log = new_log(ours)
    with learning(log, tmp_path):
        live(log, ours, 30, seed=1)
        until(lambda: published(log) == undisturbed(log))
        put(log, home(challengers={"x": THOMPSON}))
        until(lambda: published(log).trials)
        live(log, ours, 10, seed=2, first=30)
        until(lambda: published(log) == undisturbed(log))
    with learning(log, tmp_path):
        live(log, ours, 5, seed=3, first=40)
        until(lambda: published(log) == undisturbed(log))


def later(n):
    """Interactions of decisions from after their placement was made, whatever the time is."""
    for each in interactions(n):
        made = msgspec.structs.replace(each.decision, timestamp_ms=2**52)
        yield interaction_message(msgspec.structs.replace(each, decision=made))


def states(log):
    return catalogue_of(log).placement_history("home")


def test_a_better_challenger_takes_over_by_itself_once(tmp_path):
    ours = home(challengers={"x": THOMPSON}, safety=Safety(promote=True))
    log = new_log(ours)
    with learning(log, tmp_path):
        log.append(list(later(3000)))
        until(lambda: published(log) is not None and published(log).spec == THOMPSON)
        until(lambda: published(log) == undisturbed(log))
    first, second = states(log)
    assert first == ours
    assert (second.policy, second.challengers) == (THOMPSON, UNSET)
    assert second.why.startswith("automatic: x earns ")


@pytest.mark.parametrize("by_hand", [None, "before", "at the same moment"])
def test_what_was_changed_by_hand_meanwhile_is_not_written_over(by_hand, tmp_path):
    ours = home(challengers={"x": THOMPSON}, safety=Safety(promote=True))
    log = CrossedLog(new_log(ours))
    log.append(list(later(2000)))
    learner, start = a_learner(log, tmp_path, clock=Clock(), publish_seconds=60.0)
    learner.step(log.read(PARTITION, start, limit=1))
    learner.step(log.read(PARTITION, start + 1, limit=2000))
    assert states(log) == [ours], "it is not yet time to publish"
    theirs = msgspec.structs.replace(ours, safety=Safety(), challengers={"y": THOMPSON})
    if by_hand == "before":
        put(log, theirs)
    elif by_hand:
        log.crossing = [catalogue_message(theirs)]
    learner.revoked([PARTITION])
    assert states(log)[-1].policy == (UNIFORM if by_hand else THOMPSON)
    assert len(states(log)) == 2


def test_falling_back_shows_the_baseline_and_goes_on_learning(tmp_path):
    ours = checked(
        placement(policy=THOMPSON, safety=Safety(fall_back=True, baseline="c")),
    )
    log = new_log(ours)
    with learning(log, tmp_path):
        # the champion shows it seldom, and still that is enough to see
        log.append(list(later(3000)))
        until(lambda: published(log) is not None and published(log).spec["name"] == "apprentice")
        until(lambda: published(log) == undisturbed(log))
    shown = load_policy(published(log).state)
    assert shown.pmf(msgspec.Raw(b"{}"), ACTIONS).tolist() == [0.0, 0.0, 1.0]
    assert shown.spec["policy"] == THOMPSON
    assert "apprentice" in published(log).trials
    assert [state.why for state in states(log)][1].startswith("automatic: baseline earns ")


def test_of_a_placement_with_a_unit_the_first_decision_of_each_counts():
    plan = msgspec.structs.replace(PLAN, unit="context.user")
    history = []
    for number, each in enumerate(interactions(400)):
        context = msgspec.Raw(msgspec.json.encode({"user": f"u{number % 40}"}))
        decision = msgspec.structs.replace(each.decision, context=context)
        history.append(msgspec.structs.replace(each, decision=decision))
    trials = after(history, plan)
    found = trials.results()
    assert {result.n for result in found.values()} == {40}
    # all learn of every decision, and a checkpoint remembers who came
    assert trials.policies["eager"].to_bytes() == after(history).policies["eager"].to_bytes()
    again = Trials.from_bytes(trials.to_bytes())
    assert again.to_bytes() == trials.to_bytes()
    for each in history:
        again.take(each)
    assert again.results()["champion"].n == 40


def test_a_state_from_before_units_still_loads():
    trials = after(interactions(50))
    plan, *rest = msgspec.msgpack.decode(trials.to_bytes())
    assert len(rest) == 3
    found = Trials.from_bytes(msgspec.msgpack.encode((plan[:-1], *rest)))
    assert found.plan == trials.plan
    assert found.results() == trials.results()
