"""The Open Bandit Dataset (Saito et al. 2020), with policies as its authors publish them.

Its pipeline, obp, gives a policy as an array `action_dist`: for each impression, each item and
each position the probability of showing the item there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.ope.base import Floats
from bandit.ope.readers.events import LoggedEvent, spread
from bandit.ope.readers.rows import RowCounts
from bandit.ope.readers.tables.cells import times
from bandit.ope.readers.tables.choices import SUM_SLACK
from bandit.ope.readers.tables.rows import ROWS, Table, TableRows
from bandit.ope.readers.tables.sources import TableSource
from bandit.ope.readers.tables.survey import Survey, TextKind, feature_values, text_kind
from streams.events import Action, Decision

AFFINITY: Final = "user-item_affinity_"
USER: Final = "user_feature_"
TARGET: Final = "target_pmf."
PROPENSITIES: Final = ("propensity_score", "action_prob")
"""What the column is called in the files, and in their documentation."""
ROLES: Final = {
    "reward": "click",
    "action": "item_id",
    "timestamp_ms": "timestamp",
    "context.position": "position",
}


def read_obd(
    directory: Path, columns: Mapping[str, str] | None = None, *, counts: RowCounts | None = None
) -> Iterator[LoggedEvent]:
    """Returns the impressions of a folder of the Open Bandit Dataset.

    A folder, such as `random/all`, holds one campaign under one policy: fashion adverts in three
    positions of a page. Each impression is a decision for one position, whose number is the slot.
    Only the chosen item's propensity is in the files; under the policy `random` all are alike.

    Args:
        directory: the folder.
        columns: `target_pmf.NAME` is a `.npy` file of the array `action_dist` of a policy NAME:
            of shape (impressions, items, positions), or without the first or the last of these
            where a pmf is the same for all. Impressions are in the order of time, as in obp.
        counts: takes the rows that cannot be read; stops at the first if left out.

    Raises:
        ReaderError: the folder lacks a file or a column, or an array is of another shape.
    """
    path = directory / f"{directory.name}.csv"
    items = directory / "item_context.csv"
    for file in (path, items):
        if not file.is_file():
            raise ReaderError(f"{file} does not exist; expected a folder such as obd/random/all")
    names = TableSource(path).columns()
    propensity = next((name for name in PROPENSITIES if name in names), None)
    missing = sorted(set(ROLES.values()) - set(names))
    if missing or propensity is None:
        lacking = ", ".join(missing) or PROPENSITIES[0]
        raise ReaderError(f"{path} has no column {lacking}; expected the Open Bandit Dataset's")
    features = [name for name in names if name.startswith((USER, AFFINITY))]
    kinds: dict[str, TextKind] = {n: "float" for n in features if n.startswith(AFFINITY)}
    actions = {action.id: action for action in _items(items)}
    table = Table(
        path,
        ROLES | {"propensity": propensity} | {f"context.{name}": name for name in features},
        known=Survey(actions, False, kinds, np.zeros(0, dtype=np.int64)),
    )
    targets = _arrays(columns or {}, path, list(actions))
    return _events(table, targets, directory.parent.name == "random", counts or RowCounts())


def _events(
    table: Table, targets: Mapping[str, _ActionDist], whole: bool, counts: RowCounts
) -> Iterator[LoggedEvent]:
    known = table.survey
    actions = tuple(known.actions.values())
    index_of = {action.id: index for index, action in enumerate(actions)}
    for rows in table.rows(counts):
        ids = [] if rows.action is None else rows.action.to_pylist()
        contexts = _contexts(table, rows)
        places = (rows.kept + rows.block.start).tolist()
        for row, (item, (position, context), place) in enumerate(
            zip(ids, contexts, places, strict=True)
        ):
            index = index_of.get(item)
            if index is None or position is None or not position.isdecimal() or position == "0":
                detail = f"item_id is {item!r} and position {position!r}; expected an item of "
                counts.refuse("no_item", rows.where(row), detail + "item_context.csv and 1, 2, …")
                continue
            slot = int(position) - 1
            decision = Decision(
                event_id=str(place),
                placement="obd",
                timestamp_ms=int(rows.timestamp_ms[row]),
                context=context,
                actions=actions,
                pmf=spread(float(rows.propensity[row]), index, len(actions)),
                index=index,
                policy_version="obd",
                slot=slot,
            )
            pmfs = {name: array.pmf(place, slot) for name, array in targets.items()}
            yield LoggedEvent(decision, float(rows.reward[row]), whole=whole, pmfs=pmfs)


def _contexts(table: Table, rows: TableRows) -> Iterator[tuple[str | None, Raw]]:
    """Yields the position of each row, and its context."""
    batch = rows.block.batch.take(pa.array(rows.kept))
    kinds, columns = table.survey.kinds, list(table.roles.context.values())
    values = [feature_values(batch.column(c), kinds.get(c, "text")) for c in columns]
    position = columns.index(ROLES["context.position"])
    users = [(n, name) for n, name in enumerate(columns) if name.startswith(USER)]
    affinities = [
        (n, name.removeprefix(AFFINITY))
        for n, name in enumerate(columns)
        if name.startswith(AFFINITY)
    ]
    for row in zip(*values, strict=True):
        context = {
            "user": {name: row[n] for n, name in users},
            "affinity": {name: row[n] for n, name in affinities if row[n]},
            "position": row[position],
        }
        yield row[position], Raw(msgspec.json.encode(context))


def _items(path: Path) -> Iterator[Action]:
    source = TableSource(path)
    features = [name for name in source.columns() if name.startswith("item_feature_")]
    for block in source.blocks(["item_id", *features], ROWS, RowCounts()):
        items = block.batch.column("item_id").to_pylist()
        columns = [block.batch.column(name) for name in features]
        values = [feature_values(column, text_kind(column)) for column in columns]
        for item, *of_item in zip(items, *values, strict=True):
            known = dict(zip(features, of_item, strict=True))
            yield Action(item, Raw(msgspec.json.encode({"item": known})))


class _ActionDist:
    """An array of obp, by the place of an impression in the file."""

    def __init__(self, file: str, array: Floats, items: list[int], order: list[int]) -> None:
        self._file = file
        self._array = array
        self._items = items
        self._order = order

    def pmf(self, place: int, slot: int) -> tuple[float, ...]:
        """Returns the pmf over the items of `item_context.csv`, in its order."""
        row = self._order[place] if self._order else 0
        n_positions = self._array.shape[2]
        if slot >= n_positions > 1:
            raise ReaderError(f"{self._file} is of {n_positions} positions; the log has {slot + 1}")
        pmf = np.asarray(self._array[row, :, min(slot, n_positions - 1)], dtype=np.float64)
        if not (pmf >= 0.0).all() or abs(float(pmf.sum()) - 1.0) > SUM_SLACK:
            raise ReaderError(
                f"{self._file} has in row {row}, position {slot}, no pmf over items: it sums to "
                f"{pmf.sum()}; expected numbers of at least 0 that sum to 1"
            )
        return tuple(pmf[self._items].tolist())


def _arrays(columns: Mapping[str, str], log: Path, items: list[str]) -> dict[str, _ActionDist]:
    found = {}
    order: list[int] | None = None
    for role, file in columns.items():
        if not role.startswith(TARGET) or role == TARGET:
            raise ReaderError(
                f"column role {role!r} does not exist; expected target_pmf.NAME=FILE.npy"
            )
        array = _load(file, len(items))
        if len(array) > 1 and order is None:
            order = _order(log)
        if len(array) > 1 and order is not None and len(array) != len(order):
            raise ReaderError(f"{file} has {len(array)} rows; {log} has {len(order)} impressions")
        of_file = (order or []) if len(array) > 1 else []
        numbers = [int(item) if item.isdecimal() else -1 for item in items]
        if sorted(numbers) != list(range(len(items))):
            raise ReaderError(f"items of {log.parent} are not numbered from 0, as {file} has them")
        found[role.removeprefix(TARGET)] = _ActionDist(file, array, numbers, of_file)
    return found


def _load(file: str, n_items: int) -> Floats:
    """Returns an array of shape (impressions or 1, items, positions or 1)."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ReaderError(f"{file} cannot be read as an array of numpy: {error}") from error
    shape: tuple[int, ...] = getattr(array, "shape", ())
    if len(shape) == 2:
        array = array[:, :, None] if shape[1] == n_items else array[None]
    if len(shape) not in (2, 3) or array.shape[1] != n_items or array.dtype.kind not in "fiu":
        raise ReaderError(
            f"{file} is of shape {shape}; expected (impressions, {n_items} items, positions), "
            "numbers"
        )
    found: Floats = array
    return found


def _order(log: Path) -> list[int]:
    """Returns the place of each impression of the file in the order of time."""
    blocks = TableSource(log).blocks([ROLES["timestamp_ms"]], ROWS, RowCounts("skip"))
    moments = [times(block.batch.column(0)).values for block in blocks]
    if not moments:
        return []
    by_time = np.argsort(np.concatenate(moments), kind="stable")
    places: list[int] = np.argsort(by_time, kind="stable").tolist()
    return places
