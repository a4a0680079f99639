"""The process that does one evaluation or feature importance, started by the API."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Final

import msgspec

from bandit.errors import BanditError, EstimateError
from bandit.ope.base import Interval
from bandit.ope.candidate import Options
from bandit.ope.estimators.bounded import RewardRange
from bandit.ope.evaluate import evaluate
from bandit.ope.policies import Candidate, unmasked
from bandit.ope.readers.events import LoggedEvent, with_final_rewards
from bandit.ope.report import PolicyEvaluation
from bandit.service.evaluations.importance import feature_scores
from bandit.service.evaluations.jobs import Job, JobCandidate, Result, Stretch, load, save
from bandit.versions import interactions_of
from streams.catalogue import CatalogueReader
from streams.checkpoint import exclusive
from streams.errors import StreamsError
from streams.events import Placement
from streams.log import Log
from streams.opening import open_log

NICE: Final = 10


def run(path: Path, log: Log) -> None:
    """Does the job that the file describes, and writes there what was found, or why not."""
    with exclusive(path.parent, path.stem):
        job = load(path)
        save(path, msgspec.structs.replace(job, status="Running"))
        try:
            done = _done(job, log)
        except (BanditError, StreamsError) as error:
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
    report = evaluate(
        lambda: logged_events(log, job.placement, job.start_ms, job.end_ms),
        [Candidate(each.name, each.spec) for each in job.entrants],
        Options(estimators=("snips",), reward_range=RewardRange(rule.minimum, rule.maximum)),
    )
    logged, *others = report.policies
    results = tuple(map(_result, job.entrants, others, repeat(job)))
    remark = "; ".join(_online(results).words.splitlines())
    return msgspec.structs.replace(
        job,
        status="Succeeded",
        results=results,
        logged=_total(logged, job),
        optimal=_optimal(results),
        description=remark,
    )


def _total(found: PolicyEvaluation, job: Job) -> Stretch:
    row = found.estimates[0]
    return _stretch(job.start_ms, found.diagnostics.n, row.value or 0.0, row.interval)


def _stretch(at_ms: int, n: int, value: float, interval: Interval | None) -> Stretch:
    if interval is None:
        return Stretch(at_ms, n, value, None, None)
    return Stretch(at_ms, n, value, interval.low, interval.high)


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


def _optimal(results: tuple[Result, ...]) -> str:
    """Returns which settings are surely better than those online; those, if none is."""
    online = _online(results)
    rivals = [r for r in results if r.origin in ("Custom", "OfflineExperimentation")]
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
