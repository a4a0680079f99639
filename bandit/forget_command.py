"""The command that answers a data-protection request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.command_line import DATA, Data, Form, LogUrl, log_url, looked_into, print_rows

if TYPE_CHECKING:
    from streams.forgetting.forget import ForgetReport

STDIN = "-"


def forget(
    field: Annotated[
        str, typer.Option(help="A field of contexts; keys joined by dots: user_id, geo.zip.")
    ],
    value: Annotated[
        str, typer.Option(help="What it holds; - reads it from stdin, past the shell's history.")
    ],
    placement: Annotated[str | None, typer.Option(help="Only this placement's.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be done.")] = False,
    data: Data = DATA,
    log: LogUrl = None,
    form: Form = "table",
) -> None:
    """Take a value out of every decision in the log, the archive and the checkpoints.

    Where the field is private, set COPYLOOP_PRIVATE_SALT (or _FILE) as the API has it, and the
    value's hash is found too. A SQLite log is rewritten in place: stop join, learn and archive
    for it, or all of `copyloop up`. A Kafka log cannot be; it is said where the value is, and
    what becomes of it. There is no way back.
    """
    from bandit.key_commands import operator
    from bandit.service.security.acts import act_message
    from bandit.service.security.protection import PrivacyFilter
    from bandit.service.settings import load_settings
    from streams.embedded import wall_clock_ms
    from streams.forgetting.forget import forget as run
    from streams.forgetting.wanted import Wanted, values_of
    from streams.topics import create_topics

    text = sys.stdin.read().rstrip("\n") if value == STDIN else value
    settings = load_settings({})
    values = values_of(text)
    if settings.private_salt.is_set:
        shield = PrivacyFilter(settings.private_salt, settings.reward_secret)
        values += [shield.hash_of(each) for each in values_of(text)]
    url, now_ms = log_url(log, data), wall_clock_ms()
    with looked_into(url) as here, _progress() as progress:
        create_topics(here)
        wanted = Wanted(field, values, placement)
        found = run(
            here, url, Path(data), wanted, now_ms=now_ms, dry_run=dry_run, progress=progress
        )
        if not dry_run:
            # What was forgotten is not said again, only that it was, and how much of it.
            told = {"records": found.records, "archived": sum(found.archive.values())}
            here.append([act_message(operator(), "forgot", field, now_ms, after=told)])
    _tell(found, form)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows a bar a topic on stderr; yields what moves them."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        by_topic: dict[str, TaskID] = {}

        def move(topic: str, done: int, total: int) -> None:
            if topic not in by_topic:
                by_topic[topic] = bars.add_task(topic)
            bars.update(by_topic[topic], completed=done, total=total)

        yield move


def _tell(found: ForgetReport, form: str) -> None:
    import msgspec

    if form == "json":
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    columns = ("where", "records", "from", "to")
    rows: list[tuple[object, ...]] = [
        (f"{held.topic}/{held.partition}", held.records, held.first_offset, held.last_offset)
        for held in found.log
    ]
    rows += [(f"archive/{name}", count, None, None) for name, count in found.archive.items()]
    if rows:
        print_rows("table", columns, rows)
    did = "would be" if found.dry_run else "is" if found.rewritten else "is not"
    typer.echo(f"{found.records} records of the log had it, and it {did} taken out of them")
    for name in found.checkpoints_removed:
        typer.echo(f"{name}: had it; {'would be' if found.dry_run else 'was'} removed")
    for name in (*found.checkpoints_noted, *found.spool):
        typer.echo(f"{name}: seems to have it, and is left alone")
    for remaining in found.left:
        typer.echo(f"left: {remaining}")
