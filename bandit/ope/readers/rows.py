"""Rows of a log that are no decision: a reader leaves them out and counts them, or stops.

Two kinds are kept apart. A format has rows that are no decisions by its own rules, such as an
event that is only to be predicted: every reader leaves these out. A row that should be a decision
and cannot be read stops the reader, unless the caller asks to skip it. Both kinds are counted, so
a row is never lost without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from bandit.errors import ReaderError
from bandit.ope.readers.events import LoggedEvent

OnBadRow: TypeAlias = Literal["stop", "skip"]


class KindRefused(ValueError):
    """A row of a kind that a reader does not read.

    Attributes:
        reason: a stable code, such as `slates`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class SkippedRows(msgspec.Struct, frozen=True):
    """How many rows were left out for one reason.

    Attributes:
        reason: a stable code, such as `not_activated`.
        count: of the rows.
        first: where the first of them stands, as `FILE:LINE` or `FILE, row NUMBER`.
        detail: what was wrong with the first of them.
    """

    reason: str
    count: int
    first: str
    detail: str

    def __str__(self) -> str:
        rows = "row was" if self.count == 1 else "rows were"
        return f"{self.count:,} {rows} skipped: {self.reason} ({self.first}: {self.detail})"


class RowCounts:
    """Counts the rows of a log that are left out, by reason.

    Args:
        on_bad_row: `stop` raises at the first row that cannot be read; `skip` counts it.

    >>> counts = RowCounts("skip")
    >>> counts.refuse("no_reward", "log.csv, row 3", "reward is empty; expected a number")
    >>> str(counts.get()[0])
    '1 row was skipped: no_reward (log.csv, row 3: reward is empty; expected a number)'
    """

    def __init__(self, on_bad_row: OnBadRow = "stop") -> None:
        self._on_bad_row = on_bad_row
        self._found: dict[str, SkippedRows] = {}
        self._notes: dict[str, None] = {}

    def leave_out(self, reason: str, where: str, detail: str, count: int = 1) -> None:
        """Counts rows that are no decisions by the rules of their format."""
        known = self._found.get(reason)
        if known is None:
            self._found[reason] = SkippedRows(reason, count, where, detail)
        else:
            self._found[reason] = msgspec.structs.replace(known, count=known.count + count)

    def note(self, text: str) -> None:
        """Keeps a sentence on how the log was read, once."""
        self._notes[text] = None

    def refuse(
        self, reason: str, where: str, detail: str, count: int = 1, *, verdict: str = ""
    ) -> None:
        """Counts rows that should be decisions and cannot be read.

        Args:
            reason: a stable code.
            where: the first of the rows stands.
            detail: what is wrong with that row.
            count: of the rows.
            verdict: what the error says between `where` and `detail`, such as `is no event`.

        Raises:
            ReaderError: the reader is to stop at such a row.
        """
        if self._on_bad_row == "stop":
            raise ReaderError(
                f"{where}{verdict and ' '}{verdict}: {detail} "
                "(--on-bad-row skip leaves out such rows and counts them)"
            )
        self.leave_out(reason, where, detail, count)

    def add(self, others: Iterable[SkippedRows]) -> None:
        """Adds what was counted in another part of the same log."""
        for one in others:
            self.leave_out(one.reason, one.first, one.detail, one.count)

    def get(self) -> tuple[SkippedRows, ...]:
        """Returns what was left out so far, by reason, in the order of the first row of each."""
        return tuple(self._found.values())

    def get_notes(self) -> tuple[str, ...]:
        """Returns the sentences on how the log was read, each once."""
        return tuple(self._notes)


class Reading(Iterator[LoggedEvent]):
    """One pass over a log: an iterator of its decisions that knows which rows it left out.

    Args:
        events: the decisions.
        counts: filled while `events` is read.
    """

    def __init__(self, events: Iterable[LoggedEvent], counts: RowCounts | None = None) -> None:
        self._events = iter(events)
        self._counts = counts or RowCounts()

    def __next__(self) -> LoggedEvent:
        return next(self._events)

    @property
    def skipped(self) -> tuple[SkippedRows, ...]:
        """The rows that were left out so far; all of them once the pass has ended."""
        return self._counts.get()

    @property
    def notes(self) -> tuple[str, ...]:
        """How the log was read, in sentences that hold for every figure."""
        return self._counts.get_notes()

    def through(self, change: Callable[[Iterator[LoggedEvent]], Iterator[LoggedEvent]]) -> Reading:
        """Returns this pass with its decisions changed or filtered."""
        return Reading(change(self._events), self._counts)


def reading(events: Iterable[LoggedEvent]) -> Reading:
    """Returns a pass over these decisions, with the count of left out rows where there is one."""
    return events if isinstance(events, Reading) else Reading(events)
