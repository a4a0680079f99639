"""The commands for a placement's policy: list its versions, compare, promote, and go back.

They work on the log itself, so they need no API; every replica and the learner follow the log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from streams.command_line import (
    DATA,
    Data,
    Form,
    LogUrl,
    log_url,
    looked_into,
    print_json,
    print_rows,
)

app = typer.Typer(help="A placement's policy: its versions, and changing it.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="PLACEMENT")]


@app.command("list")
def list_versions(
    placement: Name, data: Data = DATA, log: LogUrl = None, form: Form = "table"
) -> None:
    """List the policies that the placement has had, with what they decided and earned."""
    from bandit.policy_desk import PolicyDesk
    from bandit.versions import counted

    with looked_into(log_url(log, data)) as here:
        found = counted(here, placement, PolicyDesk(here, placement).versions)
    if form == "json":
        print_json(msgspec.to_builtins(found))
        return
    columns = ("version", "since (UTC)", "decisions", "mean reward", "why", "policy")
    rows = [
        (
            v.number,
            _time(v.since_ms),
            v.decisions,
            _mean(v.reward, v.decisions),
            v.why,
            _json(v.spec),
        )
        for v in found
    ]
    print_rows(form, columns, rows)


@app.command()
def diff(
    placement: Name,
    before: Annotated[
        int | None, typer.Argument(help="A version's number.", show_default="the one before")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(help="Another's.", show_default="the current one")
    ] = None,
    data: Data = DATA,
    log: LogUrl = None,
    form: Form = "table",
) -> None:
    """Show the parameters in which two versions differ."""
    from bandit.policy_desk import PolicyDesk
    from bandit.versions import differences, version

    with looked_into(log_url(log, data)) as here:
        versions = PolicyDesk(here, placement).versions
    one, other = version(versions, before), version(versions, after or len(versions))
    rows = [
        (found.parameter, _json(found.before), _json(found.after))
        for found in differences(one.spec, other.spec)
    ]
    print_rows(form, ("parameter", f"version {one.number}", f"version {other.number}"), rows)


@app.command()
def promote(
    placement: Name,
    policy: Annotated[
        str, typer.Option(help="default, thompson:alpha=1,beta=1, 'vw:--cb_…', or spec.json.")
    ],
    why: Annotated[str, typer.Option(help="Kept with the version.")] = "promoted by hand",
    data: Data = DATA,
    log: LogUrl = None,
) -> None:
    """Give the placement another policy; the old one is served until the new one has learned."""
    from bandit.policies import parse_policy
    from bandit.policy_desk import PolicyDesk
    from bandit.versions import with_policy

    with looked_into(log_url(log, data)) as here:
        desk = PolicyDesk(here, placement)
        _tell(desk.put(with_policy(desk.placement, parse_policy(policy), why)))


@app.command()
def rollback(
    placement: Name,
    to: Annotated[
        int | None, typer.Option(help="A version's number.", show_default="the one before")
    ] = None,
    data: Data = DATA,
    log: LogUrl = None,
) -> None:
    """Give the placement back a policy that it had, with all that it would have learned since."""
    from bandit.policy_desk import PolicyDesk
    from bandit.versions import rolled_back

    with looked_into(log_url(log, data)) as here:
        desk = PolicyDesk(here, placement)
        _tell(desk.put(rolled_back(desk.placement, desk.versions, to)))


def _tell(policy: dict[str, object] | None) -> None:
    if policy is None:
        typer.echo("the placement has that policy already; nothing was changed")
    else:
        typer.echo(f"{_json(policy)}\nis served as soon as the learner has folded the log with it")


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _mean(total: float, n: int) -> str | None:
    return f"{total / n:.4f}" if n else None


def _time(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
