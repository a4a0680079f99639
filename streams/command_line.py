"""What the commands of all packages share: their options, the log they name, how they print."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from streams.errors import LogUrlError
from streams.log import Log, open_log

DATA: Final = Path("copyloop-data")
LOCALHOST: Final = "127.0.0.1"
WIDTH: Final = 160

Data = Annotated[Path, typer.Option(help="The folder of the log, checkpoints and archive.")]
LogUrl = Annotated[
    str | None,
    typer.Option("--log", help="The log's URL.", show_default="sqlite:///DATA/log.db"),
]
MappingFiles = Annotated[
    list[Path] | None,
    typer.Option("--mapping", help="How a topic's records become outcomes; repeat for more."),
]
SourceUrl = Annotated[
    str | None,
    typer.Option("--source", help="The URL of the log that has the mapped topics, if another."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=0, max=65535, help="Serve Prometheus metrics here; 0: any port."
    ),
]
MetricsHost = Annotated[
    str, typer.Option("--metrics-host", help="The address that metrics are served on.")
]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format", envvar="COPYLOOP_LOG_FORMAT", help="Of the process's own lines on stderr."
    ),
]
Form = Annotated[Literal["table", "json"], typer.Option("--format", help="For eyes or programs.")]

_SQLITE: Final = "sqlite:///"


def log_url(log: str | None, data: Path) -> str:
    """Returns the URL of the log that a command works on: the one given, or the data folder's."""
    return log or f"{_SQLITE}{data / 'log.db'}"


def is_there(url: str) -> bool:
    """Returns whether opening the log would make no new one."""
    return not url.startswith(_SQLITE) or Path(url.removeprefix(_SQLITE)).exists()


@contextmanager
def opened(url: str) -> Iterator[Log]:
    """Opens the log for the block.

    Raises:
        LogUrlError: no log goes by that URL.
        LogError: the log cannot be opened.
    """
    log = open_log(url)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def looked_into(url: str) -> Iterator[Log]:
    """Opens a log that is there already for the block: to look makes no new one.

    Raises:
        LogUrlError: no log goes by that URL, or its file is not there.
        LogError: the log cannot be opened.
    """
    if not is_there(url):
        raise LogUrlError(f"there is no log at {url}; name another with --log or --data")
    with opened(url) as log:
        yield log


def operator() -> str:
    """Returns who types the command, as acts are recorded by: `cli:NAME`."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # in a container a user may have no name
        return f"cli:{os.getuid()}"


def print_rows(
    form: Literal["table", "json"], columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Prints rows as a table, or as a JSON array of objects."""
    if form == "json":
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
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
            # Texts come last, and only they may need more lines than one.
            no_wrap=n < len(columns) - 2,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*("-" if cell is None else _printable(str(cell)) for cell in row))
    # A file or a pipe has no width to keep to.
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def print_json(value: Any) -> None:
    """Prints a value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _printable(text: str) -> str:
    from streams.tail import printable

    return printable(text.encode("utf-8", "backslashreplace"))
