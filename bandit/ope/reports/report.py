"""What an evaluation found: as JSON for programs, and as a table for people.

Apart from the judging, so that what is shown can be held against what was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
from rich.table import Table
from rich.text import Text

from bandit.distributions import quantile
from bandit.ope.checks.diagnostics import Calibration, Diagnostics
from bandit.ope.creatives import CreativeEstimate
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.estimators.slates import Slates, SlatesBySlot
from bandit.ope.intervals import Interval
from bandit.ope.readers.rows import SkippedRows
from bandit.ope.reports.trends import Part
from streams.counting import count_of

SHOWN: Final = 20
LEAST_IN_STRETCH: Final = 50
DAY_MS: Final = 86_400_000
CYCLE: Final = 0.2
"""By how much a value may go up and down within a day, as a share of it, and still be steady."""
DRIFTED: Final = 3.72
"""Standard deviations of a normal variable that one in ten thousand exceeds."""


class EstimateRow(msgspec.Struct, frozen=True):
    """A policy's value by one estimator, and by how much it differs from the baseline's.

    `difference` is in rewards, and `lift` the same as a share of the baseline's value: value /
    baseline - 1. Both are None for the baseline itself, and for estimators that give none; their
    intervals are None as well where the verdict says that the log cannot tell. `caveat` is
    `propensities_estimated` where the log had none, and None else.
    """

    estimator: str
    value: float | None
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None
    caveat: str | None = None
    lift: float | None = None
    lift_interval: Interval | None = None


ValueOf: TypeAlias = Literal["fixed", "learning", "exploring"]
VALUE_OF: Final[dict[ValueOf, str]] = {
    "fixed": "The value of a policy that stays as it is.",
    "learning": "The value of a policy while it learned from the whole log, also from what it "
    "would not have tried; explore: counts what it has to find out.",
    "exploring": "The value of a policy while it learned from what it would have tried itself.",
}


class PolicyEvaluation(msgspec.Struct, frozen=True):
    """All estimates of one policy.

    Attributes:
        policy: as it was named.
        estimates: a row an estimator.
        diagnostics: whether to believe them.
        skipped: of what could not be used, why.
        over_time: the value by stretches of time, by DR if there are scores, else by SNIPS.
        segments: likewise by the values of each segment that was asked for.
        slots: what each slot is worth, where `slate_cascade` or `slate_independent` was asked for.
        value_of: "fixed", a policy that stays as it is; "learning", one that learned from the whole
            log as it went; or "exploring", one that learned from what it would have tried itself.
        matched: how many decisions `replay` is of: those that the policy made too.
        chosen: the estimator that `cross_validated` chose.
    """

    policy: str
    estimates: tuple[EstimateRow, ...]
    diagnostics: Diagnostics
    skipped: dict[str, str]
    over_time: tuple[Part, ...] = ()
    segments: dict[str, tuple[Part, ...]] = {}
    slots: tuple[Part, ...] = ()
    value_of: ValueOf = "fixed"
    matched: int | None = None
    chosen: str | None = None


class Evaluation(NamedTuple):
    """What each policy would have earned on one log of `n` decisions.

    `warnings` hold for every figure; `calibration` is of the reward model, if there was one, and
    `creatives` of each creative, if that was asked for. `skipped` counts the rows of the log that
    are no decision, by reason. `source` is the log's file, if it is one; `since_ms` and `until_ms`
    are the times of its first and last decision, if it has times, and `version` is of the copyloop
    that judged it.
    """

    n: int
    level: float
    baseline: str
    policies: tuple[PolicyEvaluation, ...]
    warnings: tuple[str, ...] = ()
    calibration: Calibration | None = None
    creatives: tuple[CreativeEstimate, ...] = ()
    skipped: tuple[SkippedRows, ...] = ()
    source: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    version: str = metadata.version("copyloop")

    def to_json(self) -> str:
        """Returns the fields as one JSON object."""
        return msgspec.json.format(msgspec.json.encode(self._asdict())).decode()

    def to_table(self) -> Table:
        """Returns the estimates, and below them what to think of them."""
        table = Table(
            "policy",
            "estimator",
            title="What each policy would have earned",
            # names are not markup
            caption=Text(
                f"{count_of(self.n, 'decision')}; intervals of {self.level:.0%}. Differences to "
                f"{self.baseline} are in rewards a decision; --format json has them as lift.\n"
                + self.remarks()
            ),
            caption_justify="left",
        )
        for heading in ("value", "interval", f"over {self.baseline}"):
            table.add_column(Text(heading), justify="right")
        for found in self.policies:
            for number, row in enumerate(found.estimates):
                table.add_row(
                    Text("" if number else found.policy),
                    row.estimator,
                    shown(row.value) + ("*" if row.caveat else ""),
                    shown_interval(row.interval),
                    shown_interval(row.difference_interval, sign="+"),
                )
            table.add_section()
        return table

    def remarks(self) -> str:
        """Returns what to think of it: warnings, and what its log is worth for each policy."""
        lines = [f"* {warning}" for warning in self.warnings]
        if self.calibration is not None:
            lines.append(self.calibration.words)
        for found in self.policies:
            known = found.diagnostics
            lines.append(
                f"{found.policy}: {known.verdict.code}. {known.verdict.words} Effective sample "
                f"{known.effective:,.0f}, mean weight {known.mean_weight:.3f}, largest "
                f"{known.max_weight:.3g}."
            )
            lines[-1] += f" {VALUE_OF[found.value_of]}"
            if found.matched is not None and found.matched < self.n:
                part = f"{found.matched:,} of {count_of(self.n, 'decision')}"
                lines.append(f"{found.policy}: replay is of the {part} that the policy made too.")
            if found.chosen is not None:
                lines.append(f"{found.policy}: cross_validated chose {found.chosen}.")
            lines += [f"{found.policy}: no {name}: {why}." for name, why in found.skipped.items()]
            if (changed := drift(found.over_time)) is not None:
                lines.append(f"{found.policy}: {changed}")
        return "\n".join(lines)


def parts_table(found: PolicyEvaluation, title: str, parts: Sequence[Part]) -> Table:
    """Returns a policy's value by parts of the log, beside what the log's own policy earned."""
    table = Table(title=Text(found.policy))
    table.add_column(Text(title))
    for heading in ("decisions", "value", "interval", "logged"):
        table.add_column(heading, justify="right")
    for part in parts[:SHOWN]:
        table.add_row(
            Text(part.label),
            f"{part.n:,}",
            shown(part.value),
            shown_interval(part.interval),
            shown(part.logged),
        )
    if len(parts) > SHOWN:
        table.caption = f"and {len(parts) - SHOWN} smaller ones, which --format json has"
    return table


def creatives_table(found: Evaluation) -> Table:
    """Returns what each creative earns, the surest first."""
    table = Table("creative", title="What each creative earns, wherever it can be shown")
    for heading in ("shown", "effective", "value", "interval"):
        table.add_column(heading, justify="right")
    for one in found.creatives[:SHOWN]:
        table.add_row(
            Text(one.creative_id),
            f"{one.shown:,}",
            f"{one.effective:,.0f}",
            shown(one.value),
            shown_interval(one.interval),
        )
    if len(found.creatives) > SHOWN:
        table.caption = f"and {len(found.creatives) - SHOWN} more, which --format json has"
    return table


def drift(over_time: Sequence[Part]) -> str | None:
    """Returns, in words, that a value changed with time; None where chance would do as much.

    By the chi-squared statistic of the stretches' values around their weighted mean (Cochran
    1954), in the approximation of Wilson & Hilferty (1931), at one in ten thousand. Stretches
    shorter than a day may differ by a fifth as well, as the hours of any day do.
    """
    known = [
        (part, part.value, (part.interval.high - part.interval.low) / 2.0)
        for part in over_time
        if part.interval is not None and part.value is not None and part.n >= LEAST_IN_STRETCH
    ]
    if len(known) < 3:
        return None
    z = quantile(known[0][0].interval.level) if known[0][0].interval else 1.0
    values = [value for _, value, _ in known]
    starts = sorted(int(part.label) for part, _, _ in known)
    within_day = min(later - one for one, later in pairwise(starts)) < DAY_MS
    swing = CYCLE * abs(sum(values)) / len(values) if within_day else 0.0
    weights = [1.0 / ((half / z) ** 2 + swing * swing) for _, _, half in known]
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    statistic = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True))
    free = len(known) - 1
    deviations = ((statistic / free) ** (1 / 3) - 1 + 2 / (9 * free)) / math.sqrt(2 / (9 * free))
    if deviations < DRIFTED:
        return None
    return (
        f"its value changed over time, between {shown(min(values))} and {shown(max(values))}; "
        "the average over the log may not be what comes next."
    )


def slot_parts(running: Mapping[str, RunningEstimate[Slates]], level: float) -> tuple[Part, ...]:
    """Returns what each slot is worth by the estimator of slates that allows for most."""
    for name in ("slate_cascade", "slate_independent"):
        formula = running[name].formula if name in running else None
        if not isinstance(formula, SlatesBySlot):
            continue
        held, support, parts = running[name].sums, running[name].support, []
        for number in range(formula.slots if held.n > 1 else 0):
            found = formula.slot(held.mean, number)
            if found is None:
                parts.append(Part(str(number), held.n, None, None, None))
                continue
            interval = support.interval(found.value, held.error(found.gradient), level)
            parts.append(Part(str(number), held.n, found.value, interval, None))
        return tuple(parts)
    return ()


def shown(value: float | None, *, form: str = ".4g") -> str:
    """Returns the value with four significant digits; a dash for none."""
    return "–" if value is None else format(round(value, 12) + 0.0, form)


def shown_lift(lift: float | None, interval: Interval | None) -> str:
    """Returns a relative difference in percent, with its interval if there is one; a dash for none.

    >>> shown_lift(0.1234, Interval("log_normal", 0.95, 0.05, 0.2))
    '+12.3 % (+5.0 to +20.0 %)'
    """
    if lift is None:
        return "–"
    if interval is None:
        return f"{100 * lift:+.1f} %"
    return f"{100 * lift:+.1f} % ({100 * interval.low:+.1f} to {100 * interval.high:+.1f} %)"


def shown_interval(interval: Interval | None, *, sign: str = "") -> str:
    """Returns `low to high` with three significant digits; a dash for none."""
    if interval is None:
        return "–"
    form = f"{sign}.3g"
    return f"{shown(interval.low, form=form)} to {shown(interval.high, form=form)}"
