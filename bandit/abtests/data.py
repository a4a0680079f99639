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
from pyarrow import csv, parquet

from bandit.errors import ReplayError

ROLES: Final = {
    "test": pa.string(),
    "headline": pa.string(),
    "impressions": pa.int64(),
    "clicks": pa.int64(),
    "week": pa.int64(),
}
"""What a file says of each arm, by the names of its columns unless others are given."""
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
        path: Parquet or CSV with a row an arm; its columns beyond those of `ROLES` are ignored.
        columns: of some of `ROLES`, what the file calls its column, if not as the role.
        min_headlines: the fewest distinct headlines that a test must have.
        min_impressions: the fewest that each of its headlines must have.
        exclude_weeks: first and last week (YYYYWW) to leave out; None leaves none out.

    Raises:
        ReplayError: the file cannot be read, lacks a column, holds impossible counts, or has no
            test that qualifies.
    """
    names = _names(columns or {})
    rows = _checked(path, _read(path, names), names).rename_columns([*names]).to_pylist()
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


def _names(columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the column of each role."""
    for role in columns:
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise ReplayError(f"column role {role!r} does not exist; expected one of: {known}")
    return {role: columns.get(role, role) for role in ROLES}


def _schema(names: Mapping[str, str]) -> pa.Schema:
    return pa.schema([(names[role], kind) for role, kind in ROLES.items()])


def _read(path: Path, names: Mapping[str, str]) -> pa.Table:
    if not path.is_file():
        raise ReplayError(f"{path} is not a file; expected a Parquet or CSV file of A/B tests")
    try:
        if path.suffix.lower() == ".csv":
            # the types are given, not inferred: a headline may be "1984"
            return csv.read_csv(
                path,
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(column_types=_schema(names)),
            )
        present = set(parquet.read_schema(path).names)
        return parquet.read_table(path, columns=[n for n in names.values() if n in present])
    except (pa.ArrowInvalid, OSError) as error:
        raise ReplayError(
            f"{path} cannot be read: {error}; expected Parquet, or CSV with the suffix .csv"
        ) from error


def _checked(path: Path, table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    missing = [name for name in names.values() if name not in table.column_names]
    if missing:
        raise ReplayError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)};"
            f" a row an arm must have {', '.join(names.values())}; name others with --column"
            " ROLE=COLUMN"
        )
    try:
        table = table.select([*names.values()]).cast(_schema(names))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReplayError(f"{path} has a column of another type: {error}") from error
    for name in names.values():
        if table[name].null_count:
            raise ReplayError(f"{path} has {table[name].null_count} rows without {name}")
    clicks, impressions = table[names["clicks"]], table[names["impressions"]]
    impossible = pc.or_(pc.less(clicks, 0), pc.greater(clicks, impressions))
    row = pc.index(impossible, True).as_py()
    if row >= 0:
        raise ReplayError(
            f"{path} has {clicks[row]} clicks of {impressions[row]} impressions in row {row + 1};"
            " expected 0 <= clicks <= impressions"
        )
    longest = pc.max(pc.utf8_length(table[names["test"]])).as_py() or 0
    if longest > MAX_ID_LENGTH:
        raise ReplayError(
            f"{path} has a {names['test']} of {longest} characters; at most {MAX_ID_LENGTH}"
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
