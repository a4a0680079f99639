"""The picture of a replay: each policy's lift as it learns, with how sure that is.

matplotlib is an extra (`plot`) and is imported only here, when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bandit.errors import PlotError
from bandit.replay_report import Curve, ReplayReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".png", ".svg")
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's: told apart by the colour-blind too."""
LABEL_LENGTH: Final = 34
BAND: Final = 1.96


def check_plot(path: Path) -> None:
    """Raises what `plot_replay` would, so that it is known before the long work.

    Raises:
        PlotError: matplotlib is not installed, the suffix is neither .png nor .svg, or the
            folder does not exist.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PlotError(f"cannot plot to {path}; expected a name that ends in .png or .svg")
    if not path.parent.is_dir():
        raise PlotError(f"cannot plot to {path}; the folder {path.parent} does not exist")
    if find_spec("matplotlib") is None:
        raise PlotError("plots need matplotlib; install it with: pip install 'copyloop[plot]'")


def plot_replay(report: ReplayReport, path: Path) -> None:
    """Writes the lift of each policy over the rounds played, with 95 % bands, to `path`.

    Raises:
        PlotError: as `check_plot` says.
    """
    check_plot(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    low, high = _limits(report.curves)
    ends = [100.0 * float(curve.lift[-1]) for curve in report.curves]
    heights = _spread(np.clip(np.array(ends), low, high), gap=(high - low) / 16.0)
    for number, (result, curve) in enumerate(zip(report.results, report.curves, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        _draw(axes, curve, colour)
        axes.annotate(
            f"{_short(result.policy)}  {ends[number]:+.1f} %",
            xy=(1.0, heights[number]),
            xycoords=axes.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            va="center",
        )
    axes.axhline(0.0, color="0.4", linewidth=1.0, linestyle="--")
    axes.set_xlim(0, report.curves[0].rounds[-1])
    axes.set_ylim(low, high)
    axes.set_title(f"Clicks won over choosing at random, {report.tests:,} A/B tests", loc="left")
    axes.set_xlabel("rounds played, tests in order of week")
    axes.set_ylabel("lift over uniform so far, % (band: 95 %)")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    # an SVG's words stay words, to be searched and read aloud
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, dpi=150)


def _draw(axes: Axes, curve: Curve, colour: str) -> None:
    lift, half = 100.0 * curve.lift, 100.0 * BAND * curve.lift_se
    axes.plot(curve.rounds, lift, color=colour, linewidth=1.8)
    axes.fill_between(curve.rounds, lift - half, lift + half, color=colour, alpha=0.15, linewidth=0)


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """The range of lift in % to show: the bands of the later tests; the first are all noise."""
    half = len(curves[0].rounds) // 5
    lift = np.concatenate([curve.lift[half:] for curve in curves])
    spread = BAND * np.nan_to_num(np.concatenate([curve.lift_se[half:] for curve in curves]))
    low = 100.0 * min(0.0, np.nanmin(lift - spread))
    high = 100.0 * max(0.0, np.nanmax(lift + spread))
    margin = max(0.05 * (high - low), 0.5)
    return low - margin, high + margin


def _spread(heights: NDArray[np.float64], gap: float) -> list[float]:
    """Returns the heights, in the same order, those too close to a lower one moved up by `gap`."""
    order = np.argsort(heights, kind="stable")
    placed = heights[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    moved = np.empty_like(placed)
    moved[order] = placed
    return [float(height) for height in moved]


def _short(text: str) -> str:
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
