"""The commands that keep a SQLite log: its backup, its restoration, and its time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import Form, LogOptions
from streams.commands.output import moment, print_rows
from streams.errors import BackupError
from streams.logs.opening import log_exists, redacted, sqlite_path

if TYPE_CHECKING:
    from streams.archive.backup import Backup


def backup(
    at: LogOptions,
    to: Annotated[Path, typer.Argument(help="The file to write; its checksum goes beside it.")],
    form: Form = "table",
) -> None:
    """Copy a SQLite log to a file, whole and verified, while others write."""
    from streams.archive.backup import back_up

    path = _path(at.url)
    if not log_exists(at.url):
        raise BackupError(f"there is no log at {path}; name another with --log or --data")
    _print(form, back_up(path, to))


def restore(
    at: LogOptions,
    source: Annotated[Path, typer.Argument(help="A backup, or the folder of an archive.")],
    form: Form = "table",
) -> None:
    """Make a new log of a backup or an archive, verified, while no process runs.

    The log must not be there. Checkpoints of the log before are put aside. An archive can also be
    restored into new topics on Kafka; it has no keys, and no policies: they are learned again.
    """
    from streams.archive.backup import restore_archive, restore_backup

    checkpoints = at.data / "checkpoints"
    if sqlite_path(at.url) is None and source.is_dir():
        from streams.archive.parquet import restore as into

        with at.opened() as log:
            into(source, log)
    elif source.is_dir():
        _print(form, restore_archive(source, _path(at.url), checkpoints))
    else:
        _print(form, restore_backup(source, _path(at.url), checkpoints))


def clock(
    at: LogOptions,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept how far the log's time is ahead.")
    ] = False,
    form: Form = "table",
) -> None:
    """Show the log's time beside this machine's clock, and how far ahead it is in seconds.

    A clock that was ahead leaves its time in the log, which goes on from there. Once the clock is
    right, --accept has health and doctor take the difference as known.
    """
    from streams.logs.sqlite import SqliteLog

    if accept:
        with closing(SqliteLog(_path(at.url))) as log:
            time = log.accept_time()
    else:
        with at.looked_into() as log:
            time = log.time()
    seconds = (time.ahead_ms / 1000, time.accepted_ms / 1000)
    columns = ("log's time (UTC)", "clock (UTC)", "ahead", "accepted")
    print_rows(form, columns, [(moment(time.log_ms), moment(time.wall_ms), *seconds)])


def _path(url: str) -> Path:
    path = sqlite_path(url)
    if path is None:
        raise BackupError(
            f"{redacted(url)} is no SQLite log: Kafka keeps copies itself, and the archive is one"
        )
    return path


def _print(form: Form, made: Backup) -> None:
    print_rows(form, made._fields, [(str(made.path), *made[1:])])
