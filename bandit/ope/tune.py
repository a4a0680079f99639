"""Which settings of a policy would have earned most: all candidates fold one log at once.

Whoever takes the best of many has taken the luckiest too. So the log's first part picks the
winner, by progressive validation, and the rest, which picked nothing, says what it is worth.

A candidate that learned from all that was logged would get for nothing what it has to explore
for, and never to explore would always win. So each learns from what it would have tried itself,
where the log was made with enough chance for that.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, product
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bandit.distributions import quantile
from bandit.errors import EstimateError, PolicySpecError
from bandit.ope.base import Batch
from bandit.ope.batches import make_batch
from bandit.ope.before import Open, show_progress
from bandit.ope.candidate import CandidatePolicy, Options, View, view_of
from bandit.ope.checks.diagnostics import Diagnostics
from bandit.ope.estimators import FORMULAS
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.evaluate import BATCH_SIZE
from bandit.ope.intervals import LEVEL, Interval
from bandit.ope.models import RewardModel, open_model
from bandit.ope.policies import RUNS, Candidate, ManyRuns, text_of
from bandit.ope.readers.rows import Reading, SkippedRows, reading
from bandit.ope.repeats import Repeats, with_repeats
from bandit.ope.reports.report import shown, shown_interval
from bandit.parallel import fan_out
from bandit.policies import open_policy, parse_value
from streams.counting import count_of
from streams.events import PolicySpec

SHARE: Final = 0.5
BASELINE: Final = "logged"
LEAST_TRIED: Final = 500
"""From so many decisions of its own on, a candidate can be judged by what it finds out itself."""
RAREST: Final = 0.01
"""The share of decisions whose least propensity may be too low to be tried in proportion."""

Evidence: TypeAlias = Literal["own", "all"]
"""What candidates learned from: what they would have tried themselves, or all that was logged."""


class TunedPolicy(msgspec.Struct, frozen=True):
    """One candidate's record.

    Attributes:
        spec: the policy, in full.
        selection: its value on the part that picks the winner.
        value: its value on the rest.
        interval: of that value.
        difference: of that value to the baseline's.
        difference_interval: of the difference.
        diagnostics: of the rest.
    """

    spec: PolicySpec
    selection: float | None
    value: float | None
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None
    diagnostics: Diagnostics

    def with_repeats(self, words: str | None) -> TunedPolicy:
        """Returns the record with a verdict that says that users repeat, if they do."""
        return msgspec.structs.replace(self, diagnostics=with_repeats(self.diagnostics, words))


class Tuning(NamedTuple):
    """What a search found; candidates are in the order of their value where the winner is picked.

    `n` is how many decisions picked, and `held_out` how many told what the winner is worth.
    `skipped` counts the rows of the log that are no decision; `warnings` hold for every figure.
    `learned_from` is "own" where each candidate learned from what it would have tried itself, about
    `tried` decisions in all, and "all" where the log has too little chance in it for that.
    """

    n: int
    held_out: int
    level: float
    estimator: str
    baseline: str
    candidates: tuple[TunedPolicy, ...]
    learned_from: Evidence = "own"
    tried: int = 0
    skipped: tuple[SkippedRows, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def winner(self) -> TunedPolicy:
        """The candidate that was best on the first part."""
        return self.candidates[0]

    def to_json(self) -> str:
        """Returns the fields as one JSON object, the winner first."""
        return msgspec.json.format(msgspec.json.encode(self._asdict())).decode()

    @property
    def words(self) -> str:
        """What the values are of, and so what the search can tell."""
        if self.learned_from == "own":
            return (
                f"Each candidate learned, in {RUNS} runs, from what it would have tried itself, "
                f"about {count_of(self.tried, 'decision')} a run: values are of the later part of "
                "so many."
            )
        return (
            f"The log would let a candidate try only {count_of(self.tried, 'decision')} of its "
            "own, so each learned from all of it: what exploring costs is in the values, what "
            "it finds is not. Do not choose how much to explore by them; give the policy that "
            "logs a floor."
        )

    def to_table(self) -> Table:
        """Returns the candidates, the best first, and below them what to think of the winner."""
        winner = self.winner
        verdict = winner.diagnostics.verdict
        table = Table(
            Column("policy", overflow="fold"),
            title="Which settings would have earned most",
            # names are not markup
            caption=Text(
                f"Picked by {count_of(self.n, 'decision')}; the values on the right are of the "
                f"{self.held_out:,} after them, by {self.estimator}, with intervals of "
                f"{self.level:.0%}.\n{self.words}\nThe winner: {verdict.code}. {verdict.words}"
                + "".join(f"\n* {words}" for words in self.warnings)
            ),
            caption_justify="left",
        )
        for heading in ("picked by", "value", "interval", f"over {self.baseline}"):
            table.add_column(Text(heading), justify="right")
        for found in self.candidates:
            table.add_row(
                Text(text_of(found.spec)),
                shown(found.selection),
                shown(found.value),
                shown_interval(found.interval),
                shown_interval(found.difference_interval, sign="+"),
            )
        return table


def grid(policy: PolicySpec, ranges: Sequence[tuple[str, Sequence[object]]]) -> list[PolicySpec]:
    """Returns the policy with every combination of the values of some parameters, checked.

    Raises:
        PolicySpecError: a policy or a parameter that there is not.

    >>> [spec["alpha"] for spec in grid({"name": "thompson"}, [("alpha", [1, 2])])]
    [1.0, 2.0]
    """
    names = [name for name, _ in ranges]
    combinations = product(*(values for _, values in ranges))
    return [open_policy(policy | dict(zip(names, c, strict=True))).spec for c in combinations]


def tune(
    log: Open,
    candidates: Sequence[PolicySpec],
    *,
    baseline: str = BASELINE,
    share: float = SHARE,
    model: str | None = "ridge",
    unit: str | None = None,
    level: float = LEVEL,
    processes: int = 1,
    console: Console | None = None,
) -> Tuning:
    """Returns how the candidates did, each asked about a decision before it learned of it.

    A candidate learns from a decision if it would have made it too, by rejection sampling (Dudík
    et al. 2012, section 4), at a rate that the log's least propensities allow. Its value is the
    mean over the log, by all decisions, of what it was at each, and over several runs; intervals
    hold the luck of the runs, too. Where a run would come to fewer than 500 decisions, candidates
    learn from all instead, and `Tuning.learned_from` says so.

    Args:
        log: opens the log from its start.
        candidates: policies to try.
        baseline: what they are compared with; see `open_target`.
        share: of the log that picks the winner, above 0 and below 1.
        model: the reward model of DR; None judges by SNIPS.
        unit: whose decisions depend on each other; see `units_of`.
        level: of the intervals.
        processes: candidates are shared among so many.
        console: where progress is shown.

    Raises:
        EstimateError: there are no candidates, or too few decisions for both parts.
        PolicyError: a policy that does not exist, or cannot be asked.
        FeatureError: features that cannot be read.
        ReaderError: the log cannot be read.
    """
    if not candidates:
        raise EstimateError("there is no candidate to try; name a policy")
    if not 0.0 < share < 1.0:
        raise EstimateError(f"the share that picks is {share}; expected above 0 and below 1")
    unique = list({text_of(spec): spec for spec in candidates}.values())
    fitted, n, once_in, read, repeats = _fit(log, model, unit)
    if n < 4:
        raise EstimateError(
            f"the log holds {count_of(n, 'decision')}; a search needs some for each part"
        )
    estimator = "snips" if fitted is None else "dr"
    options = Options(estimators=(estimator,), baseline=baseline, level=level, unit=unit)
    cut, tried = max(round(n * share), 1), int(n / once_in)
    own = tried >= LEAST_TRIED
    named = [Candidate(text_of(spec), spec, once_in if own else None) for spec in unique]
    count = max(min(processes, len(unique)), 1)
    jobs = [
        partial(_fold, log, named[number::count], options, cut, fitted) for number in range(count)
    ]
    found: list[TunedPolicy] = []
    with show_progress(console, "{task.percentage:.0f} %") as progress:
        task = progress.add_task(f"trying {len(unique)} settings", total=n)
        for job, told in fan_out(jobs, processes):
            if isinstance(told, int):
                progress.advance(task, told if job == 0 else 0)
            else:
                found += [each.with_repeats(repeats) for each in told]
    ranked = sorted(
        found, key=lambda c: (c.selection is None, -(c.selection or 0.0), text_of(c.spec))
    )
    return Tuning(
        cut,
        n - cut,
        level,
        estimator,
        baseline,
        tuple(ranked),
        "own" if own else "all",
        tried,
        read.skipped,
        (*read.notes, *map(str, read.skipped)),
    )


class _Trial:
    """A candidate as it folds the log: the first part picks, and the rest tells its value."""

    def __init__(self, policy: str | Candidate, options: Options) -> None:
        self.picking: RunningEstimate[Batch] = RunningEstimate(FORMULAS[options.estimators[0]])
        self.telling = CandidatePolicy(policy, options)
        self._picked = np.zeros(RUNS), np.zeros(RUNS)

    def take(self, view: View, *, picks: bool) -> None:
        target = self.telling.target
        if picks:
            answers = [target.answer(event) for event in view.events]
            self.picking.add(make_batch(view.events, answers, view.scores))
            if isinstance(target, ManyRuns):
                self._picked = target.weights.copy(), target.earned.copy()
        else:
            self.telling.take(view)

    def result(self, spec: PolicySpec) -> TunedPolicy:
        told = self.telling.result()
        row = told.estimates[0]
        judge = self.telling.estimators[row.estimator]
        support = judge.support if isinstance(judge, RunningEstimate) else self.picking.support
        low, high = support.ends
        return TunedPolicy(
            spec=spec,
            selection=self.picking.get().value,
            value=row.value,
            interval=self._widened(row.value, row.interval, (low, high)),
            difference=row.difference,
            difference_interval=self._widened(
                row.difference, row.difference_interval, (low - high, high - low)
            ),
            diagnostics=told.diagnostics,
        )

    def _widened(
        self, value: float | None, interval: Interval | None, ends: tuple[float, float]
    ) -> Interval | None:
        """Returns the interval with what other runs would have changed, between these ends."""
        target = self.telling.target
        if value is None or interval is None or not isinstance(target, ManyRuns):
            return interval
        weights, earned = target.weights - self._picked[0], target.earned - self._picked[1]
        values = earned / np.maximum(weights, 1e-12)
        luck = quantile(interval.level) * float(values.std(ddof=1)) / math.sqrt(len(values))
        low = max(value - math.hypot(value - interval.low, luck), ends[0])
        high = min(value + math.hypot(interval.high - value, luck), ends[1])
        return msgspec.structs.replace(interval, low=low, high=high)


def _fold(
    log: Open,
    candidates: Sequence[Candidate],
    options: Options,
    cut: int,
    model: RewardModel | None,
) -> Iterator[int | list[TunedPolicy]]:
    """Yields how many decisions were folded, as they are, and then the candidates."""
    base = _Trial(options.baseline, options)
    trials = [_Trial(candidate, options) for candidate in candidates]
    events, done = iter(log()), 0
    # no batch lies in both parts
    while batch := list(islice(events, min(BATCH_SIZE, cut - done) if done < cut else BATCH_SIZE)):
        view, picks = view_of(batch, options, model), done < cut
        base.take(view, picks=picks)
        for trial in trials:
            trial.take(view, picks=picks)
            if not picks:
                trial.telling.compare(base.telling)
        done += len(batch)
        yield len(batch)
    yield [trial.result(c.spec) for c, trial in zip(candidates, trials, strict=True)]


class _Fitted(NamedTuple):
    """What is known of a log before candidates are tried on it.

    `once_in` is 1 over the least propensity above 0, but for the decisions with the rarest.
    """

    model: RewardModel | None
    n: int
    once_in: float
    read: Reading
    repeats: str | None


def _fit(log: Open, name: str | None, unit: str | None) -> _Fitted:
    """Reads the log once, and returns what is known of it."""
    model, least, repeats = None if name is None else open_model(name), array("d"), Repeats(unit)
    events = reading(log())
    while batch := list(islice(events, BATCH_SIZE)):
        repeats.add(batch)
        for event in batch:
            least.append(min((p for p in event.decision.pmf if p > 0.0), default=1.0))
            if model is not None:
                model.learn(event)
    if least:
        repeats.check()
        if model is not None:
            model.fit()
    once_in = 1.0 / float(np.quantile(least, RAREST, method="lower")) if least else 1.0
    return _Fitted(model, len(least), once_in, events, repeats.words())


def parse_range(text: str) -> tuple[str, list[object]]:
    """Returns a parameter and the values to try, from `alpha=1,2,5`.

    Raises:
        PolicySpecError: it is not of that form.

    >>> parse_range("alpha=1,2.5")
    ('alpha', [1, 2.5])
    """
    name, separator, values = text.partition("=")
    if not separator or not values:
        raise PolicySpecError(f"{text!r} names no values; expected PARAMETER=VALUE,VALUE,...")
    return name, [parse_value(word) for word in values.split(",")]
