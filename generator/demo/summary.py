"""What the demo says at its end: plain figures, with intervals where chance plays a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bandit.ope.intervals import wilson_interval
from generator.demo.audience import Tally

Z_TWO_SIDED = 1.959963984540054
"""The two-sided 95 % quantile of the normal distribution."""


def print_summary(
    console: Console,
    phases: Mapping[str, Mapping[str, Tally]],
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
    console.print("What the model wrote: true CTR over the whole audience, mean and best")
    for title, placements in rounds.items():
        for name, rates in placements.items():
            mean, best = sum(rates) / max(len(rates), 1), max(rates, default=0.0)
            console.print(f"  {title}, {name}: {len(rates)} creatives, {mean:.1%} and {best:.1%}")


def _figures(tally: Tally) -> list[str]:
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
