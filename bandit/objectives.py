"""From what a placement is for to the one reward that is joined and learned.

Joining and learning know one number a decision. An objective that names several things is worked
out here, once, when the placement is written; nothing after it has to know.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bandit.errors import PolicySpecError
from bandit.policies.wrappers import CLICK, CONVERSION
from streams.events import Placement, PolicySpec, RewardKind, RewardRule
from streams.objectives import ClicksThenConversions, ConversionsWithClicks, Objective

_PLAIN: Final = RewardRule()
_WRAPPERS: Final = 8


def kinds_of(objective: Objective) -> dict[str, RewardKind]:
    """Returns the kinds that an objective comes to, whose weights sum to a reward from 0 to 1.

    Raises:
        ValueError: clicks and conversions are one kind.

    >>> {name: kind.weight for name, kind in kinds_of(ClicksThenConversions(tie=0.25)).items()}
    {'click': 0.75, 'conversion': 0.25}
    """
    if isinstance(objective, ClicksThenConversions):
        return _two_kinds(objective, 1.0 - objective.tie, objective.tie)
    if isinstance(objective, ConversionsWithClicks):
        return _two_kinds(objective, CLICK, CONVERSION)
    most, seconds = objective.most, objective.window_seconds
    return {objective.kind: RewardKind(weight=1.0 / most, cap=most, window_seconds=seconds)}


def resolved(rule: RewardRule) -> RewardRule:
    """Returns the rule with the kinds of its objective, as it is if it has none.

    Raises:
        ValueError: it has kinds of its own as well, or rewards that an objective does not have.

    >>> rule = resolved(RewardRule(objective=ConversionsWithClicks(conversion="lead")))
    >>> rule.kinds["lead"].weight
    0.75
    """
    if not rule.objective:
        return rule
    kinds, name = kinds_of(rule.objective), type(rule.objective).__struct_config__.tag
    if rule.kinds not in (kinds, _PLAIN.kinds):
        raise ValueError(
            f"kinds are {', '.join(rule.kinds)}, and the objective {name!r} makes its own; leave "
            "one of them out"
        )
    found = (rule.default, rule.minimum, rule.maximum)
    if found != (0.0, 0.0, 1.0):
        raise ValueError(
            f"default, minimum and maximum are {found}; rewards of the objective {name!r} are "
            "from 0 to 1, and 0 if nothing came"
        )
    return msgspec.structs.replace(rule, kinds=kinds)


def policy_for(objective: Objective, policy: PolicySpec) -> PolicySpec:
    """Returns the policy for a placement that names none: what it would be, guarded if need be."""
    if isinstance(objective, ConversionsWithClicks):
        return {"name": "guarded", "policy": policy, "least": objective.least}
    return policy


def check_objective(placement: Placement) -> None:
    """Refuses a placement whose policy cannot see to what its objective asks for.

    Raises:
        PolicySpecError: `conversions_with_clicks` without the policy `guarded`, or with another
            share; or `guarded` with rewards in which it finds no clicks.
    """
    objective, guards = placement.reward.objective, _guards(placement.policy)
    if isinstance(objective, ConversionsWithClicks):
        if not guards:
            raise PolicySpecError(
                f"policy {placement.policy.get('name')!r} does not keep to the objective "
                "'conversions_with_clicks'; wrap it: "
                f'{{"name": "guarded", "least": {objective.least}, "policy": …}}'
            )
        if guards[0].get("least") != objective.least:
            raise PolicySpecError(
                f"guarded's least is {guards[0].get('least')}, the objective's {objective.least}; "
                "one of the two is meant"
            )
    elif guards:
        raise PolicySpecError(
            "policy 'guarded' reads clicks and conversions out of the reward of the objective "
            "'conversions_with_clicks'; give the placement that objective, or another policy"
        )


def _guards(spec: PolicySpec) -> list[PolicySpec]:
    """Returns the specs among this one and those that it wraps that are of `guarded`."""
    found: list[PolicySpec] = []
    for _ in range(_WRAPPERS):
        if spec.get("name") == "guarded":
            found.append(spec)
        inner = spec.get("policy")
        if not isinstance(inner, dict):
            break
        spec = inner
    return found


def _two_kinds(
    objective: ClicksThenConversions | ConversionsWithClicks, click: float, conversion: float
) -> dict[str, RewardKind]:
    if objective.click == objective.conversion:
        raise ValueError(f"click and conversion are both {objective.click!r}; two kinds")
    seconds = objective.conversion_window_seconds
    return {
        objective.click: RewardKind(weight=click, aggregation="max", cap=1.0),
        objective.conversion: RewardKind(
            weight=conversion, aggregation="max", cap=1.0, window_seconds=seconds
        ),
    }
