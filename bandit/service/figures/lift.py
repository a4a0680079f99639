"""By how much more than chance, or than the baseline, a placement earns, and how sure that is.

What was shown is held against what would have been earned by showing any creative alike, or the
baseline alone, on the same decisions, by their logged propensities. The interval holds at all times
at once, so a page may be looked at until it pleases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from msgspec import Struct

from bandit.ope.base import Batch, RewardRange
from bandit.ope.estimators.bounded import BettingIps
from bandit.ope.estimators.compare import BettingDifference
from bandit.ope.intervals import LEVEL, relative_bounds
from bandit.ope.units import FirstDecisions
from streams.events import Placement, PolicySpec
from streams.events.fields import doc

Over: TypeAlias = Literal["uniform", "baseline"]

SPARE: Final = 2.0
"""How many times as many actions as at first there may come to be."""
GATHERED: Final = 256
"""How many decisions are taken in together: a bet costs a tenth of what it does alone."""


OWN: Final = 0.1
"""The share of a lift's error that may come of what was earned; the rest, of the difference."""


class LiftPlan(NamedTuple):
    """What a placement's policy is held against.

    `floor` is the least that the policy gives all actions together, spread evenly; 0 if unknown.
    Decisions count from `since_ms` on, when the placement got its present policy. After
    `window_ms` all their rewards are known.
    """

    since_ms: int
    reward_range: RewardRange
    floor: float
    baseline: str | None
    window_ms: int = 0
    unit: str | None = None


class Lift(Struct, frozen=True, kw_only=True):
    """What was earned on average, and by how much that is more than another choice would have.

    `difference` and its bounds are in rewards a decision, `lift` is the same as a share of `other`.
    `other` and `difference` are None without decisions, and where the other was never shown; the
    bounds are None where the propensities cannot be right, and `lift` where `other` is not above 0.
    Bounds of `lift` are None where no bound follows from the log: no upper one where the other may
    have earned nothing.
    """

    over: Annotated[Over, doc("`uniform`: any creative alike; `baseline`: always that.")]
    name: Annotated[str | None, doc("The baseline's id.")]
    since_ms: Annotated[int, doc("Since when the placement has its present policy.")]
    n: Annotated[int, doc("Closed decisions that count; with a unit, the first of each.")]
    value: float | None
    other: Annotated[float | None, doc("What the other would have earned, estimated.")]
    difference: Annotated[float | None, doc("`value` - `other`, in rewards a decision.")]
    low: Annotated[
        float | None, doc("Of the difference; with `high` 95 %, however often one looks.")
    ]
    high: float | None
    lift: Annotated[float | None, doc("`value` / `other` - 1, so 0.1 is 10 % more.")] = None
    lift_low: Annotated[
        float | None, doc("Of the lift; with `lift_high` 95 %, however often one looks.")
    ] = None
    lift_high: float | None = None


def lift_plan(history: Sequence[tuple[int, Placement]]) -> LiftPlan | None:
    """Returns the plan of a placement with this dated history; None if all rewards are alike."""
    placement = history[-1][1]
    rule = placement.reward
    if rule.minimum == rule.maximum:
        return None
    since_ms = history[-1][0]
    for at_ms, earlier in reversed(history):
        if (earlier.policy, earlier.reward) != (placement.policy, rule):
            break
        since_ms = at_ms
    baseline = placement.safety.baseline if placement.safety else None
    if baseline is None and placement.policy.get("name") == "apprentice":
        named = placement.policy.get("baseline")
        baseline = named if isinstance(named, str) else None
    reward_range = RewardRange(rule.minimum, rule.maximum)
    windows = [rule.window_seconds, *(kind.window_seconds or 0.0 for kind in rule.kinds.values())]
    window_ms = round((max(windows) + rule.grace_seconds) * 1000)
    floor, unit = floor_of(placement.policy), placement.unit or None
    return LiftPlan(since_ms, reward_range, floor, baseline, window_ms, unit)


FLOORED: Final = ("floor", "epsilon_greedy", "apprentice", "text_thompson", "adaptive")
"""Policies whose `epsilon` is what all actions share evenly."""


def floor_of(policy: PolicySpec) -> float:
    """Returns what a policy spreads evenly over all actions whatever it thinks; 0 if not known.

    >>> floor_of({"name": "floor", "epsilon": 0.1, "policy": {"name": "thompson"}})
    0.1
    """
    name, epsilon = policy.get("name"), policy.get("epsilon")
    if name == "uniform":
        return 1.0
    share = float(epsilon) if isinstance(epsilon, int | float) else 0.0
    return share if name in FLOORED else 0.0


class Lifts:
    """The lifts of one placement, folded from closed decisions.

    An interval needs to know how large a weight can be, beforehand: the policy's floor says so.
    Decisions whose pmf is below it, as those of the policy before, which is served until the new
    one is folded, are left out; so are those with more than twice as many actions as the first,
    where the baseline may weigh more than was foreseen. Either is known before the reward is, so
    nothing is chosen by it. Of a placement with a unit each unit's first decision counts.
    """

    def __init__(self, plan: LiftPlan) -> None:
        self.plan = plan
        others: list[tuple[Over, str | None]] = [("uniform", None)]
        if plan.baseline is not None:
            others.append(("baseline", plan.baseline))
        self._others = {other: _Against(plan) for other in others}
        self._first = FirstDecisions()

    def take(
        self,
        ids: Sequence[str],
        pmf: Sequence[float],
        index: int,
        reward: float,
        at_ms: int,
        *,
        unit: str | None = None,
    ) -> None:
        """Takes in a decision that is closed, with what it earned, and whose it is."""
        low, high = self.plan.reward_range
        if at_ms < self.plan.since_ms or not low <= reward <= high:
            return
        if min(pmf) * len(pmf) < self.plan.floor * (1.0 - 1e-9):
            return
        if unit is not None and not self._first.take(unit):
            return
        propensity = pmf[index]
        for (over, name), against in self._others.items():
            if over == "uniform":
                against.take(reward, propensity, 1.0 / len(pmf), largest=1.0)
            elif name in ids:
                target = float(ids[index] == name)
                against.take(reward, propensity, target, largest=float(len(pmf)))

    def get(self) -> list[Lift]:
        """Returns the lifts so far."""
        return [against.get(over, name) for (over, name), against in self._others.items()]


class _Against:
    """What was shown against one other way to choose."""

    def __init__(self, plan: LiftPlan) -> None:
        self._plan = plan
        self._largest = 0.0
        self._difference = BettingDifference(reward_range=plan.reward_range)
        self._own = BettingIps(reward_range=plan.reward_range)
        self._waiting: list[tuple[float, float, float]] = []
        self._n = 0
        self._total = 0.0

    def take(self, reward: float, propensity: float, target: float, *, largest: float) -> None:
        """Takes in a decision; `largest` is the most that a weight can be, times the floor."""
        if not self._n:
            # Room for actions that come: the bound must hold from the first decision on.
            self._largest = largest if largest == 1.0 else SPARE * largest
            floor = self._plan.floor
            self._difference = BettingDifference(
                reward_range=self._plan.reward_range,
                max_weight=self._largest / floor if floor else None,
            )
        if largest > self._largest:
            return
        self._n += 1
        self._total += reward
        self._waiting.append((reward, propensity, target))
        if len(self._waiting) >= GATHERED:
            self._flush()

    def get(self, over: Over, name: str | None) -> Lift:
        self._flush()
        found = self._difference.get()
        value = self._total / self._n if self._n else None
        apart = found.value
        other = None if value is None or apart is None else value - apart
        lift = None if apart is None or not other or other <= 0.0 else apart / other
        low, high = (None, None) if lift is None else self._lift_bounds()
        return Lift(
            over=over,
            name=name,
            since_ms=self._plan.since_ms,
            n=self._n,
            value=value,
            other=other,
            difference=apart,
            lift=lift,
            lift_low=low,
            lift_high=high,
            low=found.interval.low if found.interval else None,
            high=found.interval.high if found.interval else None,
        )

    def _lift_bounds(self) -> tuple[float | None, float | None]:
        """Returns the bounds of the lift, d / (v - d): of v, which is well known, and of d."""
        apart = self._difference.get(1.0 - (1.0 - LEVEL) * (1.0 - OWN)).interval
        own = self._own.get(1.0 - (1.0 - LEVEL) * OWN).interval
        if apart is None or own is None:
            return None, None
        return relative_bounds((apart.low, apart.high), (own.low, own.high))

    def _flush(self) -> None:
        if self._waiting:
            reward, propensity, target = np.array(self._waiting).T
            shown = Batch(reward, propensity, propensity)
            self._difference.add(shown, Batch(reward, propensity, target))
            self._own.add(shown)
            self._waiting.clear()
