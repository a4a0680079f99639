"""Tables with a row a decision: any CSV or Parquet file, and the Open Bandit Dataset.

Nothing is guessed from names: `reward` and `propensity` must be told. Where the log holds what
another policy would have done, that policy needs no code here to be judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.ope.base import Floats
from bandit.ope.readers.events import LoggedEvent, spread
from streams.events import Action, Decision

ROWS: Final = 10_000
PLAIN: Final = ("reward", "propensity", "action", "event_id", "timestamp_ms")
PREFIXES: Final = ("context.", "target.")


class _Roles(NamedTuple):
    """Which column plays which part; contexts and targets by their own names."""

    plain: dict[str, str]
    context: dict[str, str]
    targets: dict[str, str]


def read_table(
    path: Path, columns: Mapping[str, str], *, propensities: bool = True
) -> Iterator[LoggedEvent]:
    """Yields the rows as decisions.

    Args:
        path: a CSV file, or Parquet if it is called so.
        propensities: whether the file has them; if not, every action gets the same one, for
            whoever estimates them next.
        columns: from a role to the column that plays it. `reward` and `propensity` must be there;
            `action` names the chosen action (all that the file names could have been chosen),
            `event_id` and `timestamp_ms`, a number or a date, default to the row's number;
            `context.NAME` is a feature NAME of the context, and `target.NAME` the propensity that
            a policy NAME gives the chosen action.

    Raises:
        ReaderError: a role that does not exist, a column that the file lacks, or a value that
            cannot be.
    """
    roles = table_roles(columns, propensities=propensities)
    column = roles.plain.get("action")
    ids = ("logged", "other") if column is None else table_actions(path, column)
    actions = tuple(Action(action_id) for action_id in ids)
    index_of = {action.id: number for number, action in enumerate(actions)}
    number = 0
    for batch in open_batches(path, [*columns.values()]):
        for row in batch.to_pylist():
            chosen = index_of[str(row[roles.plain["action"]])] if "action" in roles.plain else 0
            try:
                yield _logged(row, number, roles, actions, chosen)
            except (TypeError, ValueError) as error:
                raise ReaderError(f"{path}, row {number}: {error}") from error
            number += 1


def _logged(
    row: dict[str, Any], number: int, roles: _Roles, actions: tuple[Action, ...], index: int
) -> LoggedEvent:
    plain = {role: row[column] for role, column in roles.plain.items()}
    plain.setdefault("propensity", 1.0 / len(actions))
    for role in ("reward", "propensity"):
        if not isinstance(plain[role], int | float):
            raise ValueError(f"{role} is {plain[role]!r}; expected a number")
    propensity = float(plain["propensity"])
    if not 0.0 < propensity <= 1.0:
        raise ValueError(f"propensity is {propensity}; expected above 0 and at most 1")
    context = {name: row[column] for name, column in roles.context.items()}
    decision = Decision(
        event_id=str(plain.get("event_id", number)),
        placement="table",
        timestamp_ms=_milliseconds(plain.get("timestamp_ms", number)),
        context=Raw(msgspec.json.encode(context)),
        actions=actions,
        pmf=spread(propensity, index, len(actions)),
        index=index,
        policy_version="table",
    )
    targets = {name: float(row[column]) for name, column in roles.targets.items()}
    return LoggedEvent(decision, float(plain["reward"]), whole=False, targets=targets)


def _milliseconds(value: Any) -> int:
    """Returns a number as it is, and a date in milliseconds since 1970."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    return int(value)


def table_roles(columns: Mapping[str, str], *, propensities: bool = True) -> _Roles:
    """Returns which column plays which part."""
    known = ", ".join((*PLAIN, *(prefix + "NAME" for prefix in PREFIXES)))
    for role in columns:
        if role not in PLAIN and not role.startswith(PREFIXES):
            raise ReaderError(f"column role {role!r} does not exist; expected one of: {known}")
    if "reward" not in columns:
        raise ReaderError("no column is named for reward; give reward=COLUMN")
    if propensities and "propensity" not in columns:
        raise ReaderError(
            "no column is named for propensity, the probability with which the action was chosen; "
            "give propensity=COLUMN, or, if nobody wrote them down, --propensities estimate"
        )
    if not propensities and "action" not in columns:
        raise ReaderError("no column is named for action; propensities are estimated from actions")

    def named(prefix: str) -> dict[str, str]:
        return {r.removeprefix(prefix): c for r, c in columns.items() if r.startswith(prefix)}

    plain = {role: column for role, column in columns.items() if role in PLAIN}
    return _Roles(plain, named("context."), named("target."))


def is_parquet(path: Path) -> bool:
    """Whether a table is Parquet, by its name; it is CSV else."""
    return path.suffix.lower() in (".parquet", ".pq")


def table_actions(path: Path, column: str) -> tuple[str, ...]:
    """Returns the ids of all actions that the file names, sorted."""
    ids: set[str] = set()
    for batch in open_batches(path, [column]):
        ids.update(map(str, batch.column(0).unique().to_pylist()))
    return tuple(sorted(ids))


def open_batches(path: Path, columns: list[str], rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """Yields these columns of a table in batches."""
    wanted = list(dict.fromkeys(columns))
    try:
        if is_parquet(path):
            file = pq.ParquetFile(path)
            if missing := set(wanted) - set(file.schema_arrow.names):
                raise ReaderError(f"{path} has no column {', '.join(sorted(missing))}")
            yield from file.iter_batches(batch_size=rows, columns=wanted)
            return
        options = pacsv.ConvertOptions(include_columns=wanted)
        with pacsv.open_csv(path, convert_options=options) as reader:
            yield from reader
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ReaderError(f"{path} cannot be read: {error}") from error


COLUMN_ROWS: Final = 65_536


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
        path: a CSV or Parquet file.
        columns: as `read_table` takes them.
        segments: `context.NAME` of those NAMEs whose values are wanted as text.
        actions: the ids of all actions, sorted; empty where no column is of them.
    """

    path: Path
    columns: Mapping[str, str]
    segments: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def most_parts(self) -> int:
        """How many parts there can be: the row groups of a Parquet file."""
        return pq.ParquetFile(self.path).num_row_groups if is_parquet(self.path) else 1

    def read(self, part: int = 0, parts: int = 1) -> Iterator[TableColumns]:
        """Yields the rows of one of so many parts, which together are all rows, once."""
        if parts == 1 or not is_parquet(self.path):
            start = 0
            for batch in open_batches(self.path, [*self.columns.values()], COLUMN_ROWS):
                yield self._read(batch, start)
                start += batch.num_rows
            return
        file = pq.ParquetFile(self.path)
        wanted = list(dict.fromkeys(self.columns.values()))
        sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        for group in range(part, file.num_row_groups, parts):
            start = sum(sizes[:group])
            for batch in file.iter_batches(
                batch_size=COLUMN_ROWS, row_groups=[group], columns=wanted
            ):
                yield self._read(batch, start)
                start += batch.num_rows

    def _read(self, batch: pa.RecordBatch, start: int) -> TableColumns:
        roles = self.columns
        times = np.arange(start, start + batch.num_rows, dtype=np.float64)
        if "timestamp_ms" in roles:
            column = batch.column(roles["timestamp_ms"])
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp("ms")).cast(pa.int64())
            times = self._floats(column, roles["timestamp_ms"], start)
        action = None
        if "action" in roles:
            names = batch.column(roles["action"]).cast(pa.string())
            action = pc.index_in(names, pa.array(self.actions)).to_numpy(zero_copy_only=False)
        prefix = "target."
        return TableColumns(
            self._column(batch, "reward", start),
            self._column(batch, "propensity", start),
            times,
            None if action is None else action.astype(np.float64),
            {
                role.removeprefix(prefix): self._column(batch, role, start)
                for role in roles
                if role.startswith(prefix)
            },
            {segment: _labels(batch, roles[f"context.{segment}"]) for segment in self.segments},
        )

    def _column(self, batch: pa.RecordBatch, role: str, start: int) -> Floats:
        name = self.columns[role]
        return self._floats(batch.column(name), name, start)

    def _floats(self, column: Any, name: str, start: int) -> Floats:
        if column.null_count:
            row = start + int(pc.index(column.is_null(), True).as_py())
            raise ReaderError(f"{self.path}, row {row}: {name} is empty; expected a number")
        try:
            found: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise ReaderError(f"{self.path}: {name} is not of numbers: {error}") from error
        return found


def open_columns(
    path: Path, columns: Mapping[str, str], segments: Sequence[str] = ()
) -> ColumnLog | None:
    """Returns the table to be read as columns; None if a segment is no column of it.

    Raises:
        ReaderError: a role that does not exist, or a column that the file lacks.
    """
    table_roles(columns)
    if not path.exists():
        raise ReaderError(f"{path} does not exist; expected a table")
    if any(f"context.{segment}" not in columns for segment in segments):
        return None
    actions = table_actions(path, columns["action"]) if "action" in columns else ()
    return ColumnLog(path, dict(columns), tuple(segments), actions)


def _labels(batch: pa.RecordBatch, name: str) -> list[str]:
    texts = pc.fill_null(batch.column(name).cast(pa.string()), "–").to_pylist()
    return [str(text) for text in texts]


AFFINITY: Final = "user-item_affinity_"
PROPENSITIES: Final = ("propensity_score", "action_prob")
"""What the column is called in the files, and in their documentation."""


def read_obd(directory: Path) -> Iterator[LoggedEvent]:
    """Yields the impressions of a folder of the Open Bandit Dataset (Saito et al. 2020).

    A folder, such as `random/all`, holds one campaign under one policy: fashion adverts in three
    positions of a page. Each impression is a decision for one position, whose number is the slot.
    Only the chosen item's propensity is in the files; under the policy `random` all are alike.

    Raises:
        ReaderError: the folder lacks a file or a column.
    """
    actions = _items(directory / "item_context.csv")
    ids = {action.id: number for number, action in enumerate(actions)}
    path = directory / f"{directory.name}.csv"
    n_read = 0
    for batch in _batches(path):
        names = set(batch.schema.names)
        propensity = next((name for name in PROPENSITIES if name in names), None)
        missing = {"item_id", "position", "click", "timestamp"} - names
        if missing or propensity is None:
            lacking = ", ".join(sorted(missing)) or "propensity_score"
            raise ReaderError(f"{path} has no column {lacking}; expected the Open Bandit Dataset's")
        for row in batch.to_pylist():
            index = ids[str(row["item_id"])]
            decision = _decision(row, n_read, actions, index, float(row[propensity]))
            yield LoggedEvent(
                decision, float(row["click"]), whole=directory.parent.name == "random"
            )
            n_read += 1


def _decision(
    row: dict[str, Any], number: int, actions: tuple[Action, ...], index: int, propensity: float
) -> Decision:
    user = {name: value for name, value in row.items() if name.startswith("user_feature_")}
    affinity = {
        name.removeprefix(AFFINITY): value
        for name, value in row.items()
        if name.startswith(AFFINITY) and value
    }
    position = int(row["position"])
    return Decision(
        event_id=str(number),
        placement="obd",
        timestamp_ms=round(row["timestamp"].timestamp() * 1000),
        context=Raw(
            msgspec.json.encode({"user": user, "affinity": affinity, "position": str(position)})
        ),
        actions=actions,
        pmf=spread(propensity, index, len(actions)),
        index=index,
        policy_version="obd",
        slot=position - 1,
    )


def _items(path: Path) -> tuple[Action, ...]:
    actions = []
    for batch in _batches(path):
        for row in batch.to_pylist():
            item = str(row["item_id"])
            features = {name: row[name] for name in row if name.startswith("item_feature_")}
            actions.append(Action(item, Raw(msgspec.json.encode({"item": features}))))
    return tuple(actions)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if not path.is_file():
        raise ReaderError(f"{path} does not exist; expected a folder such as obd/random/all")
    with pacsv.open_csv(path) as reader:
        yield from reader
