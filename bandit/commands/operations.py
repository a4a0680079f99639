"""The commands that look after a running loop: doctor, audit, and forget."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.commands.processes import Host, ServedData
from streams.commands.options import (
    Form,
    LogOptions,
    LogUrl,
    operator,
)
from streams.commands.output import print_json, print_report, print_rows, progress
from streams.counting import count_of
from streams.logs.embedded import wall_clock_ms

if TYPE_CHECKING:
    from streams.forgetting.values import ForgetReport

STDIN = "-"


def doctor(
    data: ServedData = None, log: LogUrl = None, host: Host = None, form: Form = "table"
) -> None:
    """Check settings, log, clock, disk, policies, lag, dead letters, keys and versions.

    Run it with the environment and the options that the API gets. It only reads, says what is
    wrong and what to do about it, and exits with 1 if anything is.
    """
    from bandit.service.ops.doctor import examine

    findings = examine({"data": data, "log": log, "host": host}, wall_clock_ms())
    rows = [(each.check, each.state, each.found, each.do or None) for each in findings]
    print_rows(form, ("check", "state", "found", "what to do"), rows, findings)
    raise typer.Exit(1 if any(each.state == "failure" for each in findings) else 0)


def audit(at: LogOptions, form: Form = "table") -> None:
    """Derive every logged propensity and draw again, and say which do not agree.

    Exits with 1 if any does not.
    """
    from bandit.verification import audit as run_audit
    from streams.logs.opening import open_log

    report = run_audit(open_log(at.url))
    print_report(form, report)
    raise typer.Exit(0 if report.clean else 1)


def forget(
    at: LogOptions,
    field: Annotated[
        str, typer.Option(help="A field of contexts; keys joined by dots: user_id, geo.zip.")
    ],
    value: Annotated[
        str, typer.Option(help="What it holds; - reads it from stdin, past the shell's history.")
    ],
    placement: Annotated[str | None, typer.Option(help="Only this placement's.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be done.")] = False,
    form: Form = "table",
) -> None:
    """Take a value out of every decision in the log, the archive and the checkpoints.

    Where the field is private, set COPYLOOP_PRIVATE_SALT (or _FILE) as the API has it, and the
    value's hash is found too. A SQLite log is rewritten in place: stop join, learn and archive
    for it, or all of `copyloop up`. A Kafka log cannot be; it is said where the value is, and
    what becomes of it. There is no way back. Where a file cannot be read, or this is killed, only a
    part is done: give the same command again.
    """
    from bandit.service.auth.privacy import PrivacyFilter
    from bandit.service.settings import load_settings
    from streams.catalogue.audit_log import act_message
    from streams.errors import ArchiveError
    from streams.forgetting.values import Wanted, values_of
    from streams.forgetting.values import forget as run
    from streams.topics import create_topics

    text = sys.stdin.read().rstrip("\n") if value == STDIN else value
    settings = load_settings({})
    values = values_of(text)
    if settings.private_salt.is_set:
        shield = PrivacyFilter(settings.private_salt, settings.reward_secret)
        values += [shield.hash_of(each) for each in values_of(text)]
    now_ms = wall_clock_ms()
    with at.looked_into() as here, progress() as told:
        create_topics(here)
        wanted = Wanted(field, values, placement)
        found = run(here, at.url, at.data, wanted, now_ms=now_ms, dry_run=dry_run, progress=told)
        if not dry_run:
            # What was forgotten is not said again, only that it was, and how much of it.
            count = {"records": found.records, "archived": sum(found.archive.values())}
            if found.unfinished:
                count["unfinished"] = len(found.unfinished)
            here.append([act_message(operator(), "forgot", field, now_ms, after=count)])
    _tell(found, form)
    if found.unfinished:
        raise ArchiveError(
            f"only a part is done, {len(found.unfinished)} of the files cannot be read; restore or "
            "remove each, and give the same command again: " + "; ".join(found.unfinished)
        )


def _tell(found: ForgetReport, form: str) -> None:
    if form == "json":
        print_json(found)
        return
    columns = ("where", "records", "from", "to")
    rows: list[tuple[object, ...]] = [
        (f"{held.topic}/{held.partition}", held.records, held.first_offset, held.last_offset)
        for held in found.log
    ]
    rows += [(f"archive/{name}", count, None, None) for name, count in found.archive.items()]
    if rows:
        print_rows("table", columns, rows)
    held = f"{count_of(found.records, 'record')} held"
    did = "would be" if found.dry_run else "was" if found.rewritten else "was not"
    typer.echo(f"The value {did} taken out of the log, where {held} it")
    for name in found.checkpoints_removed:
        typer.echo(f"{name}: had it; {'would be' if found.dry_run else 'was'} removed")
    for name in (*found.checkpoints_noted, *found.spool):
        typer.echo(f"{name}: seems to have it, and is left alone")
    for remaining in found.left:
        typer.echo(f"left: {remaining}")
