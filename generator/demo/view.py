"""What the demo shows: each placement's creatives while it runs, and plain figures at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bandit.ope.intervals import wilson_interval
from generator.demo.audience import TrafficTally

BAR_WIDTH: Final = 12
ROWS: Final = 5
"""Creatives shown a placement, those with the most mass first."""
Z_TWO_SIDED = 1.959963984540054
"""The two-sided 95 % quantile of the normal distribution."""


def live_view(
    tallies: Mapping[str, TrafficTally],
    texts: Mapping[str, str],
    newcomers: frozenset[str],
    *,
    caption: str,
) -> Group:
    """Returns one table a placement, under a caption; newcomers are marked."""
    tables = [_placement(name, tally, texts, newcomers) for name, tally in tallies.items()]
    return Group(Text(caption, style="bold"), *tables)


def _placement(
    name: str, tally: TrafficTally, texts: Mapping[str, str], newcomers: frozenset[str]
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


def _headline(name: str, tally: TrafficTally) -> Text:
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


def print_summary(
    console: Console,
    phases: Mapping[str, Mapping[str, TrafficTally]],
    rounds: Mapping[str, Mapping[str, Sequence[float]]],
) -> None:
    """Prints clicks against a uniform choice and the best possible, and how good the texts are.

    Args:
        console: where to.
        phases: title of the phase → placement → what was added in it.
        rounds: title of the round → placement → true CTR of each creative written in it.
    """
    for title, tallies in phases.items():
        table = Table(
            title=title,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("placement", no_wrap=True)
        for column in ("visits", "CTR, 95 %", "uniform", "best", "lift, 95 %"):
            table.add_column(column, justify="right", no_wrap=True)
        for name, tally in tallies.items():
            table.add_row(name, *_figures(tally))
        console.print(table)
    console.print("What was written: true CTR over the whole audience, mean and best")
    for title, placements in rounds.items():
        for name, rates in placements.items():
            mean, best = sum(rates) / max(len(rates), 1), max(rates, default=0.0)
            console.print(f"  {title}, {name}: {len(rates)} creatives, {mean:.1%} and {best:.1%}")


def _figures(tally: TrafficTally) -> list[str]:
    if not tally.visits:
        return ["0", "", "", "", ""]
    rate, uniform = tally.clicks / tally.visits, tally.uniform / tally.visits
    low, high = wilson_interval(rate, tally.visits, z=Z_TWO_SIDED)
    lift, least, most = (100 * (value / uniform - 1) for value in (rate, low, high))
    return [
        str(tally.visits),
        f"{rate:.1%} [{100 * low:.1f}, {100 * high:.1f}]",
        f"{uniform:.1%}",
        f"{tally.best / tally.visits:.1%}",
        f"{lift:+.0f}% [{least:+.0f}, {most:+.0f}]",
    ]
