"""The commands for dead letters: list, show, and send again."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.catalogue.audit_log import act_message
from streams.commands.options import (
    Form,
    LogOptions,
    SourceUrl,
    looked_into,
    make_app,
    operator,
)
from streams.commands.output import moment, print_json, print_rows
from streams.dead_letters import DeadLetter, find_dead_letter, latest, read_dead_letters, readable
from streams.dead_letters import replay as send
from streams.events import UNREADABLE
from streams.inspect import printable
from streams.logs.embedded import wall_clock_ms

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
    lines = [
        f"id          {letter.id}",
        f"laid aside  {moment(letter.timestamp_ms)} UTC",
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


app = make_app(
    "Records that nobody could use.", {"list": list_letters, "show": show, "replay": replay}
)
