"""What several aims come to: one reward, the policy that sees to it, and what is refused."""

import pytest

from bandit.errors import PolicySpecError
from bandit.learning.versions import (
    check_objective,
    checked,
    kinds_of,
    policy_for,
    resolved,
    with_policy,
)
from bandit.policies import check_policy
from bandit.policies.wrappers import CLICK, CONVERSION
from streams.events import Outcome, Placement, RewardKind, RewardRule, decode, encode
from streams.events.placement import (
    ClicksThenConversions,
    ConversionsWithClicks,
    ValuePerImpression,
)
from streams.join.state import earned, in_order, terms_of

GUARDED = {"name": "guarded", "policy": {"name": "thompson"}, "least": 0.9}


def outcome(kind, value=1.0, number=0):
    return Outcome(
        event_id="e", outcome_id=f"{kind}-{number}", kind=kind, timestamp_ms=number, value=value
    )


def reward(objective, *outcomes):
    """What the join makes of the outcomes."""
    rule = resolved(RewardRule(objective=objective))
    return earned(terms_of(Placement(name="home", reward=rule)), in_order(outcomes))


def test_clicks_count_first_and_conversions_decide_between_equals():
    aim = ClicksThenConversions(tie=0.1)
    click, conversion = outcome("click"), outcome("conversion")
    assert reward(aim, click) == pytest.approx(0.9)
    assert reward(aim, click, conversion) == pytest.approx(1.0)
    assert reward(aim, conversion) == pytest.approx(0.1)
    assert reward(aim, click, outcome("click", number=1)) == pytest.approx(0.9)


def test_value_is_summed_up_to_the_most_and_a_share_of_it():
    aim = ValuePerImpression(kind="purchase", most=200.0)
    assert reward(aim, outcome("purchase", 30.0), outcome("purchase", 20.0, 1)) == 0.25
    assert reward(aim, outcome("purchase", 5000.0)) == 1.0
    assert reward(aim, outcome("click")) is None


def test_clicks_and_conversions_can_be_told_apart_in_the_reward():
    aim = ConversionsWithClicks(conversion="lead")
    click, lead = outcome("click"), outcome("lead")
    assert reward(aim, click) == CLICK
    assert reward(aim, lead) == CONVERSION
    assert reward(aim, click, lead) == 1.0
    # Values are of no account, nor how often.
    assert reward(aim, outcome("click", 7.0), outcome("click", 3.0, 1)) == CLICK


def test_windows_of_their_own_are_kept():
    kinds = kinds_of(ClicksThenConversions(conversion_window_seconds=86_400.0))
    assert [kind.window_seconds for kind in kinds.values()] == [None, 86_400.0]
    assert (
        kinds_of(ValuePerImpression(most=1.0, window_seconds=9.0))["purchase"].window_seconds == 9
    )


def test_a_rule_that_was_resolved_is_resolved_to_itself():
    rule = resolved(RewardRule(objective=ClicksThenConversions()))
    assert resolved(rule) == rule
    assert resolved(RewardRule()) == RewardRule()


def test_what_contradicts_an_objective_is_refused():
    aim = ClicksThenConversions()
    with pytest.raises(ValueError, match="kinds are sale, and the objective"):
        resolved(RewardRule(objective=aim, kinds={"sale": RewardKind()}))
    with pytest.raises(ValueError, match="rewards of the objective 'clicks_then_conversions'"):
        resolved(RewardRule(objective=aim, maximum=2.0))
    with pytest.raises(ValueError, match="both 'click'; two kinds"):
        resolved(RewardRule(objective=ClicksThenConversions(conversion="click")))


def test_the_constrained_one_takes_a_policy_that_keeps_to_it():
    aim = ConversionsWithClicks(least=0.8)
    policy = policy_for(aim, {"name": "text_thompson"})
    assert policy == {"name": "guarded", "policy": {"name": "text_thompson"}, "least": 0.8}
    rule = resolved(RewardRule(objective=aim))
    check_policy(policy, "realtime", rule)
    placement = checked(Placement(name="home", reward=rule, policy=policy))
    with pytest.raises(PolicySpecError, match="'thompson' does not keep to the objective"):
        with_policy(placement, {"name": "thompson"}, "simpler")
    with pytest.raises(PolicySpecError, match=r"guarded's least is 0\.9, the objective's 0\.8"):
        with_policy(placement, GUARDED, "laxer")
    floored = {"name": "floor", "policy": GUARDED | {"least": 0.8}}
    assert with_policy(placement, floored, "floored").policy["name"] == "floor"
    assert policy_for(ValuePerImpression(most=1.0), {"name": "hybrid"}) == {"name": "hybrid"}


def test_a_guard_without_the_objective_is_refused():
    with pytest.raises(PolicySpecError, match="give the placement that objective"):
        check_objective(Placement(name="home", policy=GUARDED))


def test_a_rule_from_before_objectives_reads_and_writes_as_it_did():
    before = encode(Placement(name="home"))
    assert b"objective" not in before
    assert encode(decode(before)) == before
    rule = resolved(RewardRule(objective=ConversionsWithClicks()))
    after = Placement(name="home", reward=rule)
    assert decode(encode(after)) == after
