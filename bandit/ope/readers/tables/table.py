"""Tables with a row a decision, as decisions one by one and as columns.

Nothing is guessed from names: roles say which column is what. Where the table holds what another
policy would have done, that policy needs no code here to be judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from bandit.errors import FeatureError
from bandit.ope.base import Floats
from bandit.ope.readers.events import UNNAMED, LoggedEvent, check_features, spread, with_entry
from bandit.ope.readers.rows import OnBadRow, RowCounts
from bandit.ope.readers.tables.cells import names
from bandit.ope.readers.tables.choices import Choice, Choices, NoChoice
from bandit.ope.readers.tables.roles import Roles
from bandit.ope.readers.tables.rows import Table, TableRows
from bandit.ope.readers.tables.survey import Survey, feature_values
from streams.events import Action, Decision

COLUMN_ROWS: Final = 65_536
NOT_GIVEN: Final = "–"
AGREES: Final = 0.05
"""By what share a row's propensity and its pmf may differ, both being rounded."""


def read_table(
    table: Path | pa.Table,
    columns: Mapping[str, str],
    *,
    propensities: bool = True,
    counts: RowCounts | None = None,
) -> Iterator[LoggedEvent]:
    """Returns the rows as decisions, in their order.

    Args:
        table: CSV, JSON lines, Parquet, a folder of these, or an Arrow table; see `TableSource`.
        columns: from a role to the column that plays it. `reward` must be there, and `propensity`
            or a pmf; `action` names the chosen action. `event_id` and `timestamp_ms`, a number or
            a date, default to the row's number; rows that repeat an event id are left out.

            `context.NAME` is a feature NAME of the context, `action.NAME` one of the chosen
            action, and `target.NAME` the propensity that a policy NAME gives the chosen action.

            All that the table names could have been chosen, unless `actions` (lists of ids, or of
            objects with an id and features) or `available.ACTION` (true or false) says otherwise.
            `pmf` is the log's whole pmf (lists in the order of `actions`, or of ids 0, 1, …;
            objects by the id; JSON of either), or `pmf.ACTION` a column of it; `target_pmf.NAME`
            and `target_pmf.NAME.ACTION` are that of a policy NAME.

            A role that ends with `*` stands for all columns that fit, such as `pmf.*=p_*`.
        propensities: whether the table has them; if not, every action gets the same one, for
            whoever estimates them next.
        counts: takes the rows that cannot be read; stops at the first if left out.

    Raises:
        ReaderError: a role that does not exist, a column that the table lacks, or a row that
            cannot be read.
    """
    counts = counts or RowCounts()
    opened = Table(table, columns, propensities=propensities)
    rows = opened.rows(counts)
    return (event for some in rows for event in events_of(opened, some, counts))


def events_of(table: Table, rows: TableRows, counts: RowCounts) -> Iterator[LoggedEvent]:
    """Yields the decisions that rows of a table are."""
    roles, known = table.roles, table.survey
    batch = rows.block.batch.take(pa.array(rows.kept))
    contexts = _objects(batch, roles.context, known)
    event_ids = _event_ids(batch, roles, rows)
    choices = Choices(batch, roles, known.actions) if roles.wide else None
    everything = tuple(known.actions.values()) or tuple(Action(name) for name in UNNAMED)
    index_of = {action.id: index for index, action in enumerate(everything)}
    chosen = [UNNAMED[0]] * len(rows.kept) if rows.action is None else rows.action.to_pylist()
    for row, action_id in enumerate(chosen):
        choice = _completed(
            Choice(everything, index_of[action_id])
            if choices is None
            else choices.of(row, action_id),
            float(rows.propensity[row]),
        )
        if isinstance(choice, NoChoice):
            counts.refuse(choice.reason, rows.where(row), choice.detail)
            continue
        try:
            check_features(contexts[row], choice.actions)
        except FeatureError as error:
            counts.refuse("features_invalid", rows.where(row), str(error))
            continue
        decision = Decision(
            event_id=event_ids[row],
            placement="table",
            timestamp_ms=int(rows.timestamp_ms[row]),
            context=contexts[row],
            actions=choice.actions,
            pmf=choice.pmf or (),
            index=choice.place,
            policy_version="table",
        )
        yield LoggedEvent(
            decision,
            float(rows.reward[row]),
            whole=known.uniform or roles.whole,
            targets={name: float(values[row]) for name, values in rows.targets.items()},
            pmfs=choice.targets,
            actions_known=roles.told or known.uniform,
        )


def _completed(choice: Choice | NoChoice, propensity: float) -> Choice | NoChoice:
    """Returns a row's choice with a pmf, in which the chosen action has its own propensity.

    Args:
        choice: what the row chose, and from what.
        propensity: as it was written down; NaN where only the pmf tells.
    """
    if isinstance(choice, NoChoice):
        return choice
    n, place = len(choice.actions), choice.place
    given = (1.0,) if n == 1 else choice.pmf
    if given is None:
        return choice._replace(pmf=spread(propensity, place, n))
    if np.isnan(propensity):
        propensity = given[place]
    if not 0.0 < propensity <= 1.0 or abs(given[place] - propensity) > AGREES * propensity:
        detail = f"the pmf gives the chosen action {given[place]}; propensity: {propensity}"
        return NoChoice("pmf_invalid", detail)
    return choice._replace(pmf=with_entry(given, place, propensity))


def _objects(batch: pa.RecordBatch, columns: Mapping[str, str], known: Survey) -> list[Raw]:
    """Returns for each row an object of the values that these columns have."""
    if not columns:
        return [Raw(b"{}")] * batch.num_rows
    values = [feature_values(batch.column(c), known.kinds.get(c)) for c in columns.values()]
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return [Raw(encode(dict(zip(columns, row, strict=True)))) for row in zip(*values, strict=True)]


def _event_ids(batch: pa.RecordBatch, roles: Roles, rows: TableRows) -> list[str]:
    numbered = [str(number) for number in (rows.kept + rows.block.start).tolist()]
    if "event_id" not in roles.plain:
        return numbered
    given = names(batch.column(roles.plain["event_id"])).to_pylist()
    return [one or number for one, number in zip(given, numbered, strict=True)]


class TableColumns(NamedTuple):
    """Rows of a table by what they are, each of shape (n,).

    `action` holds the places of the logged actions' ids in the table's sorted ids, or is None.
    """

    reward: Floats
    propensity: Floats
    timestamp_ms: Floats
    action: Floats | None
    targets: Mapping[str, Floats]
    labels: Mapping[str, Sequence[str]]


class ColumnLog(NamedTuple):
    """A table that can be read as columns, in parts; picklable, so in other processes too.

    Attributes:
        table: what is read.
        segments: `context.NAME` of those NAMEs whose values are wanted as text.
        actions: the ids of all actions that the table names, sorted.
        on_bad_row: what happens at a row that cannot be read.
    """

    table: Table
    segments: tuple[str, ...]
    actions: tuple[str, ...]
    on_bad_row: OnBadRow = "stop"

    @property
    def most_parts(self) -> int:
        """How many parts there can be: the row groups of Parquet."""
        return self.table.source.parts

    @property
    def uniform(self) -> bool:
        """Whether each row chose evenly among the table's actions."""
        return self.table.survey.uniform

    def read(
        self, part: int = 0, parts: int = 1, counts: RowCounts | None = None
    ) -> Iterator[TableColumns]:
        """Yields the rows of one of so many parts, which together are all rows, once."""
        counts = counts or RowCounts(self.on_bad_row)
        for rows in self.table.rows(counts, COLUMN_ROWS, part=part, parts=parts):
            if len(rows.kept):
                yield self.columns(rows)

    def columns(self, rows: TableRows) -> TableColumns:
        """Returns rows of the table by what they are."""
        action = None
        if rows.action is not None:
            found = pc.index_in(rows.action, pa.array(self.actions, pa.string()))
            action = found.to_numpy(zero_copy_only=False).astype(np.float64)
        kept, kinds = pa.array(rows.kept), self.table.survey.kinds
        labels = {}
        for segment in self.segments:
            column = self.table.roles.context[segment]
            cells = rows.block.batch.column(column).take(kept)
            labels[segment] = [_label(v) for v in feature_values(cells, kinds.get(column))]
        return TableColumns(
            rows.reward, rows.propensity, rows.timestamp_ms, action, rows.targets, labels
        )


def open_columns(
    table: Path | pa.Table,
    columns: Mapping[str, str],
    segments: Sequence[str] = (),
    *,
    on_bad_row: OnBadRow = "stop",
) -> ColumnLog | None:
    """Returns the table to be read as columns; None where it must be read row by row.

    That is where a segment is no column of it, or rows say themselves what they chose from.

    Raises:
        ReaderError: a role that does not exist, or a table that cannot be read.
    """
    opened = Table(table, columns)
    if opened.roles.wide or any(segment not in opened.roles.context for segment in segments):
        return None
    return ColumnLog(opened, tuple(segments), opened.ids, on_bad_row)


def _label(value: Any) -> str:
    """Returns a segment's value as `segment_of` does."""
    if value is None or isinstance(value, dict | list):
        return NOT_GIVEN
    return str(value).lower() if isinstance(value, bool) else str(value)
