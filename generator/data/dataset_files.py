"""A dataset in a folder: Parquet for whoever trains, and a card that says where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Struct
from pyarrow import parquet

from generator.data.dataset import Dataset, Imitate, Judge, Prefer, Thresholds
from generator.data.fraud import Suspicion
from generator.errors import DatasetError

CARD: Final = "card.json"
ROWS: Final[dict[str, type[Any]]] = {"imitate": Imitate, "prefer": Prefer, "judge": Judge}


class LogRange(NamedTuple):
    """Which interactions were read: a partition's offsets, `first` to `last`, and their hash."""

    partition: int
    first: int
    last: int
    sha256: str


class Card(Struct, frozen=True, kw_only=True):
    """What a dataset was made of.

    Attributes:
        log: the interactions behind it.
        thresholds: what it took for a row.
        rows: how many of each kind and split, as `imitate/train`.
        left_out: how many creatives were not used, by reason.
        briefs: how many are for training and for testing.
        suspicious: creatives that were left out because of their clicks, and why.
        paraphrased: how many of the texts to imitate say another one again.
    """

    log: tuple[LogRange, ...]
    thresholds: Thresholds
    rows: dict[str, int]
    left_out: dict[str, int]
    briefs: dict[str, int]
    suspicious: tuple[Suspicion, ...] = ()
    paraphrased: int = 0
    v: int = 1


def write_dataset(
    dataset: Dataset, folder: Path, *, log: tuple[LogRange, ...], thresholds: Thresholds
) -> Card:
    """Returns the card, which is written last: a folder without one is not finished.

    The same dataset writes the same rows in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    counts: dict[str, int] = {}
    briefs: dict[str, set[str]] = {"train": set(), "test": set()}
    for name, row_type in ROWS.items():
        rows = getattr(dataset, name)
        columns = {field: [getattr(row, field) for row in rows] for field in row_type._fields}
        parquet.write_table(pa.table(columns), rows_file(folder, name), compression="zstd")
        for row in rows:
            counts[f"{name}/{row.split}"] = counts.get(f"{name}/{row.split}", 0) + 1
            briefs[row.split].add(row.brief)
    card = Card(
        log=log,
        thresholds=thresholds,
        rows=counts,
        left_out=dataset.left_out,
        briefs={split: len(found) for split, found in briefs.items()},
        suspicious=dataset.suspicious,
        paraphrased=sum(bool(row.made_from) for row in dataset.imitate),
    )
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1))
    return card


def read_dataset(folder: Path) -> tuple[Dataset, Card]:
    """Returns the dataset in a folder.

    Raises:
        DatasetError: there is none, it is not finished, or a file of it cannot be read.
    """
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
        rows = {
            name: [row_type(**row) for row in _table(rows_file(folder, name)).to_pylist()]
            for name, row_type in ROWS.items()
        }
    except (OSError, msgspec.MsgspecError, pa.ArrowException, TypeError) as error:
        raise DatasetError(f"no dataset in {folder}: {error}") from error
    found = Dataset(rows["imitate"], rows["prefer"], rows["judge"], card.left_out, card.suspicious)
    return found, card


def rows_file(folder: Path, name: str) -> Path:
    """Returns where a dataset keeps its rows of a kind: `imitate`, `prefer` or `judge`."""
    return folder / f"{name}.parquet"


def _table(path: Path) -> pa.Table:
    return parquet.read_table(path)
