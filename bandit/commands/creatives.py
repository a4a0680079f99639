"""`copyloop creatives`: what there is, what waits for a person, and what that person says.

They work on the log itself, so they need neither the API nor a key; who types is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import DATA, Data, Form, LogUrl, log_url, looked_into, operator
from streams.commands.output import print_rows
from streams.events import CreativeStatus

if TYPE_CHECKING:
    from bandit.review import ReviewDesk
    from streams.events import Creative
    from streams.log import Log

app = typer.Typer(help="Creatives, and a person's yes or no to them.", no_args_is_help=True)

Placement = Annotated[str | None, typer.Option(help="Only those of this placement.")]
PlacementName = Annotated[str, typer.Argument(metavar="PLACEMENT")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As the list says.")]
REASON = "Why not, as `code: words`; kept with the creative, and new texts keep clear of it."


@app.command("list")
def list_creatives(
    placement: Placement = None,
    status: Annotated[
        CreativeStatus | None, typer.Option(help="Only these.", show_default="those that wait")
    ] = None,
    data: Data = DATA,
    log: LogUrl = None,
    form: Form = "table",
) -> None:
    """List creatives: unless told otherwise, those that wait for a review."""
    from bandit.review import WAITING

    with looked_into(log_url(log, data)) as here:
        found = _desk(here).creatives(placement, (status,) if status else WAITING)
    rows = [(c.placement, c.id, c.status, _text(c), c.reason or "") for c in found]
    print_rows(form, ("placement", "id", "status", "text", "reason"), rows)


@app.command()
def review(placement: Placement = None, data: Data = DATA, log: LogUrl = None) -> None:
    """Go through what waits, one by one: y approves, n rejects and asks why, s skips, q ends."""
    with looked_into(log_url(log, data)) as here:
        desk = _desk(here)
        waiting = desk.creatives(placement)
        if not waiting:
            typer.echo("nothing waits for a review")
        for number, creative in enumerate(waiting, 1):
            typer.echo(f"\n{number} of {len(waiting)}, {creative.placement}/{creative.id}")
            for part, text in creative.parts.items():
                typer.echo(f"  {part}: {text}")
            verdict = typer.prompt("yes, no, skip or quit? [y/n/s/q]", default="s")
            if verdict[:1].lower() == "q":
                return
            _take(desk, creative, verdict[:1].lower())


@app.command()
def approve(
    placement: PlacementName, creative_ids: Ids, data: Data = DATA, log: LogUrl = None
) -> None:
    """Make creatives that wait for a review live."""
    from streams.embedded import wall_clock_ms

    with looked_into(log_url(log, data)) as here:
        desk = _desk(here)
        for creative_id in creative_ids:
            found = desk.approve(placement, creative_id, wall_clock_ms())
            typer.echo(f"{creative_id} is live: {_text(found)}")


@app.command()
def reject(
    placement: PlacementName,
    creative_ids: Ids,
    reason: Annotated[str, typer.Option(help=REASON)],
    data: Data = DATA,
    log: LogUrl = None,
) -> None:
    """Reject creatives, live ones too; a rejected one is never shown again."""
    from streams.embedded import wall_clock_ms

    with looked_into(log_url(log, data)) as here:
        desk = _desk(here)
        for creative_id in creative_ids:
            found = desk.reject(placement, creative_id, reason, wall_clock_ms())
            typer.echo(f"{creative_id} is rejected: {_text(found)}")


def _take(desk: ReviewDesk, creative: Creative, verdict: str) -> None:
    from streams.embedded import wall_clock_ms

    if verdict == "y":
        desk.approve(creative.placement, creative.id, wall_clock_ms())
        typer.echo("live")
    elif verdict == "n":
        reason = typer.prompt("why not")
        desk.reject(creative.placement, creative.id, reason, wall_clock_ms())
        typer.echo("rejected")
    else:
        typer.echo("skipped")


def _desk(log: Log) -> ReviewDesk:
    from bandit.review import ReviewDesk

    return ReviewDesk(log, operator())


def _text(creative: Creative) -> str:
    return " / ".join(creative.parts.values())
