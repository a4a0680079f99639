"""The commands of `streams`: joiner, archive, ingest, looks at the log, and dead letters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from streams.catalogue.audit_log import act_message
from streams.commands.backup import backup, clock, restore
from streams.commands.options import (
    Form,
    LogOptions,
    MappingFiles,
    MetricsOptions,
    SourceUrl,
    looked_into,
    make_app,
    opened,
    operator,
    running,
)
from streams.commands.output import moment, print_json, print_rows
from streams.dead_letters import DeadLetter, find_dead_letter, latest, read_dead_letters, readable
from streams.dead_letters import replay as send
from streams.events import TOPICS, UNREADABLE
from streams.files.writing import BY_UMASK, write_whole
from streams.inspect import Lag, lags, printable
from streams.inspect import tail as lines
from streams.logs.embedded import wall_clock_ms
from streams.logs.opening import kafka_options, log_exists, sqlite_path
from streams.process import stop_on_signals
from streams.topic_checks import Fault, topic_commands, topic_faults
from streams.topics import GROUPS, INGEST_GROUP, acl_commands, create_topics, topic_states


def join(at: LogOptions, metrics: MetricsOptions) -> None:
    """Join outcomes to decisions and write interactions, until stopped."""
    from streams.join.partition import JoinCounts
    from streams.join.worker import run_joiner
    from streams.metrics import JOIN

    counts = JoinCounts()
    with running("join", at, metrics) as process:
        process.metrics.add_counts("join", counts, JOIN)
        process.metrics.add_latency(counts.latency)
        run_joiner(
            process.log,
            at.data / "checkpoints",
            stop=process.stop,
            counts=counts,
            ready=process.ready,
        )


def archive(at: LogOptions, metrics: MetricsOptions) -> None:
    """Copy the log's topics to Parquet files, until stopped."""
    from streams.archive.parquet import ArchiveCounts, run_archive
    from streams.metrics import ARCHIVE

    counts = ArchiveCounts()
    with running("archive", at, metrics) as process:
        process.metrics.add_counts("archive", counts, ARCHIVE)
        run_archive(
            process.log, at.data / "archive", stop=process.stop, counts=counts, ready=process.ready
        )


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
    with (
        running("ingest", at, metrics) as process,
        opened(source) if source else nullcontext() as there,
    ):
        process.metrics.add_counts("ingest", counts, INGEST)
        run_ingest(
            process.log,
            at.data / "checkpoints",
            mappings,
            stop=process.stop,
            source=there and process.metrics.metered(there, "source"),
            begin=begin,
            counts=counts,
            ready=process.ready,
        )


def tail(
    at: LogOptions,
    topics: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None,
    last: Annotated[int, typer.Option(help="Start with this many records a partition.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on as records come, until stopped.")] = True,
) -> None:
    """Show the log's records, a line each, as they come."""
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
        write_whole(out, text.encode(), mode=BY_UMASK)


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
    """Make the topics that are missing, and show how each is laid out, and what is wrong with it.

    On Kafka, the commands follow that set it right, for whoever runs the cluster; with --dry-run
    also those that make the topics. In a SQLite log, the topics of --mapping are made as well.
    """
    if acls:
        if not at.url.startswith("kafka://"):
            raise typer.BadParameter("only Kafka has ACLs; give --log kafka://HOST:PORT")
        options, ingested = kafka_options(at.url), _mapped_topics(mapping)
        commands = acl_commands(
            options.bootstrap, prefix=options.prefix, ingested=ingested, principal=principal
        )
        typer.echo("\n".join(commands))
        return
    # What is not there has no topics, and neither has a log in memory.
    with opened(at.url if log_exists(at.url) or not dry_run else "memory://") as here:
        states = topic_states(here, partitions=partitions, create=not dry_run)
        if not dry_run and sqlite_path(at.url) is not None:
            # On Kafka a team's topics are its own; a file has nobody but us to make them.
            for topic in _mapped_topics(mapping):
                here.create_topic(topic, partitions=partitions)
        faults = topic_faults(here, states)
    columns = ("topic", "state", "partitions", "kept", "key", "holds")
    rows = [
        (topic.name, state, count, topic.retention, topic.key, topic.holds)
        for topic, count, state in states
    ]
    fixes: list[str] = []
    if at.url.startswith("kafka://"):
        options = kafka_options(at.url)
        fixes = topic_commands(states, faults, bootstrap=options.bootstrap, prefix=options.prefix)
    if form == "json":
        print_json([_with_faults(dict(zip(columns, row, strict=True)), faults) for row in rows])
        return
    print_rows(form, columns, rows)
    if faults:
        print_rows(form, Fault._fields, faults)
    typer.echo("\n".join(fixes), nl=bool(fixes))


def _with_faults(row: dict[str, object], faults: Sequence[Fault]) -> dict[str, object]:
    mine = [fault for fault in faults if fault.topic == row["topic"]]
    return row | {"wrong": [fault._asdict() for fault in mine]}


def lag(
    at: LogOptions, mapping: MappingFiles = None, source: SourceUrl = None, form: Form = "table"
) -> None:
    """Show how far behind each group is: joiner, learner and, with --mapping, ingest."""
    ingested = {INGEST_GROUP: _mapped_topics(mapping)}
    with at.looked_into() as here:
        found = lags(here, GROUPS)
    with looked_into(source or at.url) as there:
        found += lags(there, ingested)
    print_rows(form, Lag.__struct_fields__, [msgspec.structs.astuple(row) for row in found])


def _mapped_topics(files: Sequence[Path] | None) -> list[str]:
    """Returns the topics that the mappings in these files are of."""
    from streams.ingest.mapping import read_mapping

    return [read_mapping(file).topic for file in files or ()]


Reason = Annotated[str | None, typer.Option(help="Only those with this reason.")]


def list_letters(
    at: LogOptions,
    reason: Reason = None,
    last: Annotated[int, typer.Option(min=0, help="At most so many, the newest.")] = 20,
    form: Form = "table",
) -> None:
    """List dead letters, newest first, and count all by reason."""
    with at.looked_into() as here:
        letters, counts = latest(here, last, reason=reason)
    if form == "json":
        print_json({"counts": counts, "letters": [readable(letter) for letter in letters]})
        return
    columns = ("id", "laid aside (UTC)", "reason", "from", "key", "error")
    rows = [
        (x.id, moment(x.timestamp_ms), x.reason, x.place, printable(x.key), x.error)
        for x in letters
    ]
    print_rows(form, columns, rows)
    print_rows(form, ("reason", "letters"), list(counts.items()))


def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID")],
    at: LogOptions,
    raw: Annotated[bool, typer.Option("--raw", help="The record's bytes and only those.")] = False,
    form: Form = "table",
) -> None:
    """Show one dead letter: why, where from, its headers and its value."""
    with at.looked_into() as here:
        letter = find_dead_letter(here, letter_id)
    if raw:
        sys.stdout.buffer.write(letter.value)
    elif form == "json":
        print_json(readable(letter))
    else:
        typer.echo(_described(letter))


def replay(
    at: LogOptions,
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    source: SourceUrl = None,
    reason: Annotated[str | None, typer.Option(help="Instead of IDs: all with this one.")] = None,
    value: Annotated[
        Path | None, typer.Option(help="Mended bytes for the one ID; - for stdin.")
    ] = None,
    form: Form = "table",
) -> None:
    """Send dead letters again to the topics that they came from.

    It is safe to do so twice: an outcome that was counted is a duplicate, and counts no more.
    One that came too late is too late again. The letters stay.
    """
    if bool(letter_ids) == bool(reason):
        raise typer.BadParameter("name either IDs or a --reason")
    if value is not None and len(letter_ids or ()) != 1:
        raise typer.BadParameter("--value mends one letter; name its ID alone")
    mended = None
    if value is not None:
        mended = sys.stdin.buffer.read() if str(value) == "-" else value.read_bytes()
    with at.looked_into() as here:
        letters = [find_dead_letter(here, letter_id) for letter_id in letter_ids or ()]
        letters = letters or list(read_dead_letters(here, reason=reason))
        with looked_into(source) if source else nullcontext(here) as there:
            written = send(there, letters, value=mended)
        who, what = operator(), "dead letter replayed" if mended is None else "dead letter mended"
        here.append([act_message(who, what, letter.id, wall_clock_ms()) for letter in letters])
    rows = [(letter.id, *to[:3]) for letter, to in zip(letters, written, strict=True)]
    print_rows(form, ("id", "topic", "partition", "offset"), rows)


def _described(letter: DeadLetter) -> str:
    """Returns the whole letter for a terminal: its JSON indented, and no byte of it obeyed."""
    try:
        value = msgspec.json.format(letter.value, indent=2)
    except UNREADABLE:
        value = letter.value
    lines = [
        f"id          {letter.id}",
        f"laid aside  {moment(letter.timestamp_ms)} UTC",
        f"reason      {letter.reason}",
        f"error       {printable(letter.error.encode())}",
        f"from        {letter.place}",
        f"key         {printable(letter.key)}",
        *(
            f"header      {printable(n.encode())}: {printable(content)}"
            for n, content in letter.headers
        ),
        f"value       {len(letter.value)} bytes",
        "",
        *(printable(line) for line in value.split(b"\n")),
    ]
    return "\n".join(lines)


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
        "backup": backup,
        "restore": restore,
        "clock": clock,
    },
)
app.add_typer(
    make_app(
        "Records that nobody could use.", {"list": list_letters, "show": show, "replay": replay}
    ),
    name="dead-letter",
)
