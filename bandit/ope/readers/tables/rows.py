"""The rows of a table, checked, a block of columns at a time.

One place reads them, for judging decision by decision and for judging by columns, so that a row
is the same to both. A row that cannot be read is told to the counts, with its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bandit.ope.base import SLACK, Floats
from bandit.ope.readers.events import UNNAMED
from bandit.ope.readers.rows import RowCounts
from bandit.ope.readers.tables.cells import (
    LARGEST_REWARD,
    LATEST_MS,
    LEAST_PROPENSITY,
    Numbers,
    names,
    numbers,
    shown,
    times,
)
from bandit.ope.readers.tables.roles import Roles, expand, table_roles
from bandit.ope.readers.tables.sources import Block, TableSource
from bandit.ope.readers.tables.survey import Survey, survey
from streams.events.fields import MAX_ID_LENGTH

ROWS: Final = 10_000


class TableRows(NamedTuple):
    """Rows of a table that can be read, each column of shape (n,).

    Attributes:
        block: where the rows are from, with those that cannot be read.
        kept: the places in the block of those that can.
        reward: what was earned.
        propensity: of the chosen action; NaN where only the row's pmf tells.
        timestamp_ms: of the decision.
        action: the ids of the chosen actions, or None.
        targets: what other policies give the chosen action.
    """

    block: Block
    kept: NDArray[np.int64]
    reward: Floats
    propensity: Floats
    timestamp_ms: Floats
    action: pa.Array | None
    targets: dict[str, Floats]

    def where(self, row: int) -> str:
        """Returns the file and number of a row, by its place among those kept."""
        return _where(self.block, int(self.kept[row]))


class Table:
    """A table by what its columns are; picklable.

    Args:
        table: a path, as `TableSource` takes it, or an Arrow table.
        columns: from a role to the column that plays it; see `read_table`.
        propensities: whether it has them; if not, every action gets the same one.
        known: what its survey would find; None reads it.

    Raises:
        ReaderError: there is no such table or role, or a role is missing.
    """

    def __init__(
        self,
        table: Path | pa.Table,
        columns: Mapping[str, str],
        *,
        propensities: bool = True,
        known: Survey | None = None,
    ) -> None:
        self.source = TableSource(table)
        if any("*" in role for role in columns):
            columns = expand(columns, self.source.columns())
        self.roles: Roles = table_roles(columns, propensities=propensities)
        self.source.check(self.roles.columns())
        self._estimated = not propensities
        self._comma = self.source.decimal_comma
        self._known = known

    @cached_property
    def survey(self) -> Survey:
        """What is known of the whole table, from one reading."""
        return self._known or survey(self.source, self.roles)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all actions that the table names, sorted."""
        return tuple(self.survey.actions) if "action" in self.roles.plain else UNNAMED

    def rows(
        self, counts: RowCounts, size: int = ROWS, *, part: int = 0, parts: int = 1
    ) -> Iterator[TableRows]:
        """Yields the rows that can be read, of one of so many parts.

        Args:
            counts: takes the others.
            size: the most rows at a time.
            part: which part, from 0.
            parts: how many there are, at most `source.parts`.
        """
        for block in self.source.blocks(
            self.roles.columns(), size, counts, names=self.roles.names, part=part, parts=parts
        ):
            yield self.read(block, counts)

    def read(self, block: Block, counts: RowCounts) -> TableRows:
        """Returns the rows of a block that can be read; `counts` takes the others."""
        plain = self.roles.plain
        bad = _BadRows(block, self.survey.repeats)
        action = None
        if "action" in plain:
            action = names(block.batch.column(plain["action"]), plain["action"])
            empty = action.is_null().to_numpy(zero_copy_only=False)
            bad.mark(
                empty, "no_action", lambda _: f"{plain['action']} is empty; expected an action"
            )
        reward = self._numbers(block, bad, "reward", plain["reward"], None)
        huge = np.abs(reward) > LARGEST_REWARD
        bad.mark(huge, "reward_invalid", lambda row: f"reward is {reward[row]}; expected less")
        propensity = self._propensity(block, bad)
        targets = {
            name: self._numbers(block, bad, f"target.{name}", column, 1.0)
            for name, column in self.roles.targets.items()
        }
        time = self._times(block, bad)
        if "event_id" in plain:
            lengths = pc.utf8_length(names(block.batch.column(plain["event_id"]))).fill_null(0)
            long = lengths.to_numpy(zero_copy_only=False) > MAX_ID_LENGTH
            bad.mark(long, "event_id_invalid", lambda _: f"event_id is over {MAX_ID_LENGTH} long")
        bad.tell(counts)
        kept = np.flatnonzero(~bad.any)
        return TableRows(
            block,
            kept,
            reward[kept],
            propensity[kept],
            time[kept],
            None if action is None else action.take(pa.array(kept)),
            {name: values[kept] for name, values in targets.items()},
        )

    def _propensity(self, block: Block, bad: _BadRows) -> Floats:
        n, column = block.batch.num_rows, self.roles.plain.get("propensity")
        if self._estimated:
            return np.full(n, 1.0 / max(len(self.ids), 1))
        if column is None:
            return np.full(n, np.nan)
        found = self._numbers(block, bad, "propensity", column, 1.0)
        below = found < LEAST_PROPENSITY
        bad.mark(below, "propensity_invalid", lambda row: _outside(found[row]))
        return found

    def _times(self, block: Block, bad: _BadRows) -> Floats:
        column = self.roles.plain.get("timestamp_ms")
        if column is None:
            return np.arange(block.start, block.start + block.batch.num_rows, dtype=np.float64)
        found = times(block.batch.column(column))
        with np.errstate(invalid="ignore"):
            there = np.abs(found.values) <= LATEST_MS
        found = found._replace(values=np.where(there, found.values, np.nan))
        return bad.check("timestamp_ms", column, found, "a time")

    def _numbers(
        self, block: Block, bad: _BadRows, role: str, column: str, most: float | None
    ) -> Floats:
        found = numbers(block.batch.column(column), decimal_comma=self._comma)
        values = bad.check(role, column, found, "a number")
        if most is None:
            return values
        with np.errstate(invalid="ignore"):
            outside = (values < 0.0) | (values > most + SLACK)
        code = f"{role.partition('.')[0]}_invalid"
        bad.mark(outside, code, lambda row: _outside(values[row], role))
        return np.minimum(values, most)


class _BadRows:
    """Which rows of a block cannot be read, and the first reason of each."""

    def __init__(self, block: Block, repeats: NDArray[np.int64]) -> None:
        self._block = block
        self._reasons: list[tuple[str, Callable[[int], str]]] = []
        self._which = np.full(block.batch.num_rows, -1, dtype=np.int64)
        if len(repeats):
            again = np.isin(np.arange(len(self._which)) + block.start, repeats)
            self.mark(again, "repeated_event_id", lambda _: "a row before has the same event id")

    @property
    def any(self) -> NDArray[np.bool_]:
        """Which rows cannot be read, or are not to be."""
        found: NDArray[np.bool_] = self._which >= 0
        return found

    def mark(self, rows: NDArray[np.bool_], reason: str, detail: Callable[[int], str]) -> None:
        """Marks rows for a reason, which counts where none was found before."""
        self._which[rows & ~self.any] = len(self._reasons)
        self._reasons.append((reason, detail))

    def check(self, role: str, column: str, found: Numbers, expected: str) -> Floats:
        """Marks rows whose cell is empty, or is no finite number; returns the numbers."""
        code = role.partition(".")[0]
        cells = self._block.batch.column(column)
        self.mark(found.empty, f"no_{code}", lambda _: f"{column} is empty; expected {expected}")
        self.mark(
            ~np.isfinite(found.values),
            f"{code}_invalid",
            lambda row: f"{role} is {shown(cells[row])}; expected {expected}",
        )
        return found.values

    def tell(self, counts: RowCounts) -> None:
        """Counts the rows by their reasons, in the order of the first row of each."""
        numbers, first = np.unique(self._which, return_index=True)
        for row, number in sorted(zip(first.tolist(), numbers.tolist(), strict=True)):
            if number < 0:
                continue
            reason, detail = self._reasons[number]
            count = int((self._which == number).sum())
            tell = counts.leave_out if reason == "repeated_event_id" else counts.refuse
            tell(reason, _where(self._block, row), detail(row), count)


def _where(block: Block, row: int) -> str:
    return f"{block.file}, row {block.rows[row]}"


def _outside(value: Any, role: str = "propensity") -> str:
    low = "above 0" if role == "propensity" else "at least 0"
    return f"{role} is {float(value)}; expected {low} and at most 1"
