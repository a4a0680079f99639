"""The commands of `streams`: the joiner, the archive, outcomes from elsewhere, looks at the log."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from streams import commands, letter_commands
from streams.command_line import (
    DATA,
    LOCALHOST,
    Data,
    LogFormat,
    LogUrl,
    MetricsHost,
    MetricsPort,
    SourceUrl,
    log_url,
    opened,
)
from streams.errors import StreamsError
from streams.process import long_running, run_command, stop_on_signals
from streams.topics import create_topics

app = typer.Typer(
    help="The log: join outcomes to decisions, archive, look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def join(
    data: Data = DATA,
    log: LogUrl = None,
    metrics_host: MetricsHost = LOCALHOST,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = "text",
) -> None:
    """Join outcomes to decisions and write interactions, until stopped."""
    from streams.joined_partition import JoinCounts
    from streams.joiner import run_joiner
    from streams.metrics import JOIN

    url, counts = log_url(log, data), JoinCounts()
    with long_running(
        "join",
        url,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format,
    ) as running:
        running.metrics.add_counts("join", counts, JOIN)
        running.metrics.add_latency(counts.latency)
        run_joiner(running.log, data / "checkpoints", stop=running.stop, counts=counts)


@app.command()
def archive(
    data: Data = DATA,
    log: LogUrl = None,
    metrics_host: MetricsHost = LOCALHOST,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = "text",
) -> None:
    """Copy the log's topics to Parquet files, until stopped."""
    from streams.archive import ArchiveCounts, run_archive
    from streams.metrics import ARCHIVE

    url, counts = log_url(log, data), ArchiveCounts()
    with long_running(
        "archive",
        url,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format,
    ) as running:
        running.metrics.add_counts("archive", counts, ARCHIVE)
        run_archive(running.log, data / "archive", stop=running.stop, counts=counts)


@app.command()
def ingest(
    mapping: Annotated[
        list[Path], typer.Option(help="How a topic's records become outcomes; repeat for more.")
    ],
    data: Data = DATA,
    log: LogUrl = None,
    source: SourceUrl = None,
    begin: Annotated[
        Literal["oldest", "newest"], typer.Option(help="Where, in what was never read before.")
    ] = "oldest",
    metrics_host: MetricsHost = LOCALHOST,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = "text",
) -> None:
    """Append an outcome for each record of the mapped topics, until stopped."""
    from streams.ingest import IngestCounts, run_ingest
    from streams.mapping import read_mapping
    from streams.metrics import INGEST

    mappings = [read_mapping(file) for file in mapping]
    url, counts = log_url(log, data), IngestCounts()
    elsewhere = opened(source) if source else nullcontext()
    with (
        long_running(
            "ingest",
            url,
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            log_format=log_format,
        ) as running,
        elsewhere as there,
    ):
        running.metrics.add_counts("ingest", counts, INGEST)
        run_ingest(
            running.log,
            data / "checkpoints",
            mappings,
            stop=running.stop,
            source=there and running.metrics.metered(there, "source"),
            begin=begin,
            counts=counts,
        )


@app.command()
def tail(
    topics: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None,
    data: Data = DATA,
    log: LogUrl = None,
    last: Annotated[int, typer.Option(help="Start with this many records a partition.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on as records come, until stopped.")] = True,
) -> None:
    """Show the log's records, a line each, as they come."""
    from streams.events import TOPICS
    from streams.tail import tail as lines

    stop = stop_on_signals()
    with opened(log_url(log, data)) as here:
        create_topics(here)
        for line in lines(here, topics or TOPICS, stop=stop, last=last, follow=follow):
            typer.echo(line)


app.command()(commands.schema)
app.command()(commands.topics)
app.command()(commands.lag)
app.add_typer(letter_commands.app, name="dead-letter")

if __name__ == "__main__":
    run_command(app, StreamsError)
