"""Does a log show that the same users come again, where nobody said who is who?

Decisions of one user are not independent, and intervals that take them as such are too narrow. The
names of a context's fields say which of them tells users apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from bandit.errors import EstimateError
from bandit.ope.batches import EVENT_ID, NOTHING, has_unit, segment_of
from bandit.ope.checks.diagnostics import Diagnostics
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.units import hash_units

WHO: Final = (
    "user", "visitor", "customer", "member", "account", "session", "device", "client", "cookie",
    "person", "subscriber", "household", "anonymous",
)  # fmt: skip
IDS: Final = frozenset(who + suffix for who in WHO for suffix in ("", "id", "key", "hash", "uuid"))
ID: Final = frozenset(("id", "key", "hash", "uuid"))
SEGMENTS: Final = frozenset(("device", "client"))
"""These alone name a sort of user, not one; with `id` after it they name one."""
FEWEST: Final = 10
"""Values below which a field tells sorts of users apart, not users."""
REPEATED: Final = 1.2
"""Decisions a user, on average, from which on users repeat."""
LOOKED_AT: Final = 500
"""Decisions whose contexts are searched for such fields."""
CODE: Final = "repeated_units"


def names_unit(path: str) -> bool:
    """Returns whether a field of this path names a user, going by its name.

    >>> [names_unit(path) for path in ("user_id", "user.id", "user.device", "city")]
    [True, True, False, False]
    """
    *above, last = (re.sub(r"[^a-z0-9]", "", step.lower()) for step in path.split("."))
    if last in ID and above:
        return above[-1] in WHO
    return last == "uid" or (last in IDS and last not in SEGMENTS)


class Repeats:
    """How many values the fields have that name users; of a log without a unit.

    Args:
        unit: the unit that was named, which is then looked for instead; see `units_of`.
    """

    def __init__(self, unit: str | None = None) -> None:
        self._unit = unit
        self._found = unit in (None, EVENT_ID)
        self._looked_at = 0
        self._values: dict[str, set[int]] = {}
        self._n: dict[str, int] = {}

    def add(self, events: Sequence[LoggedEvent]) -> None:
        """Takes in decisions, whose contexts may name users."""
        if self._unit is not None:
            self._found = self._found or has_unit(events, self._unit)
            return
        for event in events[: max(LOOKED_AT - self._looked_at, 0)]:
            self._look(event)
        for path in self._values:
            self.add_values(path, [segment_of(event, path) for event in events])

    def add_values(self, path: str, values: Sequence[str]) -> None:
        """Takes in the values of one field, as `segment_of` has them."""
        known = [value for value in values if value != NOTHING]
        self._values.setdefault(path, set()).update(hash_units(known).tolist())
        self._n[path] = self._n.get(path, 0) + len(known)

    def __add__(self, other: Repeats) -> Repeats:
        total = Repeats(self._unit)
        total._found = self._found or other._found
        for each in (self, other):
            for path, values in each._values.items():
                total._values.setdefault(path, set()).update(values)
                total._n[path] = total._n.get(path, 0) + each._n.get(path, 0)
        return total

    def check(self) -> None:
        """Raises EstimateError if no decision has a value at the unit that was named."""
        if not self._found:
            raise EstimateError(f"no decision has a value at {self._unit!r}, the unit")

    def words(self) -> str | None:
        """Returns that users repeat, and what to name; None where the log does not show it."""
        repeated = [
            (len(values), path)
            for path, values in self._values.items()
            if FEWEST <= len(values) <= self._n[path] / REPEATED
        ]
        if not repeated:
            return None
        distinct, path = max(repeated)
        return (
            f"Users repeat: {self._n[path]:,} decisions have {distinct:,} values of {path!r}, and "
            f"no unit is named, so the intervals are too narrow; give --unit context.{path}."
        )

    def _look(self, event: LoggedEvent) -> None:
        self._looked_at += 1
        try:
            context = msgspec.json.decode(event.decision.context)
        except msgspec.DecodeError:
            return  # who reads the context says so
        for path in _scalars(context, ""):
            if path not in self._values and names_unit(path):
                self._values[path] = set()


def with_repeats(found: Diagnostics, words: str | None) -> Diagnostics:
    """Returns the diagnostics with a verdict that says so; its code if nothing is graver."""
    if words is None:
        return found
    verdict = found.verdict
    code = CODE if verdict.code == "ok" else verdict.code
    verdict = msgspec.structs.replace(verdict, code=code, words=f"{verdict.words} {words}")
    return msgspec.structs.replace(found, verdict=verdict)


def _scalars(value: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [] if value is None or isinstance(value, list | bool) else [path]
    return [
        inner
        for key, below in value.items()
        for inner in _scalars(below, f"{path}.{key}" if path else str(key))
    ]
