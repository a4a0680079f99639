"""The process that does one evaluation or feature importance, started by the API."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bandit.errors import BanditError, EstimateError
from bandit.estimators.bounded import RewardRange
from bandit.evaluation.evaluate import evaluate
from bandit.evaluation.found import PolicyEvaluation
from bandit.evaluation.seat import Options
from bandit.policies import open_policy
from bandit.readers.logged import LoggedEvent
from bandit.service.personalizer.configuration import policy_of, settings_of
from bandit.service.personalizer.evaluations.importance import feature_scores
from bandit.service.personalizer.evaluations.jobs import Job, Origin, Result, Stretch, load, save
from bandit.service.personalizer.evaluations.judging import (
    FIRST_ACTION,
    Candidate,
    judged,
    unmasked,
)
from bandit.versions import interactions_of
from streams.catalogue import CatalogueReader
from streams.checkpoint import exclusive
from streams.errors import StreamsError
from streams.events import Placement, PolicySpec
from streams.log import Log, open_log

NICE: Final = 10
EXPERIMENTS: Final = (
    "--cb_explore_adf --squarecb --cb_type mtr -q ::",
    "--cb_explore_adf --epsilon 0.2 --cb_type mtr -l 0.05 -q ::",
    "--cb_explore_adf --epsilon 0.2 --cb_type ips -l 0.05 -q ::",
    "--cb_explore_adf --epsilon 0.2 --cb_type mtr -l 0.5",
)
"""What is tried where an evaluation is to look for better learning settings."""
ONLINE: Final = "Online"


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
    final: dict[tuple[str, int], float] = {}
    for interaction in interactions_of(log, placement):
        if interaction.previous_reward is not None:
            final[interaction.decision.event_id, interaction.decision.slot] = interaction.reward
    for interaction in interactions_of(log, placement):
        decision = interaction.decision
        if interaction.previous_reward is None and start_ms <= decision.timestamp_ms < end_ms:
            key = decision.event_id, decision.slot
            yield LoggedEvent(decision, final.get(key, interaction.reward))


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
    entrants = _entrants(job, placement)
    rule = placement.reward
    candidates = [Candidate(name, spec) for name, _, _, spec in entrants]
    with judged(candidates) as names:
        found = evaluate(
            lambda: logged_events(log, job.placement, job.start_ms, job.end_ms),
            list(names),
            Options(estimators=("snips",), reward_range=RewardRange(rule.minimum, rule.maximum)),
        )
    by_name = {names[one.policy]: one for one in found.policies if one.policy in names}
    results = tuple(
        _result(name, arguments, origin, by_name[name], job)
        for name, arguments, origin, _ in entrants
    )
    remark = "; ".join(by_name[ONLINE].diagnostics.verdict.words.splitlines())
    return msgspec.structs.replace(
        job, status="Succeeded", results=results, optimal=_optimal(results), description=remark
    )


def _entrants(job: Job, placement: Placement) -> list[tuple[str, str, Origin, PolicySpec]]:
    online = unmasked(placement.policy)
    share = online.get("epsilon", 0.0) if online["name"] == "floor" else 0.0

    def explored(arguments: str) -> PolicySpec:
        return open_policy({"name": "floor", "epsilon": share, "policy": policy_of(arguments)}).spec

    found: list[tuple[str, str, Origin, PolicySpec]] = [
        (ONLINE, settings_of(placement).arguments, "Online", online),
        ("Baseline", "", "Baseline", FIRST_ACTION.spec),
        ("Random", "", "Random", {"name": "uniform"}),
    ]
    found += [(p.name, p.arguments, "Custom", explored(p.arguments)) for p in job.policies]
    if job.optimize:
        found += [
            (f"Experiment{number}", arguments, "OfflineExperimentation", explored(arguments))
            for number, arguments in enumerate(EXPERIMENTS, start=1)
        ]
    return found


def _result(name: str, arguments: str, origin: Origin, found: PolicyEvaluation, job: Job) -> Result:
    row = found.estimates[0]
    interval = row.interval
    known = found.diagnostics
    total = Stretch(
        job.start_ms,
        known.n,
        row.value or 0.0,
        None if interval is None else interval.low,
        None if interval is None else interval.high,
    )
    over_time = tuple(
        Stretch(
            int(part.label),
            part.n,
            part.value,
            None if part.interval is None else part.interval.low,
            None if part.interval is None else part.interval.high,
        )
        for part in found.over_time
        if part.value is not None
    )
    return Result(name, arguments, origin, total, known.mean_weight * known.n, over_time)


def _optimal(results: tuple[Result, ...]) -> str:
    """Returns which settings are surely better than those online; those, if none is."""
    online = next(result for result in results if result.origin == "Online")
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
