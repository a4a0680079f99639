"""What an evaluation found: as JSON for programs, and as a table for people.

Apart from the judging, so that what is shown can be held against what was found.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from rich.table import Table
from rich.text import Text

from bandit.estimator import Estimate, Interval
from bandit.evaluation.diagnostics import Diagnostics


class EstimateRow(msgspec.Struct, frozen=True):
    """A policy's value by one estimator, and by how much it differs from the baseline's.

    `difference` is None for the baseline itself, and for estimators that give none.
    """

    estimator: str
    value: float | None
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None


class PolicyEvaluation(msgspec.Struct, frozen=True):
    """All estimates of one policy; `skipped` says of what could not be used why."""

    policy: str
    estimates: tuple[EstimateRow, ...]
    diagnostics: Diagnostics
    skipped: dict[str, str]


class Evaluation(NamedTuple):
    """What each policy would have earned on one log of `n` decisions."""

    n: int
    level: float
    baseline: str
    policies: tuple[PolicyEvaluation, ...]

    def to_json(self) -> str:
        """Returns `{n, level, baseline, policies: [{policy, estimates, diagnostics, skipped}]}`."""
        return msgspec.json.format(msgspec.json.encode(self._asdict())).decode()

    def to_table(self) -> Table:
        """Returns the estimates, and below them what to think of them."""
        table = Table(
            "policy",
            "estimator",
            title="What each policy would have earned",
            caption=f"{self.n:,} decisions; intervals of {self.level:.0%}.\n" + self.remarks(),
            caption_justify="left",
        )
        for heading in ("value", "interval", f"over {self.baseline}"):
            table.add_column(heading, justify="right")
        for found in self.policies:
            for number, row in enumerate(found.estimates):
                table.add_row(
                    Text("" if number else found.policy),
                    row.estimator,
                    shown(row.value),
                    shown_interval(row.interval),
                    shown_interval(row.difference_interval, sign="+"),
                )
            table.add_section()
        return table

    def remarks(self) -> str:
        """Returns a line a policy: what its log is worth, and the verdict."""
        lines = []
        for found in self.policies:
            known = found.diagnostics
            lines.append(
                f"{found.policy}: {known.verdict.code}. {known.verdict.words} Effective sample "
                f"{known.effective:,.0f}, mean weight {known.mean_weight:.3f}, largest "
                f"{known.max_weight:.3g}."
            )
            lines += [f"{found.policy}: no {name}: {why}." for name, why in found.skipped.items()]
        return "\n".join(lines)


def make_row(name: str, found: Estimate, difference: Estimate | None) -> EstimateRow:
    """Returns the row of one estimator; a difference of no decisions is none."""
    apart = difference if difference is not None and difference.n else Estimate(0, None, None)
    return EstimateRow(name, found.value, found.interval, apart.value, apart.interval)


def shown(value: float | None, *, form: str = ".4g") -> str:
    """Returns the value with four significant digits; a dash for none."""
    return "–" if value is None else format(round(value, 12) + 0.0, form)


def shown_interval(interval: Interval | None, *, sign: str = "") -> str:
    """Returns `low to high` with three significant digits; a dash for none."""
    if interval is None:
        return "–"
    form = f"{sign}.3g"
    return f"{shown(interval.low, form=form)} to {shown(interval.high, form=form)}"
