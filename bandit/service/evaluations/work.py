"""The process that does one evaluation or feature importance, started by the API."""

from __future__ import annotations

import argparse
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from bandit.errors import BanditError, EstimateError
from bandit.learning.versions import interactions_of
from bandit.ope.base import RewardRange
from bandit.ope.candidate import Options
from bandit.ope.checks.diagnostics import FEWEST_EFFECTIVE
from bandit.ope.estimators.snips import SnipsSums
from bandit.ope.evaluate import evaluate
from bandit.ope.intervals import Interval
from bandit.ope.policies import Candidate, Learning, unmasked
from bandit.ope.readers.archive import with_final_rewards
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.reports.report import PolicyEvaluation
from bandit.policies import open_policy
from bandit.service.evaluations.jobs import (
    FeatureScore,
    Job,
    JobCandidate,
    Result,
    ValueOverTime,
    load,
    save,
)
from streams.catalogue.state import CatalogueReader
from streams.checkpoint import exclusive
from streams.counting import count_of
from streams.errors import LockError, LogError, StreamsError
from streams.events import Action, Placement, PolicySpec
from streams.logs.base import Log
from streams.logs.opening import open_log

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
    remark = (
        f"{count_of(len(kept), 'decision')}, which earn {whole:.4g} on average with all features"
    )
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


NICE: Final = 10
TRUSTED: Final = ("ok", "heavy_weight", "small_sample")
"""Verdicts whose intervals can be trusted; where users repeat and no unit is named, none can."""


def run(path: Path, log: Log) -> None:
    """Does the job that the file describes, and writes there what was found, or why not."""
    with suppress(LockError), exclusive(path.parent, path.stem, patience_seconds=1.0):
        job = load(path)
        if job.status != "NotSubmitted":  # another worker's process came first
            return
        save(path, msgspec.structs.replace(job, status="Running"))
        try:
            done = _done(job, log)
        except (BanditError, StreamsError) as error:
            if isinstance(error, LogError):
                raise  # where the log is is for the server's own lines, not for who asked
            done = msgspec.structs.replace(
                job, status="Failed", description=f"{error.code}: {error}"
            )
        if path.exists():
            save(path, done)


def logged_events(log: Log, placement: str, start_ms: int, end_ms: int) -> Iterator[LoggedEvent]:
    """Yields the placement's decisions in [start, end), each with what it came to."""
    for event in with_final_rewards(lambda: interactions_of(log, placement)):
        if start_ms <= event.decision.timestamp_ms < end_ms:
            yield event


def _done(job: Job, log: Log) -> Job:
    reader = CatalogueReader(log)
    reader.catch_up()
    placement = reader.catalogue.placement(job.placement)
    if placement is None:
        raise EstimateError(f"placement {job.placement!r} is not there any more")
    if job.kind == "featureImportances":
        events = logged_events(log, job.placement, job.start_ms, job.end_ms)
        policy = unmasked(placement.policy)
        scores, remark = feature_scores(policy, events)
        return msgspec.structs.replace(
            job, status="Succeeded", scores=tuple(scores), description=remark
        )
    return _evaluated(job, placement, log)


def _evaluated(job: Job, placement: Placement, log: Log) -> Job:
    rule = placement.reward
    options = Options(
        estimators=("snips",),
        reward_range=RewardRange(rule.minimum, rule.maximum),
        unit=placement.unit or None,
    )
    report = evaluate(
        lambda: logged_events(log, job.placement, job.start_ms, job.end_ms),
        [Candidate(each.name, each.spec) for each in job.entrants],
        options,
    )
    logged, *others = report.policies
    results = tuple(map(_result, job.entrants, others, repeat(job)))
    best = _optimal(results)
    return msgspec.structs.replace(
        job,
        status="Succeeded",
        results=results,
        logged=_total(logged, job),
        optimal=best,
        description=_conclusion(results, best),
    )


def _total(found: PolicyEvaluation, job: Job) -> ValueOverTime:
    row = found.estimates[0]
    return _stretch(job.start_ms, found.diagnostics.n, row.value or 0.0, row.interval)


def _stretch(at_ms: int, n: int, value: float, interval: Interval | None) -> ValueOverTime:
    if interval is None:
        return ValueOverTime(at_ms, n, value, None, None)
    return ValueOverTime(at_ms, n, value, interval.low, interval.high)


def _result(entrant: JobCandidate, found: PolicyEvaluation, job: Job) -> Result:
    row, known = found.estimates[0], found.diagnostics
    apart = row.difference
    return Result(
        name=entrant.name,
        arguments=entrant.arguments,
        origin=entrant.origin,
        total=_total(found, job),
        weight=known.mean_weight * known.n,
        over_time=tuple(
            _stretch(int(part.label), part.n, part.value, part.interval)
            for part in found.over_time
            if part.value is not None
        ),
        over_logged=None
        if apart is None
        else _stretch(job.start_ms, known.n, apart, row.difference_interval),
        verdict=known.verdict.code,
        words=known.verdict.words,
    )


def _online(results: tuple[Result, ...]) -> Result:
    return next(result for result in results if result.origin == "Online")


def _conclusion(results: tuple[Result, ...], best: str | None) -> str:
    """Returns in words what `best` says, and how far the log can tell of the policy online."""
    online = _online(results)
    words = "; ".join(online.words.splitlines())
    if best is None:
        return f"This log cannot tell which policy is best. {words}"
    if best == online.name:
        return f"None is surely better than the policy that is online. {words}"
    return f"{best} is surely better than the policy that is online. {words}"


def _optimal(results: tuple[Result, ...]) -> str | None:
    """Returns which settings are surely better than those online; those, if none is.

    None where the log cannot tell of those online. One of which it cannot tell is never better.
    """
    online = _online(results)
    if online.verdict not in TRUSTED or online.total.n < FEWEST_EFFECTIVE:
        return None
    rivals = [
        result
        for result in results
        if result.origin in ("Custom", "OfflineExperimentation")
        and result.verdict in TRUSTED
        and result.over_logged is not None
        and result.over_logged.low is not None
    ]
    best = max(rivals, key=lambda result: result.total.low or float("-inf"), default=online)
    high = online.total.high
    sure = best.total.low is not None and high is not None and best.total.low > high
    return best.name if sure else online.name


def main() -> None:
    """Does the job that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", required=True, help="the log's URL")
    parser.add_argument("path", type=Path, help="the job's file")
    told = parser.parse_args()
    os.nice(NICE)
    log = open_log(told.log)
    try:
        run(told.path, log)
    finally:
        log.close()


if __name__ == "__main__":
    main()
