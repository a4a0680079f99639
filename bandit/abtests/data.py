"""Finished A/B tests of headlines, read as pools from which a replay draws.

A test that gave each headline to visitors at random holds what a bandit would have met: drawn
without replacement, the showings of an arm come in an order as likely as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bandit.errors import ReaderError, ReplayError
from bandit.ope.readers.rows import RowCounts
from bandit.ope.readers.tables.cells import names, numbers, times
from bandit.ope.readers.tables.sources import TableSource

ROLES: Final = ("test", "headline", "impressions", "clicks", "week")
"""What a file says of each arm, by the names of its columns unless others are given."""
OPTIONAL: Final = "week"
TYPES: Final = pa.schema(
    [(role, pa.string() if role in ("test", "headline") else pa.int64()) for role in ROLES]
)
ROWS: Final = 65_536
WeekRange: TypeAlias = tuple[int, int]
"""The first and the last of some weeks, as YYYYWW."""
MAX_ID_LENGTH: Final = 128


class AbTestArm(NamedTuple):
    """A headline with the pool of its impressions, `clicks` of them clicked."""

    headline: str
    impressions: int
    clicks: int

    @property
    def ctr(self) -> float:
        """Clicks an impression, over the whole pool."""
        return self.clicks / self.impressions


class AbTest(NamedTuple):
    """One test: arms of distinct headlines, in the order of their texts."""

    id: str
    week: int
    arms: tuple[AbTestArm, ...]

    def rounds(self, horizon: int) -> int:
        """Returns how many rounds can be played whatever is chosen: at most `horizon`."""
        return min(horizon, *(arm.impressions for arm in self.arms))

    @property
    def uniform_ctr(self) -> float:
        """What choosing evenly at random earns a round, exactly: the mean of the arms' CTRs."""
        return sum(arm.ctr for arm in self.arms) / len(self.arms)

    @property
    def best_ctr(self) -> float:
        """The CTR of the arm that was best in hindsight; optimistic, picked on its own counts."""
        return max(arm.ctr for arm in self.arms)


def read_ab_tests(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    min_headlines: int = 3,
    min_impressions: int = 1000,
    exclude_weeks: WeekRange | None = None,
) -> list[AbTest]:
    """Returns the tests in `path` that can be replayed, in order of week.

    Rows of one test with the same headline (they differ in the image) are merged into one arm,
    for what is chosen is the text. A test belongs to the week of its earliest row.

    Args:
        path: CSV, JSON lines, Parquet, or a folder of these, with a row an arm; its columns beyond
            those of `ROLES` are ignored. A week is YYYYWW or a date; without a column of weeks
            the tests come in the order of their names.
        columns: of some of `ROLES`, what the file calls its column, if not as the role.
        min_headlines: the fewest distinct headlines that a test must have.
        min_impressions: the fewest that each of its headlines must have.
        exclude_weeks: first and last week (YYYYWW) to leave out; None leaves none out.

    Raises:
        ReplayError: the file cannot be read, lacks a column, holds impossible counts, or has no
            test that qualifies.
    """
    if exclude_weeks is not None and exclude_weeks[0] > exclude_weeks[1]:
        first, last = exclude_weeks
        raise ReplayError(f"weeks {first} to {last} end before they begin; give the earlier first")
    rows = _read(path, _columns(columns or {})).to_pylist()
    if exclude_weeks is not None and not any(row["week"] for row in rows):
        raise ReplayError(
            f"{path} has no weeks, so none can be left out; name their column with --column "
            "week=COLUMN"
        )
    by_test: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_test.setdefault(row["test"], []).append(row)
    tests = [
        AbTest(id=id_, week=min(row["week"] for row in of_test), arms=_arms(of_test))
        for id_, of_test in by_test.items()
    ]
    kept = [
        test
        for test in tests
        if len(test.arms) >= min_headlines
        and min(arm.impressions for arm in test.arms) >= max(min_impressions, 1)
        and not (exclude_weeks and exclude_weeks[0] <= test.week <= exclude_weeks[1])
    ]
    if not kept:
        weeks = "{}-{}".format(*exclude_weeks) if exclude_weeks else "none"
        raise ReplayError(
            f"none of the {len(tests)} tests in {path} has at least {min_headlines} headlines of"
            f" {min_impressions} impressions each outside the excluded weeks ({weeks});"
            " lower the minimum, or exclude fewer weeks"
        )
    return sorted(kept, key=attrgetter("week", "id"))


def draw_clicks(test: AbTest, rounds: int, rng: np.random.Generator) -> list[bytes]:
    """Returns what the first `rounds` showings of each arm come to: 1 is a click, 0 is none.

    They are the start of one random order of the arm's whole pool, so a showing never comes
    back, and the n-th of an arm is the same whoever chooses it.
    """
    return [_first_showings(arm, rounds, rng).tobytes() for arm in test.arms]


def _first_showings(arm: AbTestArm, rounds: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    clicked = rng.choice(arm.impressions, size=arm.clicks, replace=False)
    showings = np.zeros(rounds, dtype=np.uint8)
    showings[clicked[clicked < rounds]] = 1
    return showings


def _columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the column of each role."""
    for role in columns:
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise ReplayError(f"column role {role!r} does not exist; expected one of: {known}")
    return {role: columns.get(role, role) for role in ROLES}


def _read(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """Returns the columns of all roles, checked, by the names of the roles."""
    try:
        source = TableSource(path)
    except ReaderError as error:
        what = "is not a file" if not path.exists() else f"cannot be read: {error}"
        raise ReplayError(f"{path} {what}; expected Parquet or CSV with A/B tests") from error
    try:
        there = source.columns()
        wanted = [name for name in columns.values() if name in there]
        counts = RowCounts("skip")
        blocks = list(source.blocks(wanted, ROWS, counts, names=wanted[:2]))
    except ReaderError as error:
        raise ReplayError(f"{error}; expected Parquet, or CSV with a header") from error
    for bad in counts.get():
        raise ReplayError(f"{path} cannot be read: {bad.first} has {bad.detail}")
    # nobody has to have weeks, but who names their column has them
    needed = [name for role, name in columns.items() if not role == name == OPTIONAL]
    missing = [name for name in needed if name not in there]
    if missing:
        raise ReplayError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)};"
            f" a row an arm must have {', '.join(needed)}, and may have {OPTIONAL}; name others"
            " with --column ROLE=COLUMN"
        )
    try:
        tables = [_typed(path, block.batch, columns) for block in blocks]
    except ReaderError as error:
        raise ReplayError(f"{path} has a column of another type: {error}") from error
    return _checked(path, pa.concat_tables([TYPES.empty_table(), *tables]), columns)


def _typed(path: Path, batch: pa.RecordBatch, columns: Mapping[str, str]) -> pa.Table:
    """Returns the roles as text and whole numbers; null where a cell is empty."""
    found = {}
    for role, name in columns.items():
        if name not in batch.schema.names:
            found[role] = pa.array([0] * batch.num_rows, pa.int64())
        elif role in ("test", "headline"):
            found[role] = names(batch.column(name), name)
        else:
            found[role] = _whole(path, batch.column(name), role, name)
    return pa.table(found)


def _whole(path: Path, column: pa.Array, role: str, name: str) -> pa.Array:
    """Returns whole numbers; dates are weeks."""
    read = numbers(column)
    values, empty = read
    if role == OPTIONAL and not np.isfinite(values[~empty]).all():
        moments = pa.array(times(column).values, from_pandas=True)
        if moments.null_count == int(empty.sum()):
            weeks = pc.iso_calendar(moments.cast(pa.int64()).cast(pa.timestamp("ms")))
            year, week = (pc.struct_field(weeks, part) for part in ("iso_year", "iso_week"))
            return pc.add(pc.multiply(year, 100), week).cast(pa.int64())
    known = values[~empty]
    if not np.isfinite(known).all() or (known != np.round(known)).any():
        raise ReplayError(
            f"{path} has a column of another type: {name} is {column.type}; expected whole numbers"
        )
    return pa.array(np.where(empty, 0.0, values).astype(np.int64), mask=empty)


def _checked(path: Path, table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    for role, name in columns.items():
        if table[role].null_count:
            raise ReplayError(f"{path} has {table[role].null_count} rows without {name}")
    clicks, impressions = table["clicks"], table["impressions"]
    impossible = pc.or_(pc.less(clicks, 0), pc.greater(clicks, impressions))
    row = pc.index(impossible, True).as_py()
    if row >= 0:
        raise ReplayError(
            f"{path} has {clicks[row]} clicks of {impressions[row]} impressions in row {row + 1};"
            " expected 0 <= clicks <= impressions"
        )
    longest = pc.max(pc.utf8_length(table["test"])).as_py() or 0
    if longest > MAX_ID_LENGTH:
        raise ReplayError(
            f"{path} has a {columns['test']} of {longest} characters; at most {MAX_ID_LENGTH}"
        )
    return table


def _arms(rows: Sequence[dict[str, Any]]) -> tuple[AbTestArm, ...]:
    merged: dict[str, AbTestArm] = {}
    for row in rows:
        headline = row["headline"].strip()
        before = merged.get(headline, AbTestArm(headline, 0, 0))
        merged[headline] = AbTestArm(
            headline, before.impressions + row["impressions"], before.clicks + row["clicks"]
        )
    return tuple(arm for _, arm in sorted(merged.items()))
