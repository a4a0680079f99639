"""The commands of `streams`: the joiner, the archive, outcomes from elsewhere, looks at the log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from streams.commands import dead_letters
from streams.commands.options import (
    Form,
    LogOptions,
    MappingFiles,
    MetricsOptions,
    SourceUrl,
    looked_into,
    make_app,
    opened,
    running,
)
from streams.commands.output import print_rows
from streams.logs.opening import log_exists
from streams.process import stop_on_signals
from streams.topics import create_topics


def join(at: LogOptions, metrics: MetricsOptions) -> None:
    """Join outcomes to decisions and write interactions, until stopped."""
    from streams.join.partition import JoinCounts
    from streams.join.worker import run_joiner
    from streams.metrics import JOIN

    counts = JoinCounts()
    with running("join", at, metrics) as process:
        process.metrics.add_counts("join", counts, JOIN)
        process.metrics.add_latency(counts.latency)
        run_joiner(process.log, at.data / "checkpoints", stop=process.stop, counts=counts)


def archive(at: LogOptions, metrics: MetricsOptions) -> None:
    """Copy the log's topics to Parquet files, until stopped."""
    from streams.archive import ArchiveCounts, run_archive
    from streams.metrics import ARCHIVE

    counts = ArchiveCounts()
    with running("archive", at, metrics) as process:
        process.metrics.add_counts("archive", counts, ARCHIVE)
        run_archive(process.log, at.data / "archive", stop=process.stop, counts=counts)


def ingest(
    mapping: MappingFiles,
    at: LogOptions,
    metrics: MetricsOptions,
    source: SourceUrl = None,
    begin: Annotated[
        Literal["oldest", "newest"], typer.Option(help="Where, in what was never read before.")
    ] = "oldest",
) -> None:
    """Append an outcome for each record of the mapped topics, until stopped."""
    from streams.ingest.mapping import read_mapping
    from streams.ingest.worker import IngestCounts, run_ingest
    from streams.metrics import INGEST

    mappings, counts = [read_mapping(file) for file in mapping or ()], IngestCounts()
    elsewhere = opened(source) if source else nullcontext()
    with running("ingest", at, metrics) as process, elsewhere as there:
        process.metrics.add_counts("ingest", counts, INGEST)
        run_ingest(
            process.log,
            at.data / "checkpoints",
            mappings,
            stop=process.stop,
            source=there and process.metrics.metered(there, "source"),
            begin=begin,
            counts=counts,
        )


def tail(
    at: LogOptions,
    topics: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None,
    last: Annotated[int, typer.Option(help="Start with this many records a partition.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on as records come, until stopped.")] = True,
) -> None:
    """Show the log's records, a line each, as they come."""
    from streams.events import TOPICS
    from streams.inspect import tail as lines

    stop = stop_on_signals()
    with at.opened() as here:
        create_topics(here)
        for line in lines(here, topics or TOPICS, stop=stop, last=last, follow=follow):
            typer.echo(line)


def schema(
    form: Annotated[
        Literal["json-schema", "asyncapi"],
        typer.Option("--format", help="Of the events alone, or with the topics."),
    ] = "json-schema",
    out: Annotated[
        Path | None, typer.Option(help="Where to; YAML if its name ends so, JSON otherwise.")
    ] = None,
) -> None:
    """Print the JSON Schema of the events, or an AsyncAPI document of the topics."""
    import json

    from streams.schema import asyncapi, json_schema

    document = json_schema() if form == "json-schema" else asyncapi()
    if out is not None and out.suffix in (".yaml", ".yml"):
        import yaml

        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)


def topics(
    at: LogOptions,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of each topic that is made and may have several.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make nothing.")] = False,
    acls: Annotated[
        bool, typer.Option("--acls", help="Print kafka-acls commands instead, asking no broker.")
    ] = False,
    principal: Annotated[
        str, typer.Option(help="With --acls: who each process is to Kafka.")
    ] = "User:copyloop-{process}",
    mapping: MappingFiles = None,
    form: Form = "table",
) -> None:
    """Make the topics that are missing, and show how each is laid out."""
    from streams.topics import topic_states

    if acls:
        typer.echo("\n".join(_acl_commands(at.url, principal, _mapped_topics(mapping))))
        return
    # What is not there has no topics, and neither has a log in memory.
    with opened(at.url if log_exists(at.url) or not dry_run else "memory://") as here:
        states = topic_states(here, partitions=partitions, create=not dry_run)
    columns = ("topic", "state", "partitions", "kept", "key", "holds")
    rows = [
        (topic.name, state, count, topic.retention, topic.key, topic.holds)
        for topic, count, state in states
    ]
    print_rows(form, columns, rows)


def lag(
    at: LogOptions, mapping: MappingFiles = None, source: SourceUrl = None, form: Form = "table"
) -> None:
    """Show how far behind each group is: joiner, learner and, with --mapping, ingest."""
    from msgspec.structs import astuple

    from streams.inspect import Lag, lags
    from streams.topics import GROUPS, INGEST_GROUP

    ingested = {INGEST_GROUP: _mapped_topics(mapping)}
    with at.looked_into() as here:
        found = lags(here, GROUPS)
    with looked_into(source or at.url) as there:
        found += lags(there, ingested)
    print_rows(form, Lag.__struct_fields__, [astuple(row) for row in found])


def _mapped_topics(files: Sequence[Path] | None) -> list[str]:
    """Returns the topics that the mappings in these files are of."""
    from streams.ingest.mapping import read_mapping

    return [read_mapping(file).topic for file in files or ()]


def _acl_commands(url: str, principal: str, ingested: Sequence[str]) -> list[str]:
    from streams.topics import acl_commands

    if not url.startswith("kafka://"):
        raise typer.BadParameter("only Kafka has ACLs; give --log kafka://HOST:PORT")
    from streams.logs.kafka.options import read_url

    options = read_url(url)
    return acl_commands(
        options.bootstrap, prefix=options.prefix, ingested=ingested, principal=principal
    )


app = make_app(
    "The log: join outcomes to decisions, archive, look.",
    {
        "join": join,
        "archive": archive,
        "ingest": ingest,
        "tail": tail,
        "schema": schema,
        "topics": topics,
        "lag": lag,
    },
)
app.add_typer(dead_letters.app, name="dead-letter")
