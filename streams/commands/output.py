"""How commands print: tables for people, JSON for programs, and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import msgspec
import typer

WIDTH: Final = 160
LONGEST: Final = 48
"""A cell that is longer may be broken, whatever its column holds."""
_ABSENT: Final = object()


def print_rows(
    form: Literal["table", "json"],
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    value: object = _ABSENT,
) -> None:
    """Prints rows as a table, or as a JSON array of objects; or `value` as JSON in their place.

    A row has a cell for each column; None is shown as a dash.
    """
    if form == "json":
        as_objects = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json(as_objects if value is _ABSENT else value)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for n, column in enumerate(columns):
        numbers = any(isinstance(row[n], int) for row in rows)
        table.add_column(
            column,
            justify="right" if numbers else "left",
            # Texts come last, and only they may need more lines than one; or a name that is long.
            no_wrap=n < len(columns) - 2 and all(len(str(row[n])) <= LONGEST for row in rows),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*("-" if cell is None else _printable(str(cell)) for cell in row))
    # A file or a pipe has no width to keep to.
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def print_json(value: Any) -> None:
    """Prints a value as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


class Report(Protocol):
    """A finding that is either a table of rich's or JSON."""

    def to_json(self) -> str:
        """Returns the whole of it as JSON."""

    def to_table(self) -> Any:
        """Returns the table."""


def print_report(form: Literal["table", "json"], report: Report) -> None:
    """Prints a report as its own table or JSON."""
    if form == "json":
        typer.echo(report.to_json())
    else:
        from rich.console import Console

        # names and ids are not markup
        Console(markup=False, emoji=False).print(report.to_table())


def moment(at_ms: int | None) -> str | None:
    """Returns a time in UTC to the second; None for None.

    >>> moment(0)
    '1970-01-01 00:00:00'
    """
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Progress(Protocol):
    """Moves the bar of one kind of work."""

    def __call__(self, what: str, done: float, total: float | None, note: str = "", /) -> None:
        """Shows how much is done, of how much if that is known, and a note beside it."""


@contextmanager
def progress() -> Iterator[Progress]:
    """Shows a bar on stderr for each kind of work, as long as the block lasts."""
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def move(what: str, done: float, total: float | None, note: str = "", /) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total, description=what + note)

        yield move


def _printable(text: str) -> str:
    from streams.inspect import printable

    return printable(text.encode("utf-8", "backslashreplace"))
