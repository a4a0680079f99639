"""`copyloop creatives`: what there is, what waits for a person, and what that person says.

They work on the log itself, so they need neither the API nor a key; who types is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import Form, LogOptions, make_app, operator
from streams.commands.output import print_rows
from streams.events import CreativeStatus

if TYPE_CHECKING:
    from streams.events import Creative

Placement = Annotated[str | None, typer.Option(help="Only those of this placement.")]
PlacementName = Annotated[str, typer.Argument(metavar="PLACEMENT")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As the list says.")]


def list_creatives(
    *,
    placement: Placement = None,
    status: Annotated[
        CreativeStatus | None, typer.Option(help="Only these.", show_default="those that wait")
    ] = None,
    at: LogOptions,
    form: Form = "table",
) -> None:
    """List creatives: unless told otherwise, those that wait for a review."""
    from bandit.lifecycle import WAITING, creatives_with
    from streams.catalogue.writer import CatalogueWriter

    with at.looked_into() as here:
        catalogue = CatalogueWriter(here).catalogue
    found = creatives_with(catalogue, placement, (status,) if status else WAITING)
    rows = [(c.placement, c.id, c.status, _text(c), c.reason or "") for c in found]
    print_rows(form, ("placement", "id", "status", "text", "reason"), rows)


def review_each(*, placement: Placement = None, at: LogOptions) -> None:
    """Go through what waits, one by one: y approves, n rejects and asks why, s skips, q ends."""
    from bandit.lifecycle import creatives_with, review
    from streams.catalogue.state import catalogue_key
    from streams.catalogue.writer import CatalogueWriter

    with at.looked_into() as here:
        writer = CatalogueWriter(here)
        waiting = creatives_with(writer.catalogue, placement)
        if not waiting:
            typer.echo("nothing waits for a review")
        # As of now, for what is edited while others are looked at is not approved unread.
        seen = [writer.as_seen(catalogue_key(creative)) for creative in waiting]
        for number, (creative, condition) in enumerate(zip(waiting, seen, strict=True), 1):
            typer.echo(f"\n{number} of {len(waiting)}, {creative.placement}/{creative.id}")
            for part, text in creative.parts.items():
                typer.echo(f"  {part}: {text}")
            verdict = typer.prompt("yes, no, skip or quit? [y/n/s/q]", default="s")[:1].lower()
            if verdict == "q":
                return
            if verdict not in ("y", "n"):
                typer.echo("skipped")
                continue
            reason = typer.prompt("why not") if verdict == "n" else None
            found = review(writer, creative.placement, creative.id, reason, operator(), condition)
            typer.echo(found.status)


def approve(placement: PlacementName, creative_ids: Ids, at: LogOptions) -> None:
    """Make creatives that wait for a review live."""
    _review(at, placement, creative_ids, None)


def reject(
    placement: PlacementName,
    creative_ids: Ids,
    reason: Annotated[
        str,
        typer.Option(
            help="Why not, as `code: words`; kept with the creative, and new texts keep clear of "
            "it."
        ),
    ],
    at: LogOptions,
) -> None:
    """Reject creatives, live ones too; a rejected one is never shown again."""
    _review(at, placement, creative_ids, reason)


def _review(at: LogOptions, placement: str, creative_ids: list[str], reason: str | None) -> None:
    from bandit.lifecycle import review
    from streams.catalogue.writer import CatalogueWriter

    with at.looked_into() as here:
        writer = CatalogueWriter(here)
        for creative_id in creative_ids:
            found = review(writer, placement, creative_id, reason, operator())
            typer.echo(f"{creative_id} is {found.status}: {_text(found)}")


def _text(creative: Creative) -> str:
    return " / ".join(creative.parts.values())


app = make_app(
    "Creatives, and a person's yes or no to them.",
    {"list": list_creatives, "review": review_each, "approve": approve, "reject": reject},
)
