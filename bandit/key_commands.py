"""The commands for keys and for the record of acts.

They work on the log itself, so the first key can be made before anything listens; whoever can
write the log needs no key to make one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streams.command_line import (
    DATA,
    Data,
    Form,
    LogUrl,
    log_url,
    looked_into,
    opened,
    operator,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from bandit.service.security.key_ring import KeyRing
    from streams.access import ApiKey
    from streams.log import Log

app = typer.Typer(help="The keys of the API.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` says.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="For people to tell the key by.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it may do: rank, reward, view, review, operate, admin; repeat. Of the last "
            "four each includes those before it, and admin everything."
        ),
    ],
    lasts_days: Annotated[
        float | None, typer.Option(min=0, help="Its time; without end if left out.")
    ] = None,
    rate_per_second: Annotated[
        float | None, typer.Option(min=0, help="Requests; as the settings say if left out.")
    ] = None,
    data: Data = DATA,
    log: LogUrl = None,
) -> None:
    """Make a key and print it, this once; with the first one, the API asks everyone for one.

    Running replicas know it within a second.
    """
    from bandit.service.security.keys import make_key
    from streams.access import SCOPES
    from streams.embedded import wall_clock_ms
    from streams.topics import create_topics

    if unknown := set(scope).difference(SCOPES):
        raise typer.BadParameter(f"{min(unknown)!r} is none of {', '.join(SCOPES)}")
    key, text = make_key(
        name,
        [known for known in SCOPES if known in scope],
        wall_clock_ms(),
        lasts_seconds=None if lasts_days is None else lasts_days * 86_400,
        rate_per_second=rate_per_second,
    )
    with opened(log_url(log, data)) as here:
        create_topics(here)
        _write(here, "created", None, key)
    _tell(key, text)


@app.command("list")
def list_keys(data: Data = DATA, log: LogUrl = None, form: Form = "table") -> None:
    """List the keys, those that were revoked too; what they are nobody knows."""
    from bandit.service.security.keys import described, is_active
    from streams.embedded import wall_clock_ms

    with looked_into(log_url(log, data)) as here:
        keys = _ring(here).every()
    if form == "json":
        print_json([described(key) for key in keys])
        return
    now_ms = wall_clock_ms()
    rows = [
        (
            key.id,
            "active" if is_active(key, now_ms) else "ended",
            _moment(key.created_ms),
            _moment(key.revoked_ms or key.expires_ms),
            ", ".join(key.scopes),
            key.name,
        )
        for key in keys
    ]
    print_rows(form, ("id", "state", "made (UTC)", "ends (UTC)", "scopes", "name"), rows)


@app.command()
def rotate(
    key_id: KeyId,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long the old secret goes on working.")
    ] = 24.0,
    data: Data = DATA,
    log: LogUrl = None,
) -> None:
    """Give a key a new secret and print it, this once; the old one works for the grace yet."""
    from bandit.service.security.keys import rotated
    from streams.embedded import wall_clock_ms

    with looked_into(log_url(log, data)) as here:
        before = _key(here, key_id)
        key, text = rotated(before, wall_clock_ms(), grace_seconds=grace_hours * 3600)
        _write(here, "rotated", before, key)
    _tell(key, text)


@app.command()
def revoke(key_id: KeyId, data: Data = DATA, log: LogUrl = None) -> None:
    """End a key, on every replica within a second."""
    from bandit.service.security.keys import revoked
    from streams.embedded import wall_clock_ms

    with looked_into(log_url(log, data)) as here:
        before = _key(here, key_id)
        after = revoked(before, wall_clock_ms())
        if after is before:
            typer.echo(f"key {key_id} was revoked before; nothing was changed")
            return
        _write(here, "revoked", before, after)
    typer.echo(f"key {key_id} ({after.name}) opens nothing any more")


def acts(
    data: Data = DATA,
    log: LogUrl = None,
    who: Annotated[str | None, typer.Option(help="Only theirs, as the first column says.")] = None,
    last: Annotated[int, typer.Option(min=1, help="The most to show, the latest of all.")] = 100,
    form: Form = "table",
) -> None:
    """Show what people had the service do: who, what, to what, and what changed.

    What the policy decided is for `copyloop audit`.
    """
    import msgspec

    from streams.audit_log import latest_acts

    with looked_into(log_url(log, data)) as here:
        found = latest_acts(here, limit=last, who=who)
    if form == "json":
        print_json([msgspec.to_builtins(act) for act in found])
        return
    rows = [
        (
            _moment(act.timestamp_ms),
            act.who,
            act.what,
            act.target,
            None if act.before is None else msgspec.json.encode(act.before).decode(),
            None if act.after is None else msgspec.json.encode(act.after).decode(),
        )
        for act in found
    ]
    print_rows(form, ("when (UTC)", "who", "what", "to what", "before", "after"), rows)


def _ring(log: Log) -> KeyRing:
    from bandit.service.security.key_ring import KeyRing
    from streams.embedded import wall_clock_ms

    ring = KeyRing(log, wall_clock_ms)
    ring.catch_up()
    return ring


def _key(log: Log, key_id: str) -> ApiKey:
    from bandit.errors import KeyUnknown

    key = _ring(log).key(key_id)
    if key is None:
        raise KeyUnknown(f"there is no key {key_id!r}; `copyloop keys list` names those there are")
    return key


def _write(log: Log, what: str, before: ApiKey | None, after: ApiKey) -> None:
    from bandit.service.security.keys import key_messages
    from streams.embedded import wall_clock_ms

    log.append(key_messages(operator(), what, before, after, wall_clock_ms()))


def _tell(key: ApiKey, text: str) -> None:
    typer.echo(text)
    typer.echo(
        f"key {key.id} ({key.name}) may {', '.join(key.scopes)}; it is not shown again", err=True
    )


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%F %T")
