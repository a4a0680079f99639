"""What a replay found: lift with its error, as JSON, as a table, and as a curve to plot.

The statistics are here, away from the playing, so that they can be held against textbook cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from bandit.distributions import student_quantile
from bandit.errors import PlotError
from bandit.ope.intervals import MANY
from bandit.ope.reports.charts import COLOURS, short
from streams.files.writing import BY_UMASK, writing_whole

SUFFIXES: Final = (".png", ".svg")
LEVEL: Final = 0.95
LEAST_TESTS: Final = 10
LEAST_CLICKS: Final = 100.0


class PolicyResult(msgspec.Struct, frozen=True):
    """What a policy earned; shares, not percentages.

    `lift` is relative, by what share more than what the uniform pmf earns in expectation on the
    same tests, which the pools tell exactly; `lift_se` is its standard error, paired over tests,
    None for a single test.
    `captured` is the share of the way from uniform to the arms that were best in hindsight,
    None where all arms are alike.
    """

    policy: str
    rounds: int
    ctr: float
    lift: float
    lift_se: float | None
    captured: float | None


class ReplayVerdict(msgspec.Struct, frozen=True):
    """Whether a replay tells a policy from choosing at random.

    `code` is one of `ok`, `few_tests`, `few_clicks`, `no_difference`; the gravest that applies.
    `lift_interval` is Student's of 95 %, which knows how few the tests are; None for a single one.
    """

    policy: str
    code: str
    words: str
    lift_interval: tuple[float, float] | None


class Curve(NamedTuple):
    """A policy's lift over the first tests, after each of them; all of shape (n_tests,)."""

    rounds: NDArray[np.int64]
    lift: NDArray[np.float64]
    lift_se: NDArray[np.float64]


class ReplayReport(NamedTuple):
    """The results in the order asked for, with what they are held against."""

    results: tuple[PolicyResult, ...]
    verdicts: tuple[ReplayVerdict, ...]
    curves: tuple[Curve, ...]
    tests: int
    uniform_ctr: float
    best_ctr: float

    def to_json(self) -> str:
        """Returns `{"policies": [...], "verdicts": [...]}`, one of each for every policy."""
        told = {"policies": self.results, "verdicts": self.verdicts}
        return msgspec.json.format(msgspec.json.encode(told)).decode()

    def to_table(self) -> Table:
        """Returns the results for people to read."""
        words = "\n".join(f"{one.policy}: {one.code}. {one.words}" for one in self.verdicts)
        table = Table(
            "policy",
            title="What each policy would have earned",
            # names are not markup
            caption=Text(
                f"{self.tests:,} tests. Lift is relative to the uniform pmf's "
                f"{self.uniform_ctr:.3%}, ± one standard error over tests, with an interval of "
                f"95%.\nCaptured is the share of the way to {self.best_ctr:.3%}, the best arms in "
                f"hindsight.\n{words}"
            ),
            caption_justify="left",
        )
        for heading in ("rounds", "CTR", "lift", "interval", "captured"):
            table.add_column(heading, justify="right")
        for row, verdict in zip(self.results, self.verdicts, strict=True):
            spread = "" if row.lift_se is None else f" ± {100 * row.lift_se:.1f}"
            between = verdict.lift_interval
            table.add_row(
                Text(row.policy),
                f"{row.rounds:,}",
                f"{row.ctr:.3%}",
                f"{100 * row.lift:+.1f}{spread} %",
                "–"
                if between is None
                else "{:+.1f} to {:+.1f} %".format(*(100 * x for x in between)),
                "–" if row.captured is None else f"{row.captured:.0%}",
            )
        return table


def make_report(
    policies: Sequence[str],
    *,
    clicks: NDArray[np.float64],
    rounds: NDArray[np.int64],
    uniform: NDArray[np.float64],
    best: NDArray[np.float64],
) -> ReplayReport:
    """Returns the report of what was earned.

    Args:
        policies: their names.
        clicks: earned in each test, shape (n_policies, n_seeds, n_tests).
        rounds: played in each test, shape (n_tests,), like all that follow.
        uniform: clicks that the uniform pmf expects; some above 0.
        best: clicks that the best arms in hindsight expect.
    """
    curves = [_curve(rounds, mean, uniform) for mean in clicks.mean(axis=1)]
    results = tuple(
        _result(name, played, uniform.sum(), best.sum(), curve)
        for name, played, curve in zip(policies, clicks, curves, strict=True)
    )
    return ReplayReport(
        results=results,
        verdicts=tuple(_verdict(row, len(rounds), float(uniform.sum())) for row in results),
        curves=tuple(curves),
        tests=len(rounds),
        uniform_ctr=float(uniform.sum() / rounds.sum()),
        best_ctr=float(best.sum() / rounds.sum()),
    )


def _result(
    policy: str, clicks: NDArray[np.float64], uniform: float, best: float, curve: Curve
) -> PolicyResult:
    n_seeds, n_tests = clicks.shape
    rounds = int(curve.rounds[-1])
    earned = float(clicks.sum() / n_seeds)
    return PolicyResult(
        policy=policy,
        rounds=rounds * n_seeds,
        ctr=earned / rounds,
        lift=float(earned / uniform - 1.0),
        lift_se=float(curve.lift_se[-1]) if n_tests > 1 else None,
        captured=float((earned - uniform) / (best - uniform)) if best > uniform else None,
    )


def _verdict(found: PolicyResult, n_tests: int, uniform: float) -> ReplayVerdict:
    interval = None
    if found.lift_se is not None:
        half = student_quantile(LEVEL, n_tests - 1) * found.lift_se
        interval = found.lift - half, found.lift + half
    if n_tests < LEAST_TESTS or interval is None:
        tests = "Only 1 test" if n_tests == 1 else f"Only {n_tests} tests"
        code = "few_tests"
        words = f"{tests}: how lifts differ from test to test is hardly known."
    elif uniform < LEAST_CLICKS:
        code = "few_clicks"
        words = f"Choosing at random expects {uniform:.0f} clicks in all; too few to rank policies."
    elif interval[0] <= 0.0 <= interval[1]:
        code, words = "no_difference", "No difference to choosing at random can be seen."
    else:
        side = "more" if interval[0] > 0.0 else "less"
        code = "ok"
        words = f"It earns {side} than choosing at random, on tests like these."
    return ReplayVerdict(found.policy, code, words, interval)


def _curve(
    rounds: NDArray[np.int64], clicks: NDArray[np.float64], uniform: NDArray[np.float64]
) -> Curve:
    """Returns the lift after each test as a ratio of sums, with its error by the delta method.

    With d the clicks beyond uniform's u in a test, lift = sum(d) / sum(u), and its variance is
    n/(n-1) sum((d - lift u)^2) / sum(u)^2 (Cochran 1977, Sampling Techniques, eq. 6.13).
    """
    beyond = clicks - uniform
    n = np.arange(1, len(rounds) + 1)
    total = np.cumsum(uniform)
    # no click yet in the first tests leaves the lift open: NaN, which a plot leaves out
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = np.cumsum(beyond) / total
        squares = (
            np.cumsum(beyond**2)
            - 2.0 * lift * np.cumsum(beyond * uniform)
            + lift**2 * np.cumsum(uniform**2)
        )
        lift_se = np.sqrt(np.maximum(squares, 0.0) * n / (n - 1)) / total
    return Curve(np.cumsum(rounds), lift, lift_se)


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
    """Writes the lift of each policy over the rounds played, with 95 % bands, to `path`."""
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
        lift, half = 100.0 * curve.lift, 100.0 * _half(curve)
        axes.plot(curve.rounds, lift, color=colour, linewidth=1.8)
        axes.fill_between(
            curve.rounds, lift - half, lift + half, color=colour, alpha=0.15, linewidth=0
        )
        axes.annotate(
            f"{short(result.policy)}  {ends[number]:+.1f} %",
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
    with rc_context({"svg.fonttype": "none"}), writing_whole(path, mode=BY_UMASK) as file:
        figure.savefig(file, dpi=150, format=path.suffix[1:] or "png")


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """The range of lift in % to show: the bands of the later tests; the first are all noise."""
    half = len(curves[0].rounds) // 5
    lift = np.concatenate([curve.lift[half:] for curve in curves])
    spread = np.nan_to_num(np.concatenate([_half(curve)[half:] for curve in curves]))
    low = 100.0 * min(0.0, np.nanmin(lift - spread))
    high = 100.0 * max(0.0, np.nanmax(lift + spread))
    margin = max(0.05 * (high - low), 0.5)
    return low - margin, high + margin


def _half(curve: Curve) -> NDArray[np.float64]:
    """Returns half the width of the 95 % band: Student's, for the tests so far."""
    freedoms = [min(float(tests), MANY) for tests in range(len(curve.lift_se))]
    t = np.array([student_quantile(0.95, free) if free else np.nan for free in freedoms])
    return t * curve.lift_se


def _spread(heights: NDArray[np.float64], gap: float) -> list[float]:
    """Returns the heights, in the same order, those too close to a lower one moved up by `gap`."""
    order = np.argsort(heights, kind="stable")
    placed = heights[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    moved = np.empty_like(placed)
    moved[order] = placed
    return [float(height) for height in moved]
