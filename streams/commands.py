"""What people ask a log by hand: what its topics are, how far behind who is, and its schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from streams.command_line import (
    DATA,
    Data,
    Form,
    LogUrl,
    MappingFiles,
    SourceUrl,
    is_there,
    log_url,
    looked_into,
    opened,
    print_rows,
)


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

    from streams.asyncapi import asyncapi
    from streams.schema import json_schema

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
    data: Data = DATA,
    log: LogUrl = None,
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

    url = log_url(log, data)
    if acls:
        typer.echo("\n".join(_acl_commands(url, principal, mapped_topics(mapping))))
        return
    # What is not there has no topics, and neither has a log in memory.
    with opened(url if is_there(url) or not dry_run else "memory://") as here:
        states = topic_states(here, partitions=partitions, create=not dry_run)
    columns = ("topic", "state", "partitions", "kept", "key", "holds")
    rows = [
        (topic.name, state, count, topic.retention, topic.key, topic.holds)
        for topic, count, state in states
    ]
    print_rows(form, columns, rows)


def lag(
    data: Data = DATA,
    log: LogUrl = None,
    mapping: MappingFiles = None,
    source: SourceUrl = None,
    form: Form = "table",
) -> None:
    """Show how far behind each group is: joiner, learner and, with --mapping, ingest."""
    from msgspec.structs import astuple

    from streams.lag import Lag, lags
    from streams.topics import GROUPS, INGEST_GROUP

    ingested = {INGEST_GROUP: mapped_topics(mapping)}
    url = log_url(log, data)
    with looked_into(url) as here:
        found = lags(here, GROUPS)
    with looked_into(source or url) as there:
        found += lags(there, ingested)
    print_rows(form, Lag.__struct_fields__, [astuple(row) for row in found])


def mapped_topics(files: Sequence[Path] | None) -> list[str]:
    """Returns the topics that the mappings in these files are of."""
    from streams.mapping import read_mapping

    return [read_mapping(file).topic for file in files or ()]


def _acl_commands(url: str, principal: str, ingested: Sequence[str]) -> list[str]:
    from streams.acls import acl_commands

    if not url.startswith("kafka://"):
        raise typer.BadParameter("only Kafka has ACLs; give --log kafka://HOST:PORT")
    from streams.kafka.options import read_url

    options = read_url(url)
    return acl_commands(
        options.bootstrap, prefix=options.prefix, ingested=ingested, principal=principal
    )
