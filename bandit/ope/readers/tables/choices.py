"""What a row of a table could choose from: its actions, and the pmfs over them.

Columns say so in several ways: one column an action, or one column of lists, objects or JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.ope.checks.rounding import Digits
from bandit.ope.readers.events import NO_PMFS
from bandit.ope.readers.tables.cells import is_text, numbers
from bandit.ope.readers.tables.roles import Roles
from bandit.ope.readers.tables.text_files import text_of
from streams.events import Action

SUM_SLACK: Final = 1e-3
"""By how much a pmf may miss 1, beyond what its digits allow."""


class Choice(NamedTuple):
    """What a row chose, of which actions, and the pmfs over them: the log's and other policies'.

    Attributes:
        actions: those that could be chosen.
        place: of the chosen one among them.
        pmf: the log's, if it is known.
        targets: by the policy.
    """

    actions: tuple[Action, ...]
    place: int
    pmf: tuple[float, ...] | None = None
    targets: Mapping[str, tuple[float, ...]] = NO_PMFS


class NoChoice(NamedTuple):
    """Why a row's choice cannot be read: a stable code, and words."""

    reason: str
    detail: str


class Choices:
    """The choices of a block's rows.

    Args:
        batch: the rows.
        roles: which column plays which part.
        actions: of the whole table, by their ids; those that a row has if its columns do not say.
    """

    def __init__(self, batch: pa.RecordBatch, roles: Roles, actions: Mapping[str, Action]) -> None:
        self._known = actions
        self._all = tuple(actions.values())
        self._available = by_action(batch, roles.available) if roles.available else None
        self._listed = (
            by_action(batch, roles.plain["actions"]) if "actions" in roles.plain else None
        )
        pmf = roles.plain.get("pmf") or roles.pmf
        self._pmf = by_action(batch, pmf) if pmf else None
        self._targets = {name: by_action(batch, of) for name, of in roles.target_pmfs.items()}

    def of(self, row: int, chosen: str) -> Choice | NoChoice:
        """Returns the choice of one row, by its place in the block."""
        actions = self._actions(row)
        if isinstance(actions, NoChoice):
            return actions
        ids = [action.id for action in actions]
        if len(set(ids)) < len(ids):
            return NoChoice("actions_invalid", "an action is there twice among those of the row")
        if chosen not in ids:
            some = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
            return NoChoice(
                "action_not_available",
                f"action is {chosen!r}, which is not among those that could be chosen: "
                f"{some or 'none'}",
            )
        pmf = None if self._pmf is None else pmf_over(ids, self._pmf[row], "pmf")
        if isinstance(pmf, NoChoice):
            return pmf
        targets = {}
        for name, given in self._targets.items():
            target = pmf_over(ids, given[row], f"target_pmf.{name}")
            if isinstance(target, NoChoice):
                return target
            targets[name] = target
        return Choice(actions, ids.index(chosen), pmf, targets)

    def size(self, row: int) -> int:
        """Returns among how many actions a row chose; 0 if that cannot be read."""
        actions = self._actions(row)
        return 0 if isinstance(actions, NoChoice) else len(actions)

    def _actions(self, row: int) -> tuple[Action, ...] | NoChoice:
        if self._listed is not None:
            listed = self._listed[row]
            if isinstance(listed, dict):
                listed = [one | {"id": key} if isinstance(one, dict) else key
                          for key, one in listed.items()]  # fmt: skip
            if not isinstance(listed, list):
                return NoChoice("actions_invalid", f"actions is {listed!r}; expected a list")
            return self._listed_actions(listed)
        if self._available is not None:
            flags = self._available[row]
            if unread := [key for key, flag in flags.items() if flag is not None and flag != flag]:
                detail = f"available.{unread[0]} is neither true nor false, nor a number"
                return NoChoice("available_invalid", detail)
            return tuple(self._action(key) for key, flag in flags.items() if flag)
        given = None if self._pmf is None else self._pmf[row]
        if isinstance(given, dict):
            return tuple(self._action(key) for key, share in given.items() if share is not None)
        if isinstance(given, list):
            return tuple(self._action(str(place)) for place in range(len(given)))
        return self._all

    def _listed_actions(self, listed: list[Any]) -> tuple[Action, ...] | NoChoice:
        found = []
        for one in listed:
            features = None
            if isinstance(one, dict):
                features = {key: value for key, value in one.items() if key != "id"}
                one = one.get("id")
            name = text_of(one)
            if name is None or not name.strip():
                return NoChoice("actions_invalid", "an action among those of the row has no id")
            found.append(
                Action(name, Raw(msgspec.json.encode(features, enc_hook=str)))
                if features
                else self._action(name)
            )
        return tuple(found)

    def _action(self, action_id: str) -> Action:
        return self._known.get(action_id) or Action(action_id)


def by_action(batch: pa.RecordBatch, given: str | Mapping[str, str]) -> list[Any]:
    """Returns for each row what it says of each action: by the action's id, or in order.

    Args:
        batch: the rows.
        given: one column, of lists, objects, maps or JSON; or a column an action, of numbers.

    Raises:
        ReaderError: the column holds none of these.
    """
    if isinstance(given, str):
        return _of_column(batch.column(given), given)
    columns = []
    for column in given.values():
        found = numbers(batch.column(column))
        columns.append(
            [None if e else v for v, e in zip(found.values.tolist(), found.empty, strict=True)]
        )
    return [dict(zip(given, row, strict=True)) for row in zip(*columns, strict=True)]


def _of_column(column: pa.Array, name: str) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _of_column(column.dictionary_decode(), name)
    if is_text(kind):
        return [_decoded(text) for text in column.to_pylist()]
    if pa.types.is_map(kind):
        rows = column.to_pylist()
        return [None if row is None else {str(text_of(k)): v for k, v in row} for row in rows]
    if not (pa.types.is_nested(kind) or pa.types.is_null(kind)):
        raise ReaderError(f"{name} is of type {kind}; expected lists, objects or JSON")
    found: list[Any] = column.to_pylist()
    return found


def _decoded(text: str | None) -> Any:
    """Returns what JSON says; the text itself if it is none."""
    try:
        return None if text is None else msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, RecursionError):
        return text


def pmf_over(ids: Sequence[str], given: Any, role: str) -> tuple[float, ...] | NoChoice:
    """Returns a pmf in the order of these ids, made of one by the id, or in their order."""
    if isinstance(given, list):
        by_id = dict(zip(ids, given, strict=False)) if len(given) == len(ids) else None
    else:
        by_id = given if isinstance(given, dict) else None
    if by_id is None:
        said = f"{len(given)} numbers" if isinstance(given, list) else repr(given)
        return NoChoice(
            "pmf_invalid", f"{role} is {said}; expected one for each of {len(ids)} actions"
        )
    shares = [by_id.get(key) for key in ids]
    other = [share for key, share in by_id.items() if key not in ids and share]
    try:
        pmf = tuple(0.0 if share is None else float(share) for share in shares)
        outside = sum(float(share) for share in other)
    except (TypeError, ValueError):
        return NoChoice("pmf_invalid", f"{role} holds what is no number")
    if not all(0.0 <= share <= 1.0 + SUM_SLACK for share in pmf):
        return NoChoice("pmf_invalid", f"{role} holds {max(pmf, key=abs)}; expected 0 to 1")
    if outside:
        return NoChoice("pmf_invalid", f"{role} gives {outside} to actions that the row has not")
    digits = Digits()
    digits.add(np.array([share for share in pmf if share > 0.0]))
    slack = SUM_SLACK + (0.0 if digits.all_there else len(ids) * digits.half_decimal)
    if abs(sum(pmf) - 1.0) > slack:
        return NoChoice("pmf_invalid", f"{role} sums to {sum(pmf):.6g}; expected 1")
    return pmf
