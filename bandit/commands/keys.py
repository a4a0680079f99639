"""The commands for keys and for the record of acts.

They work on the log itself, so the first key can be made before anything listens; whoever can
write the log needs no key to make one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import (
    Form,
    LogOptions,
    make_app,
    operator,
)
from streams.commands.output import moment, print_rows
from streams.events import MAX_ID_LENGTH
from streams.logs.embedded import wall_clock_ms

if TYPE_CHECKING:
    from bandit.service.auth.keys import KeyRing
    from streams.events.access import ApiKey
    from streams.logs.base import Log

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` says.")]


def create(
    name: Annotated[str, typer.Argument(help="For people to tell the key by.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it may do: rank, reward, view, review, operate, admin; repeat. Of the last "
            "four each includes those before it, and admin everything."
        ),
    ],
    at: LogOptions,
    lasts_days: Annotated[
        float | None, typer.Option(min=0, help="Its time; without end if left out.")
    ] = None,
    rate_per_second: Annotated[
        float | None, typer.Option(min=0, help="Requests; as the settings say if left out.")
    ] = None,
    placement: Annotated[
        list[str] | None,
        typer.Option(help="Only these placements; * in a name is any text; repeat. All if none."),
    ] = None,
) -> None:
    """Make a key and print it, this once; with the first one, the API asks everyone for one.

    Running replicas know it within a second.
    """
    from bandit.service.auth.keys import make_key
    from streams.events.access import SCOPES
    from streams.topics import create_topics

    _check(name, placement or [], lasts_days, rate_per_second)
    if unknown := set(scope).difference(SCOPES):
        raise typer.BadParameter(f"{min(unknown)!r} is none of {', '.join(SCOPES)}")
    key, text = make_key(
        name,
        [known for known in SCOPES if known in scope],
        wall_clock_ms(),
        lasts_seconds=None if lasts_days is None else lasts_days * 86_400,
        rate_per_second=rate_per_second,
        placements=placement or None,
    )
    with at.opened() as here:
        create_topics(here)
        _write(here, "created", None, key)
    _tell(key, text)


def list_keys(at: LogOptions, form: Form = "table") -> None:
    """List API keys, including revoked ones. Only names and scopes are shown, never the secret."""
    from bandit.service.auth.keys import described, is_active

    with at.looked_into() as here:
        keys = _ring(here).every()
    now_ms = wall_clock_ms()
    rows = [
        (
            key.id,
            "active" if is_active(key, now_ms) else "ended",
            moment(key.created_ms),
            moment(key.revoked_ms or key.expires_ms),
            ", ".join(key.scopes),
            ", ".join(key.placements or ("*",)),
            key.name,
        )
        for key in keys
    ]
    columns = ("id", "state", "made (UTC)", "ends (UTC)", "scopes", "placements", "name")
    print_rows(form, columns, rows, [described(key) for key in keys])


def rotate(
    key_id: KeyId,
    at: LogOptions,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long the old secret goes on working.")
    ] = 24.0,
) -> None:
    """Give a key a new secret and print it, this once; the old one works for the grace yet."""
    from bandit.service.auth.keys import rotated

    with at.looked_into() as here:
        before = _key(here, key_id)
        key, text = rotated(before, wall_clock_ms(), grace_seconds=grace_hours * 3600)
        _write(here, "rotated", before, key)
    _tell(key, text)


def revoke(key_id: KeyId, at: LogOptions) -> None:
    """End a key, on every replica within a second."""
    from bandit.service.auth.keys import revoked

    with at.looked_into() as here:
        before = _key(here, key_id)
        after = revoked(before, wall_clock_ms())
        if after is before:
            typer.echo(f"key {key_id} was revoked before; nothing was changed")
            return
        _write(here, "revoked", before, after)
    typer.echo(f"key {key_id} ({after.name}) opens nothing any more")


def acts(
    at: LogOptions,
    who: Annotated[str | None, typer.Option(help="Only theirs, as the first column says.")] = None,
    last: Annotated[int, typer.Option(min=1, help="The most to show, the latest of all.")] = 100,
    form: Form = "table",
) -> None:
    """Show what people had the service do: who, what, to what, and what changed.

    What the policy decided is for `copyloop audit`.
    """
    import msgspec

    from bandit.policies.headlines import in_short
    from streams.catalogue.audit_log import latest_acts

    with at.looked_into() as here:
        found = latest_acts(here, limit=last, who=who)
    rows = [
        (
            moment(act.timestamp_ms),
            act.who,
            act.what,
            act.target,
            *(
                None if state is None else msgspec.json.encode(in_short(state)).decode()
                for state in (act.before, act.after)
            ),
        )
        for act in found
    ]
    print_rows(form, ("when (UTC)", "who", "what", "to what", "before", "after"), rows, found)


def _ring(log: Log) -> KeyRing:
    from bandit.service.auth.keys import KeyRing

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
    from bandit.service.auth.keys import key_messages

    log.append(key_messages(operator(), what, before, after, wall_clock_ms()))


def _check(
    name: str, placements: list[str], lasts_days: float | None, rate_per_second: float | None
) -> None:
    """Refuses what the API refuses of a key, too."""
    texts = [("NAME", name), *(("--placement", pattern) for pattern in placements)]
    for parameter, text in texts:
        if not text.strip() or len(text) > MAX_ID_LENGTH:
            raise typer.BadParameter(
                f"{parameter} is {text[:40]!r}; 1 to {MAX_ID_LENGTH} characters, not all blank"
            )
    for parameter, number in (("--lasts-days", lasts_days), ("--rate-per-second", rate_per_second)):
        if number is not None and not 0 < number < math.inf:
            raise typer.BadParameter(f"{parameter} is {number:g}; above 0")


def _tell(key: ApiKey, text: str) -> None:
    typer.echo(text)
    where = f"in {', '.join(key.placements)}" if key.placements else "in all placements"
    typer.echo(
        f"key {key.id} ({key.name}) may {', '.join(key.scopes)}, {where}; it is not shown again",
        err=True,
    )


app = make_app(
    "The keys of the API.",
    {"create": create, "list": list_keys, "rotate": rotate, "revoke": revoke},
)
