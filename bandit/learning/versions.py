"""The versions that a placement's policy has had, and the way back to one of them.

A policy is a fold over the log, so its spec alone has to be kept, and the catalogue keeps every
one that a placement had. What an objective asks of a placement's rewards and policy is here too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Struct

from bandit.errors import LearnError, PolicySpecError, VersionError
from bandit.learning.fold import interactions_of as interactions_of_record
from bandit.learning.trials import LARGEST_REFUSED, RESERVED, promoted, refused_share
from bandit.policies import check_policy
from bandit.policies.wrappers import CLICK, CONVERSION
from streams.catalogue.state import Catalogue
from streams.errors import EventError
from streams.events import (
    INTERACTIONS,
    POLICIES,
    Interaction,
    Placement,
    PolicySnapshot,
    PolicySpec,
    RewardKind,
    RewardRule,
    decode,
)
from streams.events.fields import doc
from streams.events.placement import (
    ClicksThenConversions,
    ConversionsWithClicks,
    Objective,
    TrialResult,
)
from streams.fold import partitions, scan
from streams.logs.base import Log

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


SNAPSHOTS: Final = 64
"""How many snapshots of megabytes are read at a time."""


class Version(Struct, frozen=True, kw_only=True):
    """One spec that a placement had: the `number`-th, from `since_ms` until the next one's.

    Just after a change some decisions are still the work of the version before, which is served
    until the new one is folded; each says by its `policy_version` which it was.
    """

    number: int
    spec: PolicySpec
    since_ms: int
    why: str | None = None
    decisions: Annotated[int | None, doc("Made while it was the placement's; if counted.")] = None
    reward: Annotated[float | None, doc("What they earned in all; if counted.")] = None


class SpecDifference(Struct, frozen=True):
    """A parameter, as a path joined by dots, in one spec and in the other; None if not there."""

    parameter: str
    before: object
    after: object


def versions_of(history: Sequence[tuple[int, Placement]]) -> list[Version]:
    """Returns the versions in a placement's dated history, oldest first, not yet counted."""
    found: list[Version] = []
    for since_ms, placement in history:
        if found and found[-1].spec == placement.policy:
            continue
        why = None if placement.why is UNSET else placement.why
        number = len(found) + 1
        found.append(Version(number=number, spec=placement.policy, since_ms=since_ms, why=why))
    return found


def versions_in(catalogue: Catalogue, placement: str) -> list[Version]:
    """Returns the versions of a placement that the catalogue has, not yet counted."""
    placement_in(catalogue, placement)
    return versions_of(catalogue.dated_history(placement))


def counted(log: Log, placement: str, versions: Sequence[Version]) -> list[Version]:
    """Returns the versions with what was decided and earned, from one reading of the log.

    Realtime rewards count as they stand now. A decision from before the first version's time, by
    another machine's clock, counts to the first.
    """
    starts = [version.since_ms for version in versions]
    decisions, rewards = [0] * len(versions), [0.0] * len(versions)
    for interaction in interactions_of(log, placement):
        number = max(bisect_right(starts, interaction.decision.timestamp_ms) - 1, 0)
        decisions[number] += interaction.previous_reward is None
        rewards[number] += interaction.reward - (interaction.previous_reward or 0.0)
    return [
        msgspec.structs.replace(version, decisions=count, reward=reward)
        for version, count, reward in zip(versions, decisions, rewards, strict=True)
    ]


def version(versions: Sequence[Version], number: int | None) -> Version:
    """Returns the version of this number; without one, the version before the current.

    Raises:
        VersionError: there is no such version.
    """
    if number is None and len(versions) == 1:
        raise VersionError("the placement has had no other policy, so there is no way back")
    wanted = len(versions) - 1 if number is None else number
    if not 1 <= wanted <= len(versions):
        raise VersionError(f"version is {wanted}; expected 1 to {len(versions)}, as `list` shows")
    return versions[wanted - 1]


def checked(placement: Placement) -> Placement:
    """Returns the placement with its policy and its challengers spelled out in full.

    Raises:
        PolicySpecError: one of them cannot learn what the placement's policy has to, or a
            challenger has a name that means something else; or its policy does not see to the
            placement's objective.
    """
    if reserved := (placement.challengers or {}).keys() & set(RESERVED):
        raise PolicySpecError(f"a challenger is called {reserved.pop()!r}; take another name")
    in_full = partial(check_policy, learn=placement.learn, reward=placement.reward)
    challengers = {name: in_full(spec) for name, spec in (placement.challengers or {}).items()}
    found = msgspec.structs.replace(
        placement, policy=in_full(placement.policy), challengers=challengers or UNSET
    )
    check_objective(found)
    return found


def placement_in(catalogue: Catalogue, name: str) -> Placement:
    """Returns the placement as it is now.

    Raises:
        VersionError: there is none by that name.
    """
    found = catalogue.placement(name)
    if found is None:
        known = ", ".join(each.name for each in catalogue.placements()) or "none"
        raise VersionError(f"there is no placement {name!r}; the log has: {known}")
    return found


def with_challenger(placement: Placement, name: str, why: str) -> Placement:
    """Returns the placement with a challenger as its policy, and not on trial any more."""
    challengers = placement.challengers or {}
    if name not in challengers:
        known = ", ".join(challengers) or "none"
        raise VersionError(f"there is no challenger {name!r}; the placement has: {known}")
    return checked(promoted(placement, name, why))


def with_policy(placement: Placement, spec: PolicySpec, why: str) -> Placement:
    """Returns the placement with another policy, if it can be learned from its rewards."""
    policy = check_policy(spec, placement.learn, placement.reward)
    found = msgspec.structs.replace(placement, policy=policy, why=why)
    check_objective(found)
    return found


def promotion(
    catalogue: Catalogue,
    name: str,
    challenger: str | None,
    policy: Mapping[str, object] | None,
    why: str,
    trials: Mapping[str, TrialResult],
) -> list[Placement]:
    """Returns what gives a placement a challenger's policy or another; nothing if it has it.

    Args:
        catalogue: has the placement.
        name: the placement's.
        challenger: one of the placement's; None to name a policy.
        policy: any other; None to name a challenger.
        why: kept with the version.
        trials: how the challengers did so far.

    Raises:
        VersionError: there is no such placement, or it has no such challenger.
        PolicySpecError: the policy cannot learn from the placement's rewards as they are now, or
            the challenger cannot read its decisions.
    """
    placement = placement_in(catalogue, name)
    if challenger is not None:
        _check_reads(challenger, trials)
        return _if_new(placement, with_challenger(placement, challenger, why))
    return _if_new(placement, with_policy(placement, dict(policy or {}), why))


def _check_reads(challenger: str, trials: Mapping[str, TrialResult]) -> None:
    """Refuses a challenger that has refused decisions."""
    if refused_share(trials, challenger) > LARGEST_REFUSED:
        found = trials[challenger]
        raise PolicySpecError(
            f"challenger {challenger!r} refused {found.refused} of {found.n + found.refused} "
            "decisions, which it cannot read or learn from; as the policy it would refuse such "
            "requests. Change what it reads, or promote another"
        )


def rollback(catalogue: Catalogue, name: str, number: int | None) -> list[Placement]:
    """Returns what gives a placement the policy of the version that `version` finds.

    Raises:
        VersionError: there is no such placement, or it has no such version.
        PolicySpecError: its policy cannot learn from the rewards that the placement has now.
    """
    placement, wanted = placement_in(catalogue, name), version(versions_in(catalogue, name), number)
    why = f"rolled back to version {wanted.number}"
    return _if_new(placement, with_policy(placement, wanted.spec, why))


def _if_new(before: Placement, after: Placement) -> list[Placement]:
    return [] if after.policy == before.policy else [after]


def latest_trials(log: Log, placement: str) -> dict[str, TrialResult]:
    """Returns how everyone on trial did by the latest snapshot; empty if nobody is.

    Raises:
        EventError: the snapshot cannot be read.
    """
    key, latest = placement.encode(), None
    for partition in partitions(log, POLICIES):
        for record in scan(log, partition, limit=SNAPSHOTS):
            latest = record if record.key == key else latest
    snapshot = None if latest is None else decode(latest.value)
    if not isinstance(snapshot, PolicySnapshot):
        return {}
    return snapshot.trials or {}


def differences(before: PolicySpec, after: PolicySpec) -> list[SpecDifference]:
    """Returns what differs between two specs, by parameter.

    >>> differences({"name": "vw"}, {"name": "floor", "policy": {"name": "vw"}})[0]
    SpecDifference(parameter='name', before='vw', after='floor')
    """
    one, other = dict(_leaves(before, "")), dict(_leaves(after, ""))
    return [
        SpecDifference(name, one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def _leaves(spec: PolicySpec, path: str) -> Iterator[tuple[str, object]]:
    for name, value in spec.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def interactions_of(log: Log, placement: str) -> Iterator[Interaction]:
    """Yields the placement's interactions that are learned from, as the learner takes them in."""
    key = placement.encode()
    for partition in partitions(log, INTERACTIONS):
        sequences: dict[int, int] = {}
        for record in scan(log, partition):
            if record.key != key:
                continue
            try:
                found = interactions_of_record(record)
            except (EventError, LearnError):
                # The learner has dead-lettered it.
                continue
            for interaction in found:
                if interaction.sequence > sequences.get(interaction.source, -1):
                    sequences[interaction.source] = interaction.sequence
                    if not interaction.decision.fallback:
                        yield interaction
