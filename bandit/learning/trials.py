"""Challengers beside a champion: each learns from the same decisions, and none is shown.

The champion's propensities are in the log, so what a challenger would have earned can be
estimated at any time, and an interval that holds at all times may be acted on by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from bandit.errors import FeatureError, LearnError
from bandit.ope.betting import BetSums, ValueBets
from bandit.ope.units import FirstDecisions
from bandit.policies import load_policy, open_policy
from bandit.policies.wrappers import baseline_index
from bandit.policy import Policy
from streams.counting import count_of
from streams.events import Interaction, Placement, PolicySpec
from streams.events.fields import value_at
from streams.events.placement import TrialResult

CHAMPION: Final = "champion"
BASELINE: Final = "baseline"
APPRENTICE: Final = "apprentice"
RESERVED: Final = (CHAMPION, BASELINE, APPRENTICE)
ALPHA: Final = 0.025
"""Of each of the two bounds."""
LARGEST_REFUSED: Final = 0.01
"""A challenger that refuses a larger share of decisions, beyond what the champion does, is not
promoted: every request like those would be answered 422."""


class Plan(Struct, frozen=True, array_like=True):
    """Who is on trial, from when decisions count, the rewards' range, and the unit, if any."""

    challengers: dict[str, PolicySpec]
    baseline: str | None
    since_ms: int
    lowest: float
    highest: float
    unit: str | None = None


def plan_of(history: Sequence[tuple[int, Placement]]) -> Plan | None:
    """Returns the plan of a placement with this dated history; None if nobody is on trial.

    An apprentice's own policy is on trial as a challenger, since nothing else tells how it does.
    What counts are decisions from since the placement has its present policy.
    """
    placement = history[-1][1]
    challengers = dict(placement.challengers or {})
    beneath = placement.policy.get("policy")
    if placement.policy.get("name") == "apprentice" and isinstance(beneath, dict):
        challengers[APPRENTICE] = beneath
    baseline = placement.safety.baseline if placement.safety else None
    rule = placement.reward
    if not (challengers or baseline) or rule.minimum == rule.maximum:
        return None
    since_ms = history[-1][0]
    for at_ms, earlier in reversed(history):
        if earlier.policy != placement.policy:
            break
        since_ms = at_ms
    unit = placement.unit or None
    return Plan(challengers, baseline, since_ms, rule.minimum, rule.maximum, unit)


class TrialEstimate(Struct):
    """What a policy would have earned, as sums over decisions, with bounds at all times at once."""

    n: int = 0
    matches: int = 0
    weights: float = 0.0
    earned: float = 0.0
    bets: ValueBets = msgspec.field(default_factory=ValueBets)

    def take(self, weight: float, share: float, *, match: bool) -> None:
        """Takes in a decision: how much likelier the policy makes it, and what it earned."""
        self.n += 1
        self.matches += match
        self.weights += weight
        self.earned += weight * share
        self.bets.add_one(weight, share)

    def result(self, plan: Plan, refused: int) -> TrialResult:
        """Returns the estimate in rewards, self-normalised, with its bounds."""
        if not self.n:
            return TrialResult(
                since_ms=plan.since_ms, n=0, value=None, low=None, high=None, match=None,
                refused=refused,
            )  # fmt: skip
        width = plan.highest - plan.lowest
        low, high = self.bets.bounds(ALPHA)
        return TrialResult(
            since_ms=plan.since_ms,
            n=self.n,
            value=plan.lowest + width * self.earned / self.weights if self.weights else None,
            low=plan.lowest + width * low,
            high=plan.lowest + width * high,
            match=self.matches / self.n,
            refused=refused,
        )


class Trials:
    """The challengers of one placement, folded beside its policy, with an estimate of each.

    A decision is taken in once, when it is closed: each challenger is asked for its pmf first,
    and learns then, so no reward is judged by a policy that has seen it. Of a placement with a unit
    each learns of every decision, and only the first of each unit counts: the bets are fair for
    decisions that do not depend on those before.
    """

    def __init__(self, plan: Plan, policies: Mapping[str, Policy] | None = None) -> None:
        self.plan = plan
        self.policies = policies or {
            name: open_policy(spec) for name, spec in sorted(plan.challengers.items())
        }
        names = [CHAMPION, *self.policies, *([BASELINE] if plan.baseline else [])]
        self.estimates = {name: TrialEstimate() for name in names}
        self.refused = dict.fromkeys(names, 0)
        self._first = None if plan.unit is None else FirstDecisions()

    def take(self, interaction: Interaction) -> bool:
        """Takes in an interaction; returns whether anything changed."""
        if interaction.status != "closed":
            return False
        decision, reward = interaction.decision, interaction.reward
        counts = decision.timestamp_ms >= self.plan.since_ms
        share = (reward - self.plan.lowest) / (self.plan.highest - self.plan.lowest)
        if not 0.0 <= share <= 1.0:
            for name in self.refused:
                self.refused[name] += 1
            return True
        if counts and self._first is not None and self.plan.unit is not None:
            unit = value_at(msgspec.json.decode(decision.context), self.plan.unit)
            counts = unit is None or self._first.take(unit)
        favourite = _most_likely(decision.pmf)
        if counts:
            self.estimates[CHAMPION].take(1.0, share, match=True)
            if self.plan.baseline:
                index = baseline_index(self.plan.baseline, decision.actions)
                weight = float(index == decision.index) / decision.pmf[decision.index]
                self.estimates[BASELINE].take(weight, share, match=index == favourite)
        for name, policy in self.policies.items():
            try:
                pmf = policy.pmf(decision.context, decision.actions).tolist()
                policy.learn(decision, reward)
            except (FeatureError, LearnError):
                # Counted and told with the results; the champion's fold is not to suffer from it.
                self.refused[name] += 1
                continue
            if counts:
                weight = pmf[decision.index] / decision.pmf[decision.index]
                self.estimates[name].take(weight, share, match=_most_likely(pmf) == favourite)
        return True

    def results(self) -> dict[str, TrialResult]:
        """Returns how everyone does: the champion, the challengers, and the baseline if named."""
        return {
            name: estimate.result(self.plan, self.refused[name])
            for name, estimate in self.estimates.items()
        }

    def to_bytes(self) -> bytes:
        """Returns the whole state: equal for equal histories, byte for byte."""
        policies = {name: policy.to_bytes() for name, policy in self.policies.items()}
        estimates = {
            name: (x.n, x.matches, x.weights, x.earned, *x.bets.sums())
            for name, x in self.estimates.items()
        }
        state: tuple[object, ...] = (self.plan, policies, estimates, self.refused)
        if self._first is not None:
            state = (*state, self._first.to_bytes())
        return msgspec.msgpack.encode(state, order="sorted")

    @classmethod
    def from_bytes(cls, data: bytes) -> Trials:
        """Returns the trials that `to_bytes` wrote.

        Raises:
            PolicyStateError: a policy in it cannot be loaded.
        """
        plan, policies, estimates, refused, first = _state_decoder.decode(data)
        found = cls(plan, {name: load_policy(state) for name, state in policies.items()})
        found.estimates = {
            name: TrialEstimate(*sums[:4], ValueBets.of(*sums[4:]))
            for name, sums in estimates.items()
        }
        found.refused = refused
        if first:
            found._first = FirstDecisions(first)
        return found


class _State(NamedTuple):
    plan: Plan
    policies: dict[str, bytes]
    estimates: dict[str, tuple[int, int, float, float, BetSums, BetSums]]
    refused: dict[str, int]
    first: bytes = b""


_state_decoder = msgspec.msgpack.Decoder(_State)


def verdict(placement: Placement, results: Mapping[str, TrialResult]) -> Placement | None:
    """Returns the placement as its results say it ought to be, with why; None to leave it.

    Only what its `safety` allows. A challenger goes before the baseline, the one with the highest
    lower bound before the others.
    """
    safety = placement.safety
    champion = results.get(CHAMPION)
    if not safety or champion is None or champion.high is None:
        return None
    if safety.promote and placement.challengers:
        lows = {
            name: _low(results, name)
            for name in sorted(placement.challengers)
            if refused_share(results, name) <= LARGEST_REFUSED
        }
        name = max(lows, key=lambda name: lows[name], default="")
        if name and lows[name] > champion.high:
            return promoted(placement, name, _because(name, results))
    if not safety.fall_back or placement.policy.get("name") == "apprentice":
        return None
    if _low(results, BASELINE) <= champion.high:
        return None
    policy: PolicySpec = {
        "name": "apprentice",
        "policy": placement.policy,
        "baseline": safety.baseline,
    }
    return msgspec.structs.replace(
        placement, policy=open_policy(policy).spec, why=_because(BASELINE, results)
    )


def promoted(placement: Placement, name: str, why: str) -> Placement:
    """Returns the placement with a challenger as its policy, and not on trial any more.

    Raises:
        KeyError: there is no such challenger.
    """
    challengers = dict(placement.challengers or {})
    policy = challengers.pop(name)
    return msgspec.structs.replace(
        placement, policy=policy, challengers=challengers or UNSET, why=why
    )


def refused_share(results: Mapping[str, TrialResult], name: str) -> float:
    """Returns which share of decisions the challenger refused that the champion did not, 0 to 1.

    A decision that everyone refuses, for its reward, tells nothing of who can read contexts.
    """
    found, champion = results.get(name), results.get(CHAMPION)
    if found is None:
        return 0.0
    own = found.refused - (champion.refused if champion is not None else 0)
    return max(own, 0) / max(found.n + own, 1)


def _low(results: Mapping[str, TrialResult], name: str) -> float:
    found = results.get(name)
    return float("-inf") if found is None or found.low is None else found.low


def _because(name: str, results: Mapping[str, TrialResult]) -> str:
    champion = results[CHAMPION]
    return (
        f"automatic: {name} earns {_low(results, name):.4g} or more, the champion "
        f"{champion.high:.4g} or less, after {count_of(champion.n, 'decision')}"
    )


def _most_likely(pmf: Sequence[float]) -> int:
    return max(range(len(pmf)), key=pmf.__getitem__)
