"""One log, many policies: what each would have earned, how sure that is, and whether to believe it.

The log is read once for what has to be known beforehand, such as the reward model, and once to
judge; neither reading holds more than a batch. Policies are compared on the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from bandit.errors import EstimateError, PolicySpecError
from bandit.ope.base import Batch, Floats
from bandit.ope.batches import EVENT_ID, NOTHING, unit_path
from bandit.ope.before import NEARLY, Open, fit_robust, read_before, show_progress
from bandit.ope.candidate import CandidatePolicy, Options, Support, View, view_of
from bandit.ope.checks.diagnostics import Calibrating, Calibration
from bandit.ope.creatives import CreativeEstimate, CreativeJudge
from bandit.ope.estimators import ESTIMATORS, SLATES, WITH_MODEL
from bandit.ope.models import RewardModel
from bandit.ope.policies import Candidate, open_target
from bandit.ope.readers.rows import RowCounts, SkippedRows, reading
from bandit.ope.repeats import Repeats, names_unit, with_repeats
from bandit.ope.reports.report import Evaluation, PolicyEvaluation
from bandit.ope.units import hash_units
from bandit.parallel import fan_out

if TYPE_CHECKING:
    # Arrow is loaded for a table, not for every evaluation.
    from bandit.ope.readers.tables.table import ColumnLog, TableColumns

BATCH_SIZE: Final = 2000
EARLIEST_MS: Final = 631_152_000_000
"""1990; times before it are row numbers, or none at all."""
ESTIMATED: Final = (
    "Propensities were not logged but estimated from contexts: every figure below is only as "
    "right as that model, and wrong where the choice rested on what the log does not say."
)


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
    _check(chosen, options)
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
        policies=_with_repeats(found, first.repeats),
        warnings=warnings,
        calibration=first.calibration,
        creatives=first.creatives,
        skipped=first.rows,
        since_ms=first.since_ms,
        until_ms=first.until_ms,
    )


def no_decision(skipped: Sequence[SkippedRows]) -> str:
    """Returns what to say of a log in which no row is a decision."""
    said = (
        "the log holds no decision of these; there is nothing to judge policies by. Is the "
        "placement's name right, and is an archive written yet?"
    )
    return "; ".join((said, *map(str, skipped)))


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


def _with_repeats(
    found: Iterable[PolicyEvaluation], words: str | None
) -> tuple[PolicyEvaluation, ...]:
    """Returns the policies, with verdicts that say that users repeat, if they do."""
    return tuple(
        msgspec.structs.replace(each, diagnostics=with_repeats(each.diagnostics, words))
        for each in found
    )


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
    creatives = CreativeJudge(model=model) if options.creatives else None
    times: list[tuple[float, float]] = []
    events = reading(log())
    for event in islice(events, options.train):
        for candidate in candidates:
            candidate.target.train(event)
    while batch := list(islice(events, batch_size)):
        n += len(batch)
        estimated = estimated or any(event.estimated for event in batch)
        view = view_of(batch, options, model)
        times.append((view.timestamp_ms.min(), view.timestamp_ms.max()))
        repeats.add(batch)
        for candidate in candidates:
            candidate.take(view)
        for candidate in candidates[1:]:
            candidate.compare(candidates[0])
            candidate.compare_slates(candidates[0])
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
    yield _Part(n, results, calibrating.get(), judged, estimated, *said, *_span(times))


def _span(times: Sequence[tuple[float, float]]) -> tuple[int, int] | tuple[None, None]:
    """Returns the first and the last time; None where they are row numbers, or none at all."""
    since_ms = min((first for first, _ in times), default=0.0)
    if since_ms < EARLIEST_MS:
        return None, None
    return int(since_ms), int(max(last for _, last in times))


def _check(policies: Sequence[str | Candidate], options: Options) -> None:
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


PLAIN: Final = tuple(
    name for name in ESTIMATORS if name not in WITH_MODEL and name not in ("replay", "mips")
)
"""The estimators that need neither models nor pmfs."""


def fits(policies: Sequence[str], options: Options, *, actions: bool) -> bool:
    """Whether these policies can be judged so, by these estimators.

    `actions` is whether the log names the logged actions.
    """
    return (
        all(
            name == "logged"
            or name.startswith("column:")
            or (actions and (name == "uniform" or name.startswith("constant:")))
            for name in [options.baseline, *policies]
        )
        and not options.train
        and not options.creatives
        and options.unit != EVENT_ID
        and all(name in PLAIN for name in options.estimators)
    )


def evaluate_columns(
    log: ColumnLog,
    policies: Sequence[str],
    options: Options,
    *,
    processes: int = 1,
    console: Console | None = None,
) -> Evaluation:
    """Returns what `evaluate` would of the same table, without an object of any decision.

    That is tens of times as fast, over as many processes as a Parquet file has row groups.

    Raises:
        EstimateError: the log is empty, or a value in it cannot be.
        PolicySpecError: a policy of which the log has no column.
        ReaderError: the log cannot be read.
    """
    names = list(dict.fromkeys([options.baseline, *policies]))
    if "betting" in options.estimators and options.max_weight is None:
        options = replace(options, max_weight=_constant_weight(log))
    log = _with_users(log, options)
    parts = min(processes, log.most_parts)
    jobs = [partial(_judge_columns, log, names, options, part, parts) for part in range(parts)]
    found: dict[int, _ColumnsPart] = {}
    n, repeats = 0, Repeats()
    with show_progress(console) as progress:
        task = progress.add_task("judging", total=None)
        for job, told in fan_out(jobs, processes):
            if isinstance(told, int):
                n += told
                progress.advance(task, told)
            elif isinstance(told, dict):
                for path, values in told.items():
                    repeats.add_values(path, values)
            else:
                found[job] = told
    counts = RowCounts("skip")
    for job in sorted(found):
        counts.add(found[job].skipped)
    skipped = counts.get()
    if not n:
        raise EstimateError(no_decision(skipped))
    candidates = found[0].candidates
    for job in sorted(found)[1:]:
        others = found[job].candidates
        candidates = [one + other for one, other in zip(candidates, others, strict=True)]
    results = _with_repeats((candidate.result() for candidate in candidates), repeats.words())
    since_ms, until_ms = _span([time for part in found.values() for time in part.times])
    return Evaluation(
        n,
        options.level,
        options.baseline,
        results,
        tuple(map(str, skipped)),
        skipped=skipped,
        since_ms=since_ms,
        until_ms=until_ms,
    )


def _constant_weight(log: ColumnLog) -> float | None:
    """Returns the largest weight of a log whose logged propensities are all alike, else None."""
    ends = [
        (columns.propensity.min(), columns.propensity.max())
        for columns in log.read()
        if len(columns.propensity)
    ]
    low = min((low for low, _ in ends), default=0.0)
    high = max((high for _, high in ends), default=1.0)
    return float(1.0 / low) if 0.0 < high - NEARLY * high <= low else None


def _with_users(log: ColumnLog, options: Options) -> ColumnLog:
    """Returns the log that also reads the unit's column, or columns that may name users."""
    wanted = (
        [name for name in log.table.roles.context if names_unit(name)]
        if options.unit is None
        else [unit_path(options.unit)]
    )
    return log._replace(segments=tuple(dict.fromkeys((*log.segments, *wanted))))


class _ColumnsPart(NamedTuple):
    """What was kept of one part of a table."""

    candidates: list[CandidatePolicy]
    skipped: tuple[SkippedRows, ...]
    times: list[tuple[float, float]]


def _judge_columns(
    log: ColumnLog, names: Sequence[str], options: Options, part: int, parts: int
) -> Iterator[int | dict[str, Sequence[str]] | _ColumnsPart]:
    """Yields how many decisions were judged, as they are, and then what is kept of them.

    Where no unit is named, the values of columns that may name users as well.
    """
    candidates, start = [CandidatePolicy(name, options) for name in names], 0
    counts, times = RowCounts(log.on_bad_row), list[tuple[float, float]]()
    for columns in log.read(part, parts, counts):
        n = len(columns.reward)
        labels = {name: of for name, of in columns.labels.items() if name in options.segments}
        units = None
        if options.unit is None:
            yield {name: values for name, values in columns.labels.items() if names_unit(name)}
        else:
            values = columns.labels[unit_path(options.unit)]
            units = hash_units(
                [
                    f"{part}/{row}" if value == NOTHING else f"={value}"
                    for row, value in enumerate(values, start)
                ]
            )
        start += n
        if n:
            times.append((columns.timestamp_ms.min(), columns.timestamp_ms.max()))
        view = View((), None, columns.timestamp_ms, labels, units)
        for candidate in candidates:
            target = _target(candidate.name, columns, log.actions)
            batch = Batch(columns.reward, columns.propensity, target, unit=units)
            candidate.take_batch(batch, view, _support(candidate.name, log, columns))
        for candidate in candidates[1:]:
            candidate.compare(candidates[0])
        yield n
    yield _ColumnsPart(candidates, counts.get(), times)


def _support(name: str, log: ColumnLog, columns: TableColumns) -> Support:
    """Returns how the log covers the policy, as `CandidatePolicy.take` finds it."""
    kind, _, rest = name.partition(":")
    n, n_actions, p = len(columns.reward), len(log.actions), columns.propensity
    if kind not in ("uniform", "constant"):
        on_policy = log.uniform and kind == "logged"
        return Support(0.0, None, np.ones(n)) if on_policy else Support()
    if not log.uniform:
        return Support(n_actions=np.full(n, float(n_actions)))
    if kind == "constant" and rest not in log.actions:
        return Support(float(n), None, np.zeros(n))
    others = np.maximum(1.0 - p, 0.0) / max(n_actions - 1, 1)
    if kind == "constant":
        return Support(0.0, None, 1.0 / np.where(_target(name, columns, log.actions), p, others))
    inverse = 1.0 / p + (n_actions - 1) / np.where(others > 0.0, others, 1.0)
    return Support(0.0, None, inverse / n_actions**2)


def _target(name: str, columns: TableColumns, actions: tuple[str, ...]) -> Floats:
    """Returns the propensity that the policy gives each logged action."""
    kind, _, rest = name.partition(":")
    if kind == "logged":
        return columns.propensity
    if kind == "uniform":
        return np.full(len(columns.reward), 1.0 / len(actions))
    if kind == "constant" and columns.action is not None:
        place = actions.index(rest) if rest in actions else -1
        chosen: Floats = (columns.action == place).astype(np.float64)
        return chosen
    if rest not in columns.targets:
        known = ", ".join(columns.targets) or "none"
        raise PolicySpecError(
            f"policy {name!r}: the log has no such target, but {known}; name one with "
            f"--column target.{rest}=COLUMN"
        )
    return columns.targets[rest]
