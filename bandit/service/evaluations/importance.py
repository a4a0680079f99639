"""How much each feature is worth to a policy: what it would earn if it never saw it.

The policy learns the log as often as there are features, each time without one of them, and what
it earns then is compared with what it earns with all (leave one covariate out; Lei et al. 2018).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from bandit.errors import EstimateError
from bandit.ope.estimators.snips import SnipsSums
from bandit.ope.policies import Learning
from bandit.ope.readers.events import LoggedEvent
from bandit.policies import open_policy
from bandit.service.evaluations.jobs import FeatureScore
from streams.events import Action, PolicySpec

MAX_EVENTS: Final = 5000
MAX_FEATURES: Final = 50

FeaturePath: TypeAlias = tuple[str, ...]


def feature_scores(
    policy: PolicySpec, events: Iterable[LoggedEvent]
) -> tuple[list[FeatureScore], str]:
    """Returns a score for each feature, the most important first, and a remark.

    A score is the fall of the average reward per decision (SNIPS, progressive) when the feature
    is left out; below 0, the policy does better without it. The last 5,000 decisions and the 50
    most frequent features are looked at.

    Raises:
        EstimateError: there is no decision.
    """
    kept = list(deque(events, maxlen=MAX_EVENTS))
    if not kept:
        raise EstimateError("no decision in that range of time; there is nothing to learn from")
    seen: Counter[FeaturePath] = Counter()
    for event in kept:
        seen.update(set(_paths_of(event)))
    paths = [path for path, _ in seen.most_common(MAX_FEATURES)]
    whole = _earned(policy, kept)
    scores = [
        FeatureScore(
            ".".join(path[1:]) or path[0],
            path[0],
            whole - _earned(policy, [_without(event, path) for event in kept]),
        )
        for path in paths
    ]
    remark = f"{len(kept)} decisions, which earn {whole:.4g} on average with all features"
    if not any(score.score for score in scores):
        remark += f"; policy {policy['name']!r} does not look at any of them"
    elif len(seen) > MAX_FEATURES:
        remark += f"; the {MAX_FEATURES} most frequent of {len(seen)} features"
    return sorted(scores, key=lambda score: -score.score), remark


def _earned(policy: PolicySpec, events: Iterable[LoggedEvent]) -> float:
    target, sums = Learning(open_policy(policy)), SnipsSums()
    for event in events:
        sums.add(target.answer(event).target / event.decision.propensity, event.reward)
    return sums.estimate


def _paths_of(event: LoggedEvent) -> Iterator[FeaturePath]:
    decision = event.decision
    yield from _paths(msgspec.json.decode(decision.context), ())
    for action in decision.actions:
        yield from _paths(msgspec.json.decode(action.features), ())


def _paths(value: Any, path: FeaturePath) -> Iterator[FeaturePath]:
    """Yields the path of each feature: keys alone, since a list is a set or a vector."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for inner in value:
            yield from _paths(inner, path)
    elif path:
        yield path


def _without(event: LoggedEvent, path: FeaturePath) -> LoggedEvent:
    decision = event.decision
    actions = tuple(Action(one.id, _cut(one.features, path)) for one in decision.actions)
    changed = msgspec.structs.replace(
        decision, context=_cut(decision.context, path), actions=actions
    )
    return event._replace(decision=changed)


def _cut(features: Raw, path: FeaturePath) -> Raw:
    return Raw(msgspec.json.encode(_cut_value(msgspec.json.decode(features), path)))


def _cut_value(value: Any, path: FeaturePath) -> Any:
    if isinstance(value, list):
        return [_cut_value(inner, path) for inner in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    rest = {key: inner for key, inner in value.items() if key != path[0]}
    if len(path) == 1:
        return rest
    return {**rest, path[0]: _cut_value(value[path[0]], path[1:])}
