"""The pictures of an evaluation, each as an SVG that stands in a page by itself.

matplotlib is an extra (`plot`) and is imported only where a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bandit.ope.checks.diagnostics import EDGES, Calibration, Diagnostics
from bandit.ope.intervals import Interval
from bandit.ope.reports.trends import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's: told apart by the colour-blind too."""
WIDTH: Final = 9.0
EARLIEST_MS: Final = 631_152_000_000
"""1990; times before it are row numbers, or none at all."""
SHOWN: Final = 12
MOST_LINES: Final = 6
DASHES: Final = ("-", (0, (6, 4)), (3, (6, 4)), (0, (2, 3)), (0, (8, 3, 2, 3)), (0, (1, 2)))
"""Of each policy's line."""

Row = tuple[str, float | None, Interval | None]


def forest(rows: Sequence[Row], *, label: str, reference: float | None = None) -> str:
    """Returns a row a value, with its interval, and a dashed line at `reference`."""
    figure, axes = _figure(0.9 + 0.36 * len(rows))
    for place, (_, value, interval) in enumerate(rows):
        colour = COLOURS[0]
        if interval is not None:
            axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=2.4)
        if value is not None:
            axes.plot([value], [place], "o", color=colour, markersize=6)
            axes.annotate(
                f"{value:.3g}",
                (value, place),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    if reference is not None:
        axes.axvline(reference, color="0.45", linewidth=1.0, linestyle="--")
    axes.set_yticks(range(len(rows)), [short(name) for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="0.9")
    return _svg(figure)


def over_time(lines: Sequence[tuple[str, Sequence[Part]]], *, logged: str) -> str:
    """Returns the value of each policy as time goes by, with bands, beside what was earned."""
    figure, axes = _figure(3.4)
    for number, (name, parts) in enumerate(lines[:MOST_LINES]):
        known = [part for part in parts if part.value is not None]
        times = _times(known)
        colour = COLOURS[number % len(COLOURS)]
        values = [part.value or 0.0 for part in known]
        # lines that lie on each other: the later is dashed, so that both are seen
        style = DASHES[number % len(DASHES)]
        axes.plot(times, values, color=colour, label=short(name), linestyle=style)
        banded = [place for place, part in enumerate(known) if part.interval is not None]
        ends = [part.interval for part in known if part.interval is not None]
        axes.fill_between(
            times[banded],
            [interval.low for interval in ends],
            [interval.high for interval in ends],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    first = lines[0][1]
    earned = [part.logged if part.logged is not None else np.nan for part in first]
    axes.plot(_times(first), earned, color="0.45", linestyle="--", label=logged)
    _limit(axes, [part for _, parts in lines[:MOST_LINES] for part in parts])
    dated = bool(first) and int(first[0].label) >= EARLIEST_MS
    axes.set_xlabel("time (UTC)" if dated else "place in the log")
    axes.set_ylabel("reward a decision")
    axes.grid(axis="y", color="0.9")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if dated:
        figure.autofmt_xdate()
    return _svg(figure)


def weights(found: Diagnostics) -> str:
    """Returns how many decisions have which weight: how alike policy and log are."""
    figure, axes = _figure(2.6)
    counts = np.array(found.weights, dtype=np.float64)
    marks = [0.0, *EDGES[1:].tolist(), float(EDGES[-1]) * 2**0.5]
    held = np.flatnonzero(counts)
    last = int(held.max()) + 1 if len(held) else len(counts)
    first = int(held[held > 0].min()) if (held > 0).any() else 1
    chosen = [0, *range(first, last)] if counts[0] else list(range(first, last))
    axes.bar(range(len(chosen)), counts[chosen] / max(counts.sum(), 1.0), color=COLOURS[0])
    names = ["0" if place == 0 else f"≤ {marks[place]:.2g}" for place in chosen]
    axes.set_xticks(range(len(chosen)), names, rotation=45, ha="right", fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("weight: how much likelier the policy makes what was chosen")
    axes.set_ylabel("decisions")
    axes.grid(axis="y", color="0.9")
    return _svg(figure)


def calibration(found: Calibration) -> str:
    """Returns what was earned against what the reward model expected."""
    figure, axes = _figure(3.2, width=4.6)
    x, y = [b.score for b in found.bins], [b.reward for b in found.bins]
    for one in found.bins:
        if one.interval is not None:
            ends = [one.interval.low, one.interval.high]
            axes.plot([one.score, one.score], ends, color=COLOURS[0], linewidth=1.6)
    axes.plot(x, y, "o", color=COLOURS[0])
    ends = [min(x + y), max(x + y)]
    axes.plot(ends, ends, color="0.45", linestyle="--", linewidth=1.0)
    axes.set_xlabel("expected by the reward model")
    axes.set_ylabel("earned")
    axes.grid(color="0.9")
    return _svg(figure)


def _figure(height: float, *, width: float = WIDTH) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    text = StringIO()
    # words stay words; without a date, the same evaluation gives the same page
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "copyloop"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _times(parts: Sequence[Part]) -> NDArray[np.datetime64] | NDArray[np.int64]:
    """Returns when the parts start: as dates if they are any, else as places in the log."""
    starts = np.array([int(part.label) for part in parts], dtype=np.int64)
    if len(starts) and starts[0] >= EARLIEST_MS:
        return starts.astype("datetime64[ms]")
    return starts


def _limit(axes: Axes, parts: Sequence[Part]) -> None:
    """Keeps a stretch of few decisions, whose band is all noise, from setting the scale."""
    most = max((part.n for part in parts), default=0)
    large = [part for part in parts if part.n >= most / 4 and part.interval is not None]
    ends = [end for p in large if p.interval for end in (p.interval.low, p.interval.high)]
    ends += [part.logged for part in large if part.logged is not None]
    if ends and max(ends) > min(ends):
        margin = 0.1 * (max(ends) - min(ends))
        axes.set_ylim(min(ends) - margin, max(ends) + margin)


def short(text: str) -> str:
    """Returns the label, cut to what a picture has room for."""
    cut = text if len(text) <= 34 else text[:33] + "…"
    # matplotlib reads what stands between two dollar signs as mathematics.
    return cut.replace("$", r"\$")
