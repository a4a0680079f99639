"""What a replay found: lift with its error, as JSON, as a table, and as a curve to plot.

The statistics are here, away from the playing, so that they can be held against textbook cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.table import Table


class PolicyResult(msgspec.Struct, frozen=True):
    """What a policy earned; shares, not percentages.

    `lift` is over what the uniform pmf earns in expectation on the same tests, which the pools
    tell exactly; `lift_se` is its standard error, paired over tests, None for a single test.
    `captured` is the share of the way from uniform to the arms that were best in hindsight,
    None where all arms are alike.
    """

    policy: str
    rounds: int
    ctr: float
    lift: float
    lift_se: float | None
    captured: float | None


class Curve(NamedTuple):
    """A policy's lift over the first tests, after each of them; all of shape (n_tests,)."""

    rounds: NDArray[np.int64]
    lift: NDArray[np.float64]
    lift_se: NDArray[np.float64]


class ReplayReport(NamedTuple):
    """The results in the order asked for, with what they are held against."""

    results: tuple[PolicyResult, ...]
    curves: tuple[Curve, ...]
    tests: int
    uniform_ctr: float
    best_ctr: float

    def to_json(self) -> str:
        """Returns `{"policies": [{policy, rounds, ctr, lift, lift_se, captured}]}`."""
        return msgspec.json.format(msgspec.json.encode({"policies": self.results})).decode()

    def to_table(self) -> Table:
        """Returns the results for people to read."""
        table = Table(
            "policy",
            title="What each policy would have earned",
            caption=(
                f"{self.tests:,} tests. Lift is over the uniform pmf's {self.uniform_ctr:.3%},"
                " ± one standard error over tests.\nCaptured is the share of the way to"
                f" {self.best_ctr:.3%}, the best arms in hindsight."
            ),
        )
        for heading in ("rounds", "CTR", "lift", "captured"):
            table.add_column(heading, justify="right")
        for row in self.results:
            spread = "" if row.lift_se is None else f" ± {100 * row.lift_se:.1f}"
            table.add_row(
                row.policy,
                f"{row.rounds:,}",
                f"{row.ctr:.3%}",
                f"{100 * row.lift:+.1f}{spread} %",
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
    return ReplayReport(
        results=tuple(
            _result(name, played, uniform.sum(), best.sum(), curve)
            for name, played, curve in zip(policies, clicks, curves, strict=True)
        ),
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
