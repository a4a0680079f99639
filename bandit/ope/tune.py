"""Which settings of a policy would have earned most: all candidates fold one log at once.

Whoever takes the best of many has taken the luckiest too. So the log's first part picks the
winner, by progressive validation, and the rest, which picked nothing, says what it is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, product
from typing import Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bandit.errors import EstimateError, PolicySpecError
from bandit.ope.base import Batch
from bandit.ope.batches import make_batch
from bandit.ope.before import Open, show_progress
from bandit.ope.candidate import CandidatePolicy, Options, View, view_of
from bandit.ope.diagnostics import Diagnostics
from bandit.ope.estimators import FORMULAS
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.evaluate import BATCH_SIZE
from bandit.ope.intervals import LEVEL, Interval
from bandit.ope.models import RewardModel, open_model
from bandit.ope.policies import Candidate
from bandit.ope.readers.rows import Reading, SkippedRows, reading
from bandit.ope.report import shown, shown_interval
from bandit.parallel import fan_out
from bandit.policies import open_policy, parse_value
from streams.events import PolicySpec

SHARE: Final = 0.5
BASELINE: Final = "logged"


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


class Tuning(NamedTuple):
    """What a search found; candidates are in the order of their value where the winner is picked.

    `n` is how many decisions picked, and `held_out` how many told what the winner is worth.
    `skipped` counts the rows of the log that are no decision; `warnings` hold for every figure.
    """

    n: int
    held_out: int
    level: float
    estimator: str
    baseline: str
    candidates: tuple[TunedPolicy, ...]
    skipped: tuple[SkippedRows, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def winner(self) -> TunedPolicy:
        """The candidate that was best on the first part."""
        return self.candidates[0]

    def to_json(self) -> str:
        """Returns the fields as one JSON object, the winner first."""
        return msgspec.json.format(msgspec.json.encode(self._asdict())).decode()

    def to_table(self) -> Table:
        """Returns the candidates, the best first, and below them what to think of the winner."""
        winner = self.winner
        verdict = winner.diagnostics.verdict
        table = Table(
            Column("policy", overflow="fold"),
            title="Which settings would have earned most",
            # names are not markup
            caption=Text(
                f"Picked by {self.n:,} decisions; the values on the right are of the "
                f"{self.held_out:,} after them, by {self.estimator}, with intervals of "
                f"{self.level:.0%}.\nThe winner: {verdict.code}. {verdict.words}"
                + "".join(f"\n* {words}" for words in self.warnings)
            ),
            caption_justify="left",
        )
        for heading in ("picked by", "value", "interval", f"over {self.baseline}"):
            table.add_column(Text(heading), justify="right")
        for found in self.candidates:
            table.add_row(
                Text(_as_text(found.spec)),
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
    level: float = LEVEL,
    processes: int = 1,
    console: Console | None = None,
) -> Tuning:
    """Returns how the candidates did, each asked about a decision before it learned of it.

    Args:
        log: opens the log from its start.
        candidates: policies to try.
        baseline: what they are compared with; see `open_target`.
        share: of the log that picks the winner, above 0 and below 1.
        model: the reward model of DR; None judges by SNIPS.
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
    unique = list({_as_text(spec): spec for spec in candidates}.values())
    fitted, n, read = _fit(log, model)
    if n < 4:
        raise EstimateError(f"the log holds {n} decisions; a search needs some for each part")
    estimator = "snips" if fitted is None else "dr"
    options = Options(estimators=(estimator,), baseline=baseline, level=level)
    cut = max(round(n * share), 1)
    count = max(min(processes, len(unique)), 1)
    jobs = [
        partial(_fold, log, unique[number::count], options, cut, fitted) for number in range(count)
    ]
    found: list[TunedPolicy] = []
    with show_progress(console, "{task.percentage:.0f} %") as progress:
        task = progress.add_task(f"trying {len(unique)} settings", total=n)
        for job, told in fan_out(jobs, processes):
            if isinstance(told, int):
                progress.advance(task, told if job == 0 else 0)
            else:
                found += told
    ranked = sorted(
        found, key=lambda c: (c.selection is None, -(c.selection or 0.0), _as_text(c.spec))
    )
    return Tuning(
        cut,
        n - cut,
        level,
        estimator,
        baseline,
        tuple(ranked),
        read.skipped,
        (*read.notes, *map(str, read.skipped)),
    )


class _Trial:
    """A candidate as it folds the log: the first part picks, and the rest tells its value."""

    def __init__(self, policy: str | Candidate, options: Options) -> None:
        self.picking: RunningEstimate[Batch] = RunningEstimate(FORMULAS[options.estimators[0]])
        self.telling = CandidatePolicy(policy, options)

    def take(self, view: View, *, picks: bool) -> None:
        if picks:
            answers = [self.telling.target.answer(event) for event in view.events]
            self.picking.add(make_batch(view.events, answers, view.scores))
        else:
            self.telling.take(view)

    def result(self, spec: PolicySpec) -> TunedPolicy:
        told = self.telling.result()
        row = told.estimates[0]
        return TunedPolicy(
            spec=spec,
            selection=self.picking.get().value,
            value=row.value,
            interval=row.interval,
            difference=row.difference,
            difference_interval=row.difference_interval,
            diagnostics=told.diagnostics,
        )


def _fold(
    log: Open,
    specs: Sequence[PolicySpec],
    options: Options,
    cut: int,
    model: RewardModel | None,
) -> Iterator[int | list[TunedPolicy]]:
    """Yields how many decisions were folded, as they are, and then the candidates."""
    base = _Trial(options.baseline, options)
    trials = [_Trial(Candidate(_as_text(spec), spec), options) for spec in specs]
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
    yield [trial.result(spec) for spec, trial in zip(specs, trials, strict=True)]


def _fit(log: Open, name: str | None) -> tuple[RewardModel | None, int, Reading]:
    """Returns the reward model, how many decisions there are, and the log as it was read."""
    model, n, events = None if name is None else open_model(name), 0, reading(log())
    for event in events:
        n += 1
        if model is not None:
            model.learn(event)
    if model is not None and n:
        model.fit()
    return model, n, events


def _as_text(spec: PolicySpec) -> str:
    """Returns the spec as words for `--policy`."""
    rest = [f"{key}={value}" for key, value in spec.items() if key != "name"]
    if spec.get("name") == "vw":
        return f"vw:{spec.get('args', '')}"
    return f"{spec.get('name')}:{','.join(rest)}" if rest else str(spec.get("name"))


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
