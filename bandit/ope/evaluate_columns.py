"""Policies judged on a table by its columns, without an object of any decision.

Where the log has what the policies do, or they do the same always, arrays suffice: that is tens of
times as fast as asking a policy row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import add
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console

from bandit.errors import PolicySpecError
from bandit.ope.base import Batch, Floats
from bandit.ope.batches import EVENT_ID, NOTHING, unit_path
from bandit.ope.before import NEARLY, show_progress
from bandit.ope.candidate import CandidatePolicy, Options, Support, View
from bandit.ope.estimators import ESTIMATORS, WITH_MODEL
from bandit.ope.partial import PartialEvaluation
from bandit.ope.readers.rows import RowCounts
from bandit.ope.repeats import Repeats, names_unit
from bandit.ope.reports.report import Evaluation
from bandit.ope.units import hash_units
from bandit.parallel import fan_out

if TYPE_CHECKING:
    # Arrow is loaded for a table, not for every evaluation.
    from bandit.ope.readers.tables.table import ColumnLog, TableColumns

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
    log = with_users(log, options)
    parts = min(processes, log.most_parts)
    jobs = [partial(judge_columns, log, names, options, part, parts) for part in range(parts)]
    found: dict[int, PartialEvaluation] = {}
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
    total = reduce(add, (found[job] for job in sorted(found)))
    return replace(total, repeats=repeats, n=n).finish()


def _constant_weight(log: ColumnLog) -> float | None:
    """Returns the largest weight of a log whose logged propensities are all alike, else None."""
    return constant_weight(
        (columns.propensity.min(), columns.propensity.max())
        for columns in log.read()
        if len(columns.propensity)
    )


def constant_weight(ends: Iterable[tuple[float, float]]) -> float | None:
    """Returns the largest weight where propensities are all alike, given some least and largest."""
    found = list(ends)
    low = min((low for low, _ in found), default=0.0)
    high = max((high for _, high in found), default=1.0)
    return float(1.0 / low) if 0.0 < high - NEARLY * high <= low else None


def with_users(log: ColumnLog, options: Options) -> ColumnLog:
    """Returns the log that also reads the unit's column, or columns that may name users."""
    wanted = (
        [name for name in log.table.roles.context if names_unit(name)]
        if options.unit is None
        else [unit_path(options.unit)]
    )
    return log._replace(segments=tuple(dict.fromkeys((*log.segments, *wanted))))


def judge_columns(
    log: ColumnLog, names: Sequence[str], options: Options, part: int, parts: int
) -> Iterator[int | dict[str, Sequence[str]] | PartialEvaluation]:
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
    yield PartialEvaluation(candidates, counts.get(), times)


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
