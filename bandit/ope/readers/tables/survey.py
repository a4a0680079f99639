"""What must be known of a table before its rows are read, from one reading of a few columns.

Which actions there are, what they are like, whether all were chosen evenly, which rows repeat an
event, and which columns of text hold numbers: a row by itself does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw
from numpy.typing import NDArray

from bandit.errors import ReaderError
from bandit.ope.checks.rounding import NEGLIGIBLE, Digits
from bandit.ope.readers.rows import RowCounts
from bandit.ope.readers.tables.cells import (
    LEAST_PROPENSITY,
    is_binary,
    is_text,
    names,
    numbers,
    shown,
)
from bandit.ope.readers.tables.choices import Choices, by_action
from bandit.ope.readers.tables.roles import Roles
from bandit.ope.readers.tables.sources import Block, TableSource
from streams.events import Action

TextKind: TypeAlias = Literal["int", "float", "bool", "text"]
KINDS: Final[tuple[tuple[TextKind, str], ...]] = (
    ("int", r"^[+-]?(0|[1-9]\d{0,14})$"),
    ("float", r"^[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"),
    ("bool", r"^([Tt]rue|[Ff]alse|TRUE|FALSE)$"),
)
"""How the cells of a column of text look if they are no text; what begins with 0 is a name."""
OTHERS: Final = "(others)"
"""Stands for what else could be chosen where a table names one action with propensities below 1."""
ROWS: Final = 65_536
WIDE_ROWS: Final = 5000


class Survey(NamedTuple):
    """What is known of a whole table.

    Attributes:
        actions: all that the table names, by their ids, in the order of these.
        uniform: whether each row chose evenly among its actions.
        kinds: of the columns of text of a file without types, what they hold.
        repeats: which rows repeat the event id of one before, counted over the whole table.
    """

    actions: Mapping[str, Action]
    uniform: bool
    kinds: Mapping[str, TextKind]
    repeats: NDArray[np.int64]


def survey(source: TableSource, roles: Roles) -> Survey:
    """Returns what is known of a table from all its rows.

    Raises:
        ReaderError: the table cannot be read, or an action's feature changes from row to row.
    """
    texts = [] if source.has_types else [*roles.context.values(), *roles.features.values()]
    found = SurveySums(roles)
    size = WIDE_ROWS if roles.wide else ROWS
    looked_at = [*surveyed_columns(roles), *texts]
    for block in source.blocks(looked_at, size, RowCounts("skip"), names=roles.names):
        found.add(block, texts)
    return found.get(texts)


def surveyed_columns(roles: Roles) -> list[str]:
    """Returns the columns that a survey reads."""
    plain = roles.plain
    looked_at = [plain[r] for r in ("action", "propensity", "event_id", "actions") if r in plain]
    looked_at += [*roles.features.values(), *roles.available.values()]
    for given in roles.target_pmfs.values():
        looked_at += [given] if isinstance(given, str) else given.values()
    return looked_at


class SurveySums:
    """What was found so far; `merge` takes in what was found in another part of the table."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._ids: set[str] = set()
        self._features: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, set[TextKind]] = {}
        self._hashes: list[NDArray[np.int64]] = []
        self._starts: list[NDArray[np.int64]] = []
        self._digits = Digits()
        # how many actions rows had, and the propensities with each: the least and the largest
        self._sizes: dict[int, tuple[float, float]] = {}

    def add(self, block: Block, texts: list[str]) -> None:
        """Takes in rows."""
        batch, plain = block.batch, self._roles.plain
        for column in texts:
            self._kinds.setdefault(column, {k for k, _ in KINDS}).intersection_update(
                _kinds(batch.column(column))
            )
        if "event_id" in plain:
            ids = names(batch.column(plain["event_id"]), plain["event_id"]).to_pylist()
            rows = np.flatnonzero([one is not None for one in ids])
            self._starts.append(rows + block.start)
            self._hashes.append(np.array([hash(ids[row]) for row in rows], dtype=np.int64))
        if "action" in plain:
            actions = names(batch.column(plain["action"]), plain["action"])
            self._ids.update(filter(None, actions.unique().to_pylist()))
            self._add_features(block, actions)
            self._add_sizes(batch, actions)
        for given in self._roles.target_pmfs.values():
            for row in by_action(batch, given):
                self._ids.update(row if isinstance(row, dict) else ())

    def merge(self, other: SurveySums) -> None:
        """Takes in what was found in other rows, of a table without text to be told apart."""
        self._ids |= other._ids
        for action, features in other._features.items():
            mine = self._features.setdefault(action, {})
            for name, value in features.items():
                if mine.setdefault(name, value) != value:
                    raise ReaderError(
                        f"{name} of action {action!r} is {shown(value)}, but {shown(mine[name])} "
                        "in another row; features that change from row to row go into objects "
                        "with an id, actions=COLUMN"
                    )
        self._digits += other._digits
        for size, (low, high) in other._sizes.items():
            least, most = self._sizes.get(size, (1.0, 0.0))
            self._sizes[size] = min(least, low), max(most, high)

    def get(self, texts: list[str]) -> Survey:
        """Returns what is known of the table."""
        roles = self._roles
        kinds: dict[str, TextKind] = {
            column: next((k for k, _ in KINDS if k in self._kinds.get(column, ())), "text")
            for column in texts
        }
        ids = sorted(self._ids | set(roles.available) | set(roles.pmf))
        if len(ids) == 1 and not roles.told and self._sizes.get(0, (1.0, 1.0))[0] < 1.0:
            ids.append(OTHERS)
        actions = {key: self._action(key, kinds) for key in ids}
        return Survey(actions, self._uniform(len(ids)), kinds, self._repeats())

    def _action(self, action_id: str, kinds: Mapping[str, TextKind]) -> Action:
        if action_id not in self._features:
            return Action(action_id)
        features = self._features[action_id]
        for name, column in self._roles.features.items():
            if name in features and column in kinds:
                (features[name],) = feature_values(pa.array([features[name]]), kinds[column])
        return Action(action_id, Raw(msgspec.json.encode(features, enc_hook=str)))

    def _add_features(self, block: Block, actions: pa.Array) -> None:
        """Keeps what the chosen actions are like; an action is the same in all rows."""
        for name, column in self._roles.features.items():
            cells = block.batch.column(column)
            pairs = zip(actions.to_pylist(), feature_values(cells, "text"), strict=True)
            for row, (action, value) in enumerate(pairs):
                if action is None or value is None:
                    continue
                of_action = self._features.setdefault(action, {})
                if of_action.setdefault(name, value) != value:
                    raise ReaderError(
                        f"{block.file}, row {block.rows[row]}: {column} of action {action!r} is "
                        f"{shown(value)}, but {shown(of_action[name])} in a row before; features "
                        "that change from row to row go into objects with an id, actions=COLUMN"
                    )

    def _add_sizes(self, batch: pa.RecordBatch, actions: pa.Array) -> None:
        roles = self._roles
        if "propensity" not in roles.plain or roles.whole:
            return
        p = numbers(batch.column(roles.plain["propensity"])).values
        fine = (
            (p >= LEAST_PROPENSITY) & (p <= 1.0) & actions.is_valid().to_numpy(zero_copy_only=False)
        )
        self._digits.add(p[fine])
        if not roles.told:
            sizes = np.zeros(len(p), dtype=np.int64)
        else:
            choices = Choices(batch, roles, {})
            sizes = np.array([choices.size(row) for row in range(len(p))], dtype=np.int64)
            fine &= sizes > 0
        for size in np.unique(sizes[fine]).tolist():
            mine = p[fine & (sizes == size)]
            low, high = self._sizes.get(size, (1.0, 0.0))
            self._sizes[size] = min(low, float(mine.min())), max(high, float(mine.max()))

    def _uniform(self, n_actions: int) -> bool:
        """True if each row's propensity is 1 over its number of actions, as far as digits go."""
        for size, seen in self._sizes.items():
            even = 1.0 / (size or n_actions)
            for p in seen:
                half = float(self._digits.half_units(np.array([p]))[0])
                if abs(p - even) > 2.0 * half + NEGLIGIBLE * even:
                    return False
        return bool(self._sizes)

    def _repeats(self) -> NDArray[np.int64]:
        if not self._hashes:
            return np.zeros(0, dtype=np.int64)
        hashes, starts = np.concatenate(self._hashes), np.concatenate(self._starts)
        _, first = np.unique(hashes, return_index=True)
        again = np.ones(len(hashes), dtype=np.bool_)
        again[first] = False
        found: NDArray[np.int64] = starts[again]
        return found


def _kinds(column: pa.Array) -> set[TextKind]:
    """Returns what all of a column's cells could be, but for text."""
    if not is_text(column.type):
        return set()
    cells = pc.utf8_trim_whitespace(column.unique().cast(pa.string()))
    cells = cells.filter(pc.fill_null(pc.not_equal(cells, ""), False))
    if not len(cells):
        return {kind for kind, _ in KINDS}
    fits: set[TextKind] = {
        kind for kind, pattern in KINDS if pc.all(pc.match_substring_regex(cells, pattern)).as_py()
    }
    return fits | {"float"} if "int" in fits else fits


def text_kind(column: pa.Array) -> TextKind:
    """Returns what the cells of a column of text are."""
    fits = _kinds(column)
    return next((kind for kind, _ in KINDS if kind in fits), "text")


def feature_values(column: pa.Array, kind: TextKind | None = None) -> list[Any]:
    """Returns a column's cells as features: numbers, texts, or what a list or an object holds.

    Args:
        column: the cells.
        kind: of text from a file without types; None where types are the column's own.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type):
        return _values_of_text(column, kind or "text")
    found = column.type
    if pa.types.is_decimal(found) or pa.types.is_floating(found):
        return [v if isfinite(v) else None for v in numbers(column).values.tolist()]
    if pa.types.is_temporal(found) or is_binary(found):
        texts: list[Any] = names(column).to_pylist()
        return texts
    values: list[Any] = column.to_pylist()
    return values


def _values_of_text(column: pa.Array, kind: TextKind) -> list[Any]:
    if kind == "text":
        texts: list[Any] = names(column).to_pylist()
        return texts
    found = numbers(column).values.tolist()
    if kind == "float":
        return [value if isfinite(value) else None for value in found]
    make = bool if kind == "bool" else int
    return [None if value != value else make(value) for value in found]
