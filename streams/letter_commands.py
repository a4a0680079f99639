"""The commands for dead letters: list, show, and send again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.audit_log import act_message
from streams.command_line import (
    DATA,
    Data,
    Form,
    LogUrl,
    SourceUrl,
    log_url,
    looked_into,
    operator,
    print_json,
    print_rows,
)
from streams.dead_letters import Letter, find_letter, latest, read_letters, readable
from streams.dead_letters import replay as send
from streams.embedded import wall_clock_ms
from streams.events import UNREADABLE
from streams.log import TopicOffset
from streams.tail import printable

app = typer.Typer(help="Records that nobody could use.", no_args_is_help=True)

Reason = Annotated[str | None, typer.Option(help="Only those with this reason.")]


@app.command("list")
def list_letters(
    data: Data = DATA,
    log: LogUrl = None,
    reason: Reason = None,
    last: Annotated[int, typer.Option(min=0, help="At most so many, the newest.")] = 20,
    form: Form = "table",
) -> None:
    """List dead letters, newest first, and count all by reason."""
    with looked_into(log_url(log, data)) as here:
        letters, counts = latest(here, last, reason=reason)
    if form == "json":
        print_json({"counts": counts, "letters": [readable(letter) for letter in letters]})
        return
    columns = ("id", "laid aside (UTC)", "reason", "from", "key", "error")
    rows = [(x.id, _time(x), x.reason, x.place, printable(x.key), x.error) for x in letters]
    print_rows(form, columns, rows)
    print_rows(form, ("reason", "letters"), list(counts.items()))


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID")],
    data: Data = DATA,
    log: LogUrl = None,
    raw: Annotated[bool, typer.Option("--raw", help="The record's bytes and only those.")] = False,
    form: Form = "table",
) -> None:
    """Show one dead letter: why, where from, its headers and its value."""
    with looked_into(log_url(log, data)) as here:
        letter = find_letter(here, letter_id)
    if raw:
        sys.stdout.buffer.write(letter.value)
    elif form == "json":
        print_json(readable(letter))
    else:
        typer.echo(_described(letter))


@app.command()
def replay(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    data: Data = DATA,
    log: LogUrl = None,
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
    mended = None if value is None else _bytes_of(value)
    with looked_into(log_url(log, data)) as here:
        letters = [find_letter(here, letter_id) for letter_id in letter_ids or ()]
        letters = letters or list(read_letters(here, reason=reason))
        if source is None:
            written = send(here, letters, value=mended)
        else:
            with looked_into(source) as there:
                written = send(there, letters, value=mended)
        who, what = operator(), "dead letter replayed" if mended is None else "dead letter mended"
        here.append([act_message(who, what, letter.id, wall_clock_ms()) for letter in letters])
    _print_sent(form, letters, written)


def _print_sent(form: Form, letters: Sequence[Letter], written: Sequence[TopicOffset]) -> None:
    rows = [(x.id, *at[:3]) for x, at in zip(letters, written, strict=True)]
    print_rows(form, ("id", "topic", "partition", "offset"), rows)


def _bytes_of(path: Path) -> bytes:
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()


def _described(letter: Letter) -> str:
    """Returns the whole letter for a terminal: its JSON indented, and no byte of it obeyed."""
    lines = [
        f"id          {letter.id}",
        f"laid aside  {_time(letter)} UTC",
        f"reason      {letter.reason}",
        f"error       {printable(letter.error.encode())}",
        f"from        {letter.place}",
        f"key         {printable(letter.key)}",
        *(
            f"header      {printable(n.encode())}: {printable(value)}"
            for n, value in letter.headers
        ),
        f"value       {len(letter.value)} bytes",
        "",
        *(printable(line) for line in _indented(letter.value).split(b"\n")),
    ]
    return "\n".join(lines)


def _indented(value: bytes) -> bytes:
    try:
        return msgspec.json.format(value, indent=2)
    except UNREADABLE:
        return value


def _time(letter: Letter) -> str:
    moment = datetime.fromtimestamp(letter.timestamp_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
