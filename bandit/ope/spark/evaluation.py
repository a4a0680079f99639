"""The evaluation of a log by the workers of Spark, which the driver adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import islice
from operator import add
from typing import Any, Final, NamedTuple

import pyarrow as pa

from bandit.errors import EstimateError, ReaderError
from bandit.ope.batches import unit_path
from bandit.ope.before import is_uniform
from bandit.ope.candidate import CandidatePolicy, Options
from bandit.ope.estimators import SLATES, WITH_MODEL
from bandit.ope.evaluate import BATCH_SIZE, check, take
from bandit.ope.evaluate_columns import constant_weight, fits, judge_columns, with_users
from bandit.ope.models import RewardModel
from bandit.ope.models.ridge import RidgeModel
from bandit.ope.partial import PartialEvaluation
from bandit.ope.readers.archive import interactions_of, with_final_rewards
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.rows import OnBadRow, RowCounts
from bandit.ope.readers.tables.rows import Table
from bandit.ope.readers.tables.table import ColumnLog, TableColumns, events_of
from bandit.ope.repeats import Repeats
from bandit.ope.reports.report import Evaluation
from bandit.ope.spark.tables import Places, open_table
from bandit.ope.spark.workers import Batches, on_partitions, open_session, short
from streams.events import INTERACTIONS
from streams.logs.base import Record

NOT_HERE: Final = (*SLATES, "mrdr", "mips")
"""Estimators that need decisions of several partitions at once, or a model for each policy."""
FIXED: Final = ("logged", "uniform", "constant", "column", "snapshot")
"""Policies that stay as they are."""
EVENT: Final = "coalesce(get_json_object(value, '$.decision.event_id'), key, '')"


def evaluate_on_spark(
    path: str,
    policies: Sequence[str],
    options: Options | None = None,
    *,
    reader: str = "archive",
    columns: Mapping[str, str] | None = None,
    placement: str | None = None,
    on_bad_row: OnBadRow = "stop",
    session: Any = None,
) -> Evaluation:
    """Returns what `evaluate` would of the same log, judged by the workers of Spark.

    Args:
        path: a file or a folder of Parquet, or an URL that Spark reads (`s3a://`, `hdfs://`); of
            the reader `archive`, the folder that has `interactions`.
        policies: as `open_target` takes them, but those that learn as they go.
        options: what is asked; the defaults if left out.
        reader: `archive`, or `table` with columns.
        columns: of a table, from a role to the column that plays it; see `read_table`.
        placement: which placement of an archive; None takes all.
        on_bad_row: what happens at a row that cannot be read: `stop` raises, `skip` counts it.
        session: the session of Spark; one is opened, or found, if left out.

    Raises:
        EstimateError: Spark is not installed, or cannot judge so; or the log holds no decision.
        ReaderError: the log, a role or a row cannot be read.
        PolicyError: a policy that does not exist, or cannot be asked.
    """
    options = options or Options()
    named = list(dict.fromkeys([options.baseline, *policies]))
    check(named, options)
    _check_here(named, options, reader)
    spark = session or open_session()
    if reader == "archive":
        frame = _archived(spark, path)
        read: _Read = partial(_archived_events, path, placement, on_bad_row)
        return _by_decisions(frame, read, named, options).finish()
    return _of_table(spark, path, dict(columns or {}), named, options, on_bad_row).finish()


def _check_here(policies: Sequence[str], options: Options, reader: str) -> None:
    """Raises what only one machine can do."""
    wrong = [name for name in options.estimators if name in NOT_HERE]
    if wrong:
        raise EstimateError(
            f"estimator is {wrong[0]!r}, which Spark does not do; leave --engine out"
        )
    if options.model != "ridge" and set(WITH_MODEL).intersection(options.estimators):
        raise EstimateError(f"model is {options.model!r}; on Spark, ridge alone adds up")
    if options.train or options.creatives:
        raise EstimateError("on Spark, decisions have no order: leave train and creatives out")
    if reader not in ("archive", "table"):
        raise EstimateError(f"reader is {reader!r}; Spark reads an archive or a table")
    for policy in policies:
        if policy.partition(":")[0] not in FIXED:
            raise EstimateError(
                f"policy {policy!r} learns from decision to decision, which no partition can do by "
                "itself; judge a snapshot of it (snapshot:FILE), or leave --engine out"
            )


_Read = Callable[[Batches, RowCounts], Iterator[LoggedEvent]]
"""Returns the decisions in a partition's rows."""


def _by_decisions(
    frame: Any, read: _Read, policies: Sequence[str], options: Options
) -> PartialEvaluation:
    """Returns what was found by asking policies about each decision."""
    model = None
    betting = "betting" in options.estimators and options.max_weight is None
    if betting or set(WITH_MODEL).intersection(options.estimators):
        before = [found for found in on_partitions(frame, partial(_before, read)) if found.n]
        if before and set(WITH_MODEL).intersection(options.estimators):
            model = reduce(add, (found.model for found in before))
        if before and betting and all(found.uniform for found in before):
            options = replace(options, max_weight=max(found.largest for found in before))
    judge = partial(_judge, read, tuple(policies), options, model)
    return _sum(on_partitions(frame, judge))


class _Before(NamedTuple):
    n: int
    model: RidgeModel
    largest: float
    uniform: bool


def _before(read: _Read, part: int, batches: Batches) -> _Before:
    n, model, largest, uniform = 0, RidgeModel(), 0.0, True
    for event in read(batches, RowCounts("skip")):
        n += 1
        model.learn(event)
        largest = max(largest, 1.0 / event.decision.propensity)
        uniform = uniform and is_uniform(event)
    return _Before(n, model, largest, uniform)


def _judge(
    read: _Read,
    policies: Sequence[str],
    options: Options,
    model: RewardModel | None,
    part: int,
    batches: Batches,
) -> PartialEvaluation:
    candidates = [CandidatePolicy(policy, options) for policy in policies]
    counts, repeats, n, times = RowCounts("skip"), Repeats(options.unit), 0, []
    events = read(batches, counts)
    while batch := list(islice(events, BATCH_SIZE)):
        n += len(batch)
        view = take(candidates, batch, options, model)
        times.append((view.timestamp_ms.min(), view.timestamp_ms.max()))
        repeats.add(batch)
    return PartialEvaluation(candidates, counts.get(), times, n, repeats)


def _archived(spark: Any, path: str) -> Any:
    """Returns the interactions of an archive, those of one event in one partition, in order."""
    from pyspark.sql import functions as sql

    try:
        frame = spark.read.parquet(f"{path.rstrip('/')}/{INTERACTIONS}")
    except Exception as error:  # of the JVM, in classes that differ from version to version
        raise ReaderError(f"{path} cannot be read as an archive: {short(error)}") from error
    value = sql.coalesce(sql.col("value").cast("binary"), sql.col("value_bytes"))
    chosen = frame.select("partition", "offset", value.alias("bytes"), sql.expr(EVENT).alias("id"))
    return chosen.repartition("id").drop("id").sortWithinPartitions("partition", "offset")


def _archived_events(
    path: str, placement: str | None, on_bad_row: OnBadRow, batches: Batches, counts: RowCounts
) -> Iterator[LoggedEvent]:
    records = [
        Record(INTERACTIONS, number, offset, 0, b"", value)
        for batch in batches
        for number, offset, value in zip(*map(pa.Array.to_pylist, batch.columns), strict=True)
    ]
    told = iter([RowCounts("skip"), RowCounts(on_bad_row)])
    return with_final_rewards(
        lambda: interactions_of(records, path, next(told), placement=placement), counts
    )


def _of_table(
    spark: Any,
    path: str,
    columns: dict[str, str],
    policies: Sequence[str],
    options: Options,
    on_bad_row: OnBadRow,
) -> PartialEvaluation:
    located, table, places = open_table(spark, path, columns)
    roles = table.roles
    of_unit = () if options.unit is None else (unit_path(options.unit),)
    segments = (*options.segments, *of_unit)
    by_columns = fits(policies[1:], options, actions="action" in roles.plain) and not roles.wide
    if by_columns and all(segment in roles.context for segment in segments):
        log = with_users(ColumnLog(table, segments, table.ids, on_bad_row), options)
        return _by_columns(located, log, places, policies, options)
    read: _Read = partial(_table_events, table, places, on_bad_row)
    return _by_decisions(located, read, policies, options)


def _table_events(
    table: Table, places: Places, on_bad_row: OnBadRow, batches: Batches, counts: RowCounts
) -> Iterator[LoggedEvent]:
    told = RowCounts(on_bad_row)
    for block in places.blocks(batches):
        yield from events_of(table, table.read(block, told), told)
    counts.add(told.get())


class _PartLog(NamedTuple):
    """A partition's rows as `judge_columns` reads a table."""

    log: ColumnLog
    places: Places
    batches: Batches

    @property
    def actions(self) -> tuple[str, ...]:
        return self.log.actions

    @property
    def uniform(self) -> bool:
        return self.log.uniform

    @property
    def on_bad_row(self) -> OnBadRow:
        return self.log.on_bad_row

    def read(self, part: int, parts: int, counts: RowCounts) -> Iterator[TableColumns]:
        for block in self.places.blocks(self.batches):
            rows = self.log.table.read(block, counts)
            if len(rows.kept):
                yield self.log.columns(rows)


def _by_columns(
    located: Any, log: ColumnLog, places: Places, policies: Sequence[str], options: Options
) -> PartialEvaluation:
    if "betting" in options.estimators and options.max_weight is None:
        ends = [
            end for found in on_partitions(located, partial(_ends, log, places)) for end in found
        ]
        options = replace(options, max_weight=constant_weight(ends))
    judge = partial(_judge_columns, log, places, tuple(policies), options)
    return _sum(on_partitions(located, judge))


def _ends(log: ColumnLog, places: Places, part: int, batches: Batches) -> list[tuple[float, float]]:
    read = _PartLog(log, places, batches).read(part, 1, RowCounts("skip"))
    return [(float(c.propensity.min()), float(c.propensity.max())) for c in read]


def _judge_columns(
    log: ColumnLog,
    places: Places,
    policies: Sequence[str],
    options: Options,
    part: int,
    batches: Batches,
) -> PartialEvaluation:
    n, repeats = 0, Repeats()
    reader: Any = _PartLog(log, places, batches)
    for told in judge_columns(reader, policies, options, part, part + 1):
        if isinstance(told, int):
            n += told
        elif isinstance(told, PartialEvaluation):
            return replace(told, n=n, repeats=repeats)
        else:
            for path, values in told.items():
                repeats.add_values(path, values)
    raise AssertionError("judge_columns ends with what was found")


def _sum(parts: Sequence[PartialEvaluation]) -> PartialEvaluation:
    return reduce(add, parts)
