"""What the demo shows while it runs: each placement's creatives, and how well the policy does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from generator.demo.audience import Tally

BAR_WIDTH: Final = 12
ROWS: Final = 5
"""Creatives shown a placement, those with the most mass first."""


def live_view(
    tallies: Mapping[str, Tally],
    texts: Mapping[str, str],
    newcomers: frozenset[str],
    *,
    caption: str,
) -> Group:
    """Returns one table a placement, under a caption; newcomers are marked."""
    tables = [_placement(name, tally, texts, newcomers) for name, tally in tallies.items()]
    return Group(Text(caption, style="bold"), *tables)


def _placement(
    name: str, tally: Tally, texts: Mapping[str, str], newcomers: frozenset[str]
) -> Table:
    table = Table(title=_headline(name, tally), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("creative", width=36, no_wrap=True)
    table.add_column("pmf", width=BAR_WIDTH + 5, no_wrap=True)
    table.add_column("shown", justify="right", width=6)
    table.add_column("CTR", justify="right", width=6)
    ranked = sorted(tally.pmf.items(), key=lambda item: -item[1])
    for creative_id, propensity in ranked[:ROWS]:
        shown, clicked = tally.shown.get(creative_id, 0), tally.clicked.get(creative_id, 0)
        mark = Text("new ", style="green") if creative_id in newcomers else Text("")
        bar = "█" * round(propensity * BAR_WIDTH)
        table.add_row(
            mark + Text(texts.get(creative_id, creative_id)),
            f"{bar:<{BAR_WIDTH}} {propensity:4.0%}",
            str(shown),
            f"{clicked / shown:.1%}" if shown else "",
        )
    if len(ranked) > ROWS:
        rest = sum(propensity for _, propensity in ranked[ROWS:])
        table.add_row(
            Text(f"… {len(ranked) - ROWS} more", style="dim"), f"{'':{BAR_WIDTH}} {rest:4.0%}"
        )
    return table


def _headline(name: str, tally: Tally) -> Text:
    title = Text(name, style="bold")
    if tally.visits:
        served, uniform, best = (
            total / tally.visits for total in (tally.served, tally.uniform, tally.best)
        )
        title.append(
            f"  {tally.visits} visits, true CTR {served:.1%}"
            f" (uniform {uniform:.1%}, best possible {best:.1%})",
            style="not bold",
        )
    return title
