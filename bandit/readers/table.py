"""Any CSV or Parquet file with a row a decision, given which column is what.

Nothing is guessed from names: `reward` and `propensity` must be told. Where the log holds what
another policy would have done, that policy needs no code here to be judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.readers.logged import LoggedEvent, spread
from streams.events import Action, Decision

PLACEMENT: Final = "table"
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
        placement=PLACEMENT,
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
    """Returns which column plays which part.

    Raises:
        ReaderError: a role that does not exist, or one that is missing.
    """
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
    """Returns the ids of all actions that the file names, sorted.

    Raises:
        ReaderError: it cannot be read.
    """
    ids: set[str] = set()
    for batch in open_batches(path, [column]):
        ids.update(map(str, batch.column(0).unique().to_pylist()))
    return tuple(sorted(ids))


def open_batches(path: Path, columns: list[str], rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """Yields these columns of a table in batches.

    Raises:
        ReaderError: a column that the file lacks, or it cannot be read.
    """
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
