"""The Open Bandit Dataset of Saito et al. (2020): fashion adverts in three positions of a page.

A folder holds one campaign under one policy: its impressions, and the items. Each impression is a
decision for one position, whose number is the slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.csv as pacsv
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.ope.readers.events import LoggedEvent, spread
from streams.events import Action, Decision

PLACEMENT: Final = "obd"
AFFINITY: Final = "user-item_affinity_"
PROPENSITIES: Final = ("propensity_score", "action_prob")
"""What the column is called in the files, and in their documentation."""


def read_obd(directory: Path) -> Iterator[LoggedEvent]:
    """Yields the impressions in a folder such as `random/all`, in its file's order.

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
        placement=PLACEMENT,
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
