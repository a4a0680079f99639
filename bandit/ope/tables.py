"""Policies judged on a table of any kind, for notebooks and for the command line.

A table is a file, or what pandas, polars, DuckDB or Arrow hold in memory. None of these libraries
but Arrow is needed: a table brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from html import escape
from io import StringIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import pyarrow as pa
from rich.console import Console

from bandit.errors import BanditError, PolicySpecError, ReaderError
from bandit.ope.batches import unit_path
from bandit.ope.candidate import Options
from bandit.ope.checks.diagnostics import EvaluationVerdict
from bandit.ope.estimators.bounded import RewardRange
from bandit.ope.evaluate import evaluate
from bandit.ope.evaluate_columns import evaluate_columns, fits
from bandit.ope.models import estimated
from bandit.ope.policies import Candidate, text_of
from bandit.ope.readers.rows import OnBadRow, Reading, RowCounts
from bandit.ope.readers.tables.roles import expand
from bandit.ope.readers.tables.table import open_columns, read_table
from bandit.ope.readers.tables.text_files import array_of
from bandit.ope.reports.report import Evaluation, shown, shown_interval
from bandit.policies import open_policy
from streams.counting import count_of

SCHEMA: Final = pa.schema(
    [
        ("policy", pa.string()), ("estimator", pa.string()),
        ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
        ("difference", pa.float64()),
        ("difference_low", pa.float64()), ("difference_high", pa.float64()),
        ("lift", pa.float64()), ("lift_low", pa.float64()), ("lift_high", pa.float64()),
        ("verdict", pa.string()), ("effective", pa.float64()), ("mean_weight", pa.float64()),
    ]
)  # fmt: skip
"""The columns of a result; `difference` and `lift` are to the baseline; see `EstimateRow`."""


def evaluate_table(
    table: Path | pa.Table,
    columns: Mapping[str, str],
    policies: Sequence[str | Candidate],
    options: Options,
    *,
    propensities: bool = True,
    on_bad_row: OnBadRow = "stop",
    processes: int = 1,
    console: Console | None = None,
) -> Evaluation:
    """Returns what each policy would have earned, read by columns where that suffices.

    Args:
        table: as `read_table` takes it.
        columns: from a role to the column that plays it; see `read_table`.
        policies: as `open_target` takes them.
        options: what is asked.
        propensities: whether the table has them; they are estimated if not.
        on_bad_row: what happens at a row that cannot be read: `stop` raises, `skip` counts it.
        processes: how many share the work; of a table in memory, one.
        console: where progress is shown.

    Raises:
        ReaderError: the table, a role or a row cannot be read.
        EstimateError: the table holds no decision, or cannot be judged so.
        PolicyError: a policy that does not exist, or cannot be asked.
        FeatureError: features that a policy or the reward model cannot read.
    """
    processes = processes if isinstance(table, Path) else 1
    words = [policy for policy in policies if isinstance(policy, str)]
    plain = len(words) == len(policies) and fits(words, options, actions="action" in columns)
    if propensities and plain:
        of_unit = () if options.unit is None else (unit_path(options.unit),)
        segments = (*options.segments, *of_unit)
        log = open_columns(table, columns, segments, on_bad_row=on_bad_row)
        if log is not None:
            return evaluate_columns(log, words, options, processes=processes, console=console)
    opened = partial(_open, table, dict(columns), propensities, on_bad_row)
    judged = opened if propensities else partial(estimated, opened)
    return evaluate(judged, policies, options, processes=processes, console=console)


def _open(
    table: Path | pa.Table, columns: dict[str, str], propensities: bool, on_bad_row: OnBadRow
) -> Reading:
    counts = RowCounts(on_bad_row)
    return Reading(read_table(table, columns, propensities=propensities, counts=counts), counts)


class EvaluationResult:
    """What an evaluation of a table found, as a table and as a notebook shows it.

    Arrow's stream protocol is spoken, so that `polars.DataFrame(result)` and DuckDB read it too.

    Attributes:
        report: all that was found, with intervals and diagnostics.
    """

    def __init__(self, report: Evaluation, kind: str) -> None:
        self.report = report
        self._kind = kind

    @property
    def verdicts(self) -> dict[str, EvaluationVerdict]:
        """Whether each policy's figures can be relied on, by the policy."""
        return {found.policy: found.diagnostics.verdict for found in self.report.policies}

    @property
    def table(self) -> Any:
        """The result in the kind of table that was given; Arrow's where that was none."""
        match self._kind:
            case "pandas":
                return self.to_pandas()
            case "polars":
                return self.to_polars()
            case _:
                return self.to_arrow()

    def to_arrow(self) -> pa.Table:
        """Returns a row for each policy and estimator, with the columns of `SCHEMA`."""
        rows = []
        for found in self.report.policies:
            known = found.diagnostics
            for row in found.estimates:
                told = {"policy": found.policy, "estimator": row.estimator, "value": row.value}
                told |= {"difference": row.difference, "lift": row.lift}
                for name, interval in (
                    ("", row.interval),
                    ("difference_", row.difference_interval),
                    ("lift_", row.lift_interval),
                ):
                    if interval is not None:
                        told |= {f"{name}low": interval.low, f"{name}high": interval.high}
                told |= {"verdict": known.verdict.code, "effective": known.effective}
                rows.append(told | {"mean_weight": known.mean_weight})
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def to_pandas(self) -> Any:
        """Returns the result as a DataFrame of pandas, which must be installed."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """Returns the result as a DataFrame of polars, which must be installed."""
        import polars  # type: ignore[import-not-found,unused-ignore]

        return polars.from_arrow(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        text = StringIO()
        Console(file=text, width=100, color_system=None).print(self.report.to_table())
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        """Returns the estimates, each policy's verdict and all warnings, as a notebook shows."""
        over = f"over {escape(self.report.baseline)}"
        heads = "".join(f"<th>{h}</th>" for h in ("policy", "estimator", "value", "interval", over))
        rows, words = [], [escape(text) for text in self.report.warnings]
        for found in self.report.policies:
            verdict = found.diagnostics.verdict
            words.append(f"<b>{escape(found.policy)}</b>: {verdict.code}. {escape(verdict.words)}")
            words += [f"{escape(found.policy)}: no {name}: {escape(why)}."
                      for name, why in found.skipped.items()]  # fmt: skip
            for row in found.estimates:
                cells = (
                    escape(found.policy),
                    row.estimator,
                    shown(row.value) + ("*" if row.caveat else ""),
                    shown_interval(row.interval),
                    shown_interval(row.difference_interval, sign="+"),
                )
                rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        return (
            f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
            f"<p>{count_of(self.report.n, 'decision')}; intervals of {self.report.level:.0%}.</p>"
            f"<ul>{''.join(f'<li>{text}</li>' for text in words)}</ul>"
        )


def options_of(given: Mapping[str, Any]) -> Options:
    """Returns the options that a caller from Python gives: lists and single names will do.

    Raises:
        TypeError: an option that does not exist.
    """
    made = dict(given)
    for name in ("estimators", "segments"):
        if name in made:
            value = made[name]
            made[name] = (value,) if isinstance(value, str) else tuple(value)
    if "reward_range" in made:
        made["reward_range"] = RewardRange(*made["reward_range"])
    return Options(**made)


Policies: TypeAlias = str | Mapping[str, object] | Sequence[str | Mapping[str, object]]
"""One policy or several, in words as for `--policy` or as a placement has them."""


def evaluate_any(
    table: Any,
    columns: Mapping[str, str],
    policies: Policies,
    options: Options,
    *,
    propensities: Literal["logged", "estimate"],
    on_bad_row: OnBadRow,
) -> EvaluationResult:
    """Returns what `bandit.evaluate` does.

    Raises:
        ReaderError: it is no table.
        PolicySpecError: a policy is neither text nor a mapping.
    """
    kind = type(table).__module__.partition(".")[0]
    known = Path(fspath(table)) if isinstance(table, str | PathLike) else None
    if known is None:
        known, columns = to_arrow(table, columns)
    named = [policies] if isinstance(policies, str | Mapping) else policies
    try:
        report = evaluate_table(
            known,
            columns,
            [policy_of(policy) for policy in named],
            options,
            propensities=propensities == "logged",
            on_bad_row=on_bad_row,
        )
    except BanditError as error:
        error.args = (in_python(str(error)),)
        raise
    return EvaluationResult(_in_python(report), kind)


def policy_of(policy: object) -> str | Candidate:
    """Returns the policy to judge that words or a spec stand for.

    Raises:
        PolicySpecError: it is neither.
    """
    if isinstance(policy, str):
        return policy
    if not isinstance(policy, Mapping):
        raise PolicySpecError(
            f"a policy is {policy!r}; expected words such as 'thompson:beta=50', or a mapping such "
            "as {'name': 'thompson', 'beta': 50}"
        )
    spec = open_policy(dict(policy)).spec
    return Candidate(text_of(dict(policy)), spec)


IN_PYTHON: Final = (
    (r"--on-bad-row skip\b", 'on_bad_row="skip"'),
    (r"--propensities estimate\b", 'propensities="estimate"'),
    (r"--rewards LOW HIGH\b", "reward_range=(LOW, HIGH)"),
    (r"--column ([\w.]+)=([\w.]+)", r'columns={"\1": "\2"}'),
    (r"--unit ([\w.]+\w)", r'unit="\1"'),
    (r"--train\b", "train"),
    (r"--format json\b", "`report`"),
)
"""What a message calls an option, and what it is called in Python."""


def in_python(words: str) -> str:
    """Returns a message with options as a caller from Python gives them.

    >>> in_python("too narrow; give --unit context.user.")
    'too narrow; give unit="context.user".'
    """
    for option, name in IN_PYTHON:
        words = re.sub(option, name, words)
    return words


def _in_python(report: Evaluation) -> Evaluation:
    """Returns the report with options in verdicts and remarks as Python has them."""
    policies = []
    for found in report.policies:
        verdict = found.diagnostics.verdict
        verdict = msgspec.structs.replace(verdict, words=in_python(verdict.words))
        known = msgspec.structs.replace(found.diagnostics, verdict=verdict)
        skipped = {name: in_python(why) for name, why in found.skipped.items()}
        policies.append(msgspec.structs.replace(found, diagnostics=known, skipped=skipped))
    return report._replace(policies=tuple(policies))


def to_arrow(table: Any, columns: Mapping[str, str]) -> tuple[pa.Table, dict[str, str]]:
    """Returns a table in memory as Arrow's, and the roles of its columns.

    Only columns that play a part are looked at: others may hold anything.

    Raises:
        ReaderError: it is no table.
    """
    if type(table).__name__ == "LazyFrame":
        table = table.collect()
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        names = dict.fromkeys(name for row in table for name in row)
        table = {name: [row.get(name) for row in table] for name in names}
    if isinstance(table, Mapping) or type(table).__module__.partition(".")[0] == "pandas":
        names = {
            str(name): name for name in (table if isinstance(table, Mapping) else table.columns)
        }
        roles = expand(columns, list(names))
        wanted = [name for name in dict.fromkeys(roles.values()) if name in names]
        return _made(names, {name: _column(table[names[name]], name) for name in wanted}), roles
    try:
        found = table if isinstance(table, pa.Table) else pa.table(table)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise ReaderError(
            f"a {type(table).__name__} is no table: {error}; expected a path, or a table of "
            "Arrow, pandas, polars or DuckDB, a mapping of columns or a list of rows"
        ) from error
    return _without_views(found), expand(columns, found.column_names)


def _without_views(table: pa.Table) -> pa.Table:
    """Returns the table with its views of text as text: Arrow takes no rows of a view."""
    kinds = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if kind in kinds:
            column = table.column(place)
            if kind != field.type:
                column = pa.chunked_array([_decoded(chunk) for chunk in column.chunks], kind)
            table = table.set_column(place, field.name, column.cast(kinds[kind]))
    return table


def _decoded(categories: pa.DictionaryArray) -> pa.Array:
    words = categories.dictionary.to_pylist()
    known = [None if place is None else words[place] for place in categories.indices.to_pylist()]
    return pa.array(known, categories.dictionary.type)


def _made(names: Iterable[str], columns: dict[str, pa.Array]) -> pa.Table:
    """Returns the table of these columns; a message about others can tell which there are."""
    try:
        found = pa.table(columns)
    except (ValueError, pa.ArrowException) as error:
        raise ReaderError(f"the columns make no table: {error}") from error
    for name in names:
        if name not in columns:
            found = found.append_column(name, pa.nulls(found.num_rows))
    return found


def _column(values: Any, name: str) -> pa.Array:
    """Returns a column of pandas, numpy or Python; as text where its cells are of several kinds."""
    if getattr(values, "ndim", 1) != 1:
        raise ReaderError(f"the table has several columns of the name {name}")
    if not isinstance(values, list | tuple):
        try:
            return pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            empty = values.isna() if hasattr(values, "isna") else values != values
            values = [None if no else value for value, no in zip(values, empty, strict=True)]
    return array_of(values)
