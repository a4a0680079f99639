"""One log, many policies: what each would have earned, how sure that is, and whether to believe it.

The log is read once for what has to be known beforehand, such as the reward model, and once to
judge; neither reading holds more than a batch. Policies are compared on the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console

from bandit.errors import EstimateError
from bandit.ope.before import Open, fit_robust, read_before, show_progress
from bandit.ope.candidate import CandidatePolicy, Options, View, view_of
from bandit.ope.checks.diagnostics import Calibrating, Calibration
from bandit.ope.creatives import CreativeEstimate, CreativeJudge
from bandit.ope.estimators import ESTIMATORS, SLATES
from bandit.ope.models import RewardModel
from bandit.ope.partial import ESTIMATED, all_with_repeats, no_decision, span
from bandit.ope.policies import Candidate, open_target
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.rows import SkippedRows, reading
from bandit.ope.repeats import Repeats
from bandit.ope.reports.report import Evaluation, PolicyEvaluation
from bandit.parallel import fan_out

BATCH_SIZE: Final = 2000


def evaluate(
    log: Open,
    policies: Sequence[str | Candidate],
    options: Options | None = None,
    *,
    processes: int = 1,
    batch_size: int = BATCH_SIZE,
    console: Console | None = None,
) -> Evaluation:
    """Returns what each policy would have earned on the log, by each estimator.

    Args:
        log: opens the log from its start; called at least once in each process.
        policies: candidates, or texts as `open_target` takes them; reported after the baseline, in
            this order.
        options: what is asked; the defaults if left out.
        processes: policies are shared among so many; `log` must be picklable for more than one.
        batch_size: decisions that are held at a time.
        console: where progress is shown.

    Raises:
        EstimateError: the log is empty, or cannot be judged so.
        PolicyError: a policy that does not exist, or cannot be asked.
        FeatureError: features that a policy or the reward model cannot read.
        ReaderError: the log cannot be read.
    """
    options = options or Options()
    named = [options.baseline, *policies]
    # A text counts once; a candidate may have a text for its name.
    chosen = list({p if isinstance(p, str) else id(p): p for p in named}.values())
    check(chosen, options)
    with show_progress(console) as progress:
        model, slots, largest = read_before(log, options, progress)
        options = replace(options, max_weight=largest)
        # Each process has the baseline, to compare with.
        baseline, *others = chosen
        count = max(min(processes, len(others)), 1)
        shares = [[baseline, *others[number::count]] for number in range(count)]
        # creatives are judged once, by the first
        asked = [options, *[replace(options, creatives=False)] * (len(shares) - 1)]
        jobs = [
            partial(_judge, log, share, mine, model, slots, batch_size)
            for share, mine in zip(shares, asked, strict=True)
        ]
        task = progress.add_task("judging", total=None)
        parts: dict[int, _Part] = {}
        for job, told in fan_out(jobs, processes):
            if isinstance(told, _Part):
                parts[job] = told
            elif job == 0:
                progress.advance(task, told)
    first = parts[0]
    if not first.n:
        raise EstimateError(no_decision(first.rows))
    found = list(first.policies[:1]) * len(chosen)
    for number, part in parts.items():
        found[1 + number :: len(parts)] = part.policies[1:]
    warnings = (*((ESTIMATED,) if first.estimated else ()), *first.notes, *map(str, first.rows))
    return Evaluation(
        n=first.n,
        level=options.level,
        baseline=options.baseline,
        policies=all_with_repeats(found, first.repeats),
        warnings=warnings,
        calibration=first.calibration,
        creatives=first.creatives,
        skipped=first.rows,
        since_ms=first.since_ms,
        until_ms=first.until_ms,
    )


class _Part(NamedTuple):
    """What one process found."""

    n: int
    policies: tuple[PolicyEvaluation, ...]
    calibration: Calibration | None
    creatives: tuple[CreativeEstimate, ...]
    estimated: bool
    rows: tuple[SkippedRows, ...]
    notes: tuple[str, ...]
    repeats: str | None
    since_ms: int | None
    until_ms: int | None


def _judge(
    log: Open,
    policies: Sequence[str | Candidate],
    options: Options,
    model: RewardModel | None,
    slots: int,
    batch_size: int,
) -> Iterator[int | _Part]:
    """Yields how many decisions were judged, as they are, and then what was found."""
    candidates = [CandidatePolicy(policy, options, slots) for policy in policies]
    if "mrdr" in options.estimators:
        for candidate in candidates:
            candidate.model = fit_robust(log, candidate.policy, options)
    calibrating, n, estimated, repeats = Calibrating(), 0, False, Repeats(options.unit)
    creatives = CreativeJudge(model=model, unit=options.unit) if options.creatives else None
    times: list[tuple[float, float]] = []
    events = reading(log())
    for event in islice(events, options.train):
        for candidate in candidates:
            candidate.target.train(event)
    while batch := list(islice(events, batch_size)):
        n += len(batch)
        estimated = estimated or any(event.estimated for event in batch)
        view = take(candidates, batch, options, model)
        times.append((view.timestamp_ms.min(), view.timestamp_ms.max()))
        repeats.add(batch)
        mine = candidates[0].batch
        if mine is not None and view.scores is not None:
            chosen = [s[e.decision.index] for e, s in zip(batch, view.scores, strict=True)]
            calibrating.add(np.array(chosen), mine.reward)
        if creatives is not None:
            creatives.add(batch)
        yield len(batch)
    for candidate in candidates:
        candidate.finish()
        if candidate is not candidates[0]:
            candidate.compare_slates(candidates[0])
    if n:
        repeats.check()
    caveat = "propensities_estimated" if estimated else None
    results = tuple(candidate.result(caveat) for candidate in candidates)
    judged = () if creatives is None else tuple(creatives.get(options.level))
    said = events.skipped, events.notes, repeats.words()
    yield _Part(n, results, calibrating.get(), judged, estimated, *said, *span(times))


def take(
    candidates: Sequence[CandidatePolicy],
    batch: Sequence[LoggedEvent],
    options: Options,
    model: RewardModel | None,
) -> View:
    """Hands decisions to the policies, the first of which is the baseline; returns their view."""
    view = view_of(batch, options, model)
    for candidate in candidates:
        candidate.take(view)
    for candidate in candidates[1:]:
        candidate.compare(candidates[0])
        candidate.compare_slates(candidates[0])
    return view


def check(policies: Sequence[str | Candidate], options: Options) -> None:
    """Raises what can be known before the log is read."""
    for name in options.estimators:
        if name not in ESTIMATORS and name not in SLATES:
            known = ", ".join((*ESTIMATORS, *SLATES))
            raise EstimateError(f"estimator is {name!r}; expected one of: {known}")
    if options.train < 0:
        raise EstimateError(f"train is {options.train}; expected a number of decisions")
    for policy in policies:
        open_target(policy, max_weight=options.max_weight)
        if isinstance(policy, str) and policy.startswith("trained:") and not options.train:
            raise EstimateError(
                f"policy {policy!r} learns from the log's first part; say with train (--train) how "
                "many decisions that is"
            )
