"""The commands of `streams`: the joiner, the archive, and a look into the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.errors import StreamsError
from streams.process import long_running, run_command, stop_on_signals
from streams.topics import create_topics

app = typer.Typer(
    help="The log: join outcomes to decisions, archive, look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path, typer.Option(help="The folder of the log, checkpoints and archive.")]
LogUrl = Annotated[
    str | None,
    typer.Option("--log", help="The log's URL.", show_default="sqlite:///DATA/log.db"),
]


def log_url(log: str | None, data: Path) -> str:
    """Returns the URL of the log that a command works on: the one given, or the data folder's."""
    return log or f"sqlite:///{data / 'log.db'}"


@app.command()
def join(data: Data = Path("copyloop-data"), log: LogUrl = None) -> None:
    """Join outcomes to decisions and write interactions, until stopped."""
    from streams.joiner import run_joiner

    with long_running("join", log_url(log, data)) as (opened, stop):
        run_joiner(opened, data / "checkpoints", stop=stop)


@app.command()
def archive(data: Data = Path("copyloop-data"), log: LogUrl = None) -> None:
    """Copy the log's topics to Parquet files, until stopped."""
    from streams.archive import run_archive

    with long_running("archive", log_url(log, data)) as (opened, stop):
        run_archive(opened, data / "archive", stop=stop)


@app.command()
def tail(
    topics: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None,
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    last: Annotated[int, typer.Option(help="Start with this many records a partition.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on as records come, until stopped.")] = True,
) -> None:
    """Show the log's records, a line each, as they come."""
    from streams.events import TOPICS
    from streams.log import open_log
    from streams.tail import tail as lines

    opened = open_log(log_url(log, data))
    create_topics(opened)
    stop = stop_on_signals()
    for line in lines(opened, topics or TOPICS, stop=stop, last=last, follow=follow):
        typer.echo(line)
    opened.close()


if __name__ == "__main__":
    run_command(app, StreamsError)
