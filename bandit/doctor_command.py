"""The command that looks whether all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.command_line import Form, LogUrl, print_json, print_rows


def doctor(
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of the log and all else.", show_default="copyloop-data"),
    ] = None,
    log: LogUrl = None,
    host: Annotated[
        str | None, typer.Option(help="Where the API is to listen.", show_default="127.0.0.1")
    ] = None,
    form: Form = "table",
) -> None:
    """Check settings, log, clock, disk, policies, lag, dead letters, keys and versions.

    Run it with the environment and the options that the API gets. It only reads, says what is
    wrong and what to do about it, and exits with 1 if anything is.
    """
    import msgspec

    from bandit.service.operations.doctor import examine
    from streams.embedded import wall_clock_ms

    findings = examine({"data": data, "log": log, "host": host}, wall_clock_ms())
    if form == "json":
        print_json(msgspec.to_builtins(findings))
    else:
        print_rows(
            "table",
            ("check", "state", "found", "what to do"),
            [(each.check, each.state, each.found, each.do or None) for each in findings],
        )
    failed = any(each.state == "failure" for each in findings)
    raise typer.Exit(1 if failed else 0)
