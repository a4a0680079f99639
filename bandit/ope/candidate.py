"""One policy under judgement: its estimators, its differences to the baseline, its diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from bandit.errors import EstimateError, RewardOutside
from bandit.ope.base import (
    UNIT,
    Batch,
    Estimate,
    Estimator,
    Floats,
    RewardRange,
    Units,
)
from bandit.ope.batches import (
    Kinds,
    Pages,
    actions_assumed,
    expected_squares,
    make_batch,
    segment_of,
    units_of,
    unsupported,
)
from bandit.ope.checks.diagnostics import Diagnosis
from bandit.ope.checks.rounding import NEGLIGIBLE, Digits
from bandit.ope.estimators import FORMULAS, SLATES, WITH_MODEL, open_estimator, slate_formula
from bandit.ope.estimators.compare import BettingDifference, ValueDifference
from bandit.ope.estimators.cross_validated import CrossValidated
from bandit.ope.estimators.doubly_robust import Dr
from bandit.ope.estimators.importance import Replay, Snips
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.estimators.slates import Slates
from bandit.ope.intervals import LEVEL
from bandit.ope.models import RewardModel
from bandit.ope.policies import (
    Answer,
    Candidate,
    Exploring,
    Learning,
    ManyRuns,
    TargetPolicy,
    name_of,
    open_target,
)
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.reports.report import EstimateRow, PolicyEvaluation, ValueOf, slot_parts
from bandit.ope.reports.trends import BySegment, ByTime
from bandit.policy import Pmf, sample, sample_seed
from streams.events import Decision

DEFAULT: Final = ("snips", "dr", "blend", "betting")
ALIKE: Final = 0.8
NO_PMF: Final = "the policy's pmf is not known"
NOT_EVEN: Final = "the log was not made by choosing uniformly at random"
NO_ACTIONS: Final = "the log does not name its actions"
NOT_KNOWN: Final = Estimate(0, None, None)


@dataclass(frozen=True)
class Options:
    """What is asked of an evaluation.

    Attributes:
        estimators: names of `ESTIMATORS` and `SLATES`.
        baseline: the policy that the others are compared with; evaluated as well.
        level: of the intervals.
        reward_range: for `betting` and `bernstein`.
        max_weight: for `betting` and `explore:`; the largest that a weight can be, if known.
        bootstrap: have intervals from the bootstrap where they would be normal.
        model: the reward model, one of `MODELS`.
        segments: see `segment_of`.
        train: so many decisions at the log's start are learned from, and do not count.
        alike: for `mips`; see `Kinds`.
        creatives: judge each creative by itself as well.
        unit: whose decisions depend on each other; see `units_of`.
    """

    estimators: tuple[str, ...] = DEFAULT
    baseline: str = "logged"
    level: float = LEVEL
    reward_range: RewardRange = UNIT
    max_weight: float | None = None
    bootstrap: bool = False
    model: str = "ridge"
    segments: tuple[str, ...] = ()
    train: int = 0
    alike: float = ALIKE
    creatives: bool = False
    unit: str | None = None


class View(NamedTuple):
    """Decisions of the log, with what is the same for every policy."""

    events: Sequence[LoggedEvent]
    scores: Sequence[Floats] | None
    timestamp_ms: Floats
    labels: Mapping[str, Sequence[str]]
    units: Units | None = None


def view_of(events: Sequence[LoggedEvent], options: Options, model: RewardModel | None) -> View:
    """Returns the view of some decisions, scored by the model if there is one."""
    return View(
        events,
        None if model is None else model.scores(events),
        np.array([event.decision.timestamp_ms for event in events], dtype=np.float64),
        {segment: [segment_of(e, segment) for e in events] for segment in options.segments},
        units_of(events, options.unit),
    )


class Support(NamedTuple):
    """What is known of how a log's pmfs cover a policy's; see `Diagnosis.add`."""

    unsupported: float | None = None
    n_actions: Floats | None = None
    squares: Floats | None = None


class CandidatePolicy:
    """One policy, with everything that is kept of it; added up with `+` where none learns."""

    def __init__(self, policy: str | Candidate, options: Options, slots: int = 0) -> None:
        self.policy = policy
        self.name = name_of(policy)
        self.options = options
        self.target = open_target(policy, max_weight=options.max_weight)
        reward_range, max_weight = options.reward_range, options.max_weight
        plain = [name for name in options.estimators if name not in SLATES]
        self.estimators: dict[str, Estimator] = {
            name: open_estimator(
                name,
                reward_range=reward_range,
                max_weight=max_weight,
                bootstrap=options.bootstrap,
            )
            for name in plain
        }
        self.model: RewardModel | None = None
        self.skipped: dict[str, str] = {}
        self.batch: Batch | None = None
        self._robust: Batch | None = None
        self._diagnosis = Diagnosis()
        self._by_time: ByTime | None = None
        self._segments: dict[str, BySegment] = {}
        self._kinds = Kinds(options.alike) if "mips" in plain else None
        self._differences: dict[str, ValueDifference[Batch] | BettingDifference] = {
            name: ValueDifference(FORMULAS[name], FORMULAS[name])
            for name in plain
            if name in FORMULAS
        }
        if "betting" in plain:
            self._differences["betting"] = BettingDifference(
                reward_range=reward_range, max_weight=max_weight
            )
        named = [name for name in options.estimators if name in SLATES]
        formulas = {name: slate_formula(name, max(slots, 1)) for name in named}
        self._pages = Pages(slots) if named else None
        self.slates: Slates | None = None
        self._of_slates = {name: RunningEstimate(formula) for name, formula in formulas.items()}
        self._slate_differences = {name: ValueDifference(of, of) for name, of in formulas.items()}

    def take(self, view: View) -> None:
        """Asks the policy about each decision, and hands the answers to the estimators."""
        answers = [self.target.answer(event) for event in view.events]
        marginal = self._kinds.marginal(view.events, answers) if self._kinds else None
        batch = make_batch(view.events, answers, view.scores, marginal, view.units)
        if self.model is not None:
            own = self.model.scores(view.events)
            self._robust = make_batch(view.events, answers, own, unit=view.units)
        if "replay" in self.estimators:
            self._replay(view.events, answers, batch)
        if self._pages is not None:
            self._pages.add(view.events, batch)
            self._take_slates(self._pages.take())
        support = Support(
            unsupported(view.events, answers),
            actions_assumed(view.events, answers),
            expected_squares(view.events, answers),
        )
        self.take_batch(batch, view, support)

    def take_batch(self, batch: Batch, view: View, support: Support) -> None:
        """Hands decisions that the policy was asked about to everything that is kept of it."""
        self.batch = batch
        self._diagnosis.add(batch, *support)
        if support.n_actions is not None and not support.n_actions.all():
            self.skipped |= dict.fromkeys(self.options.estimators, NO_ACTIONS)
            return
        for name, estimator in self.estimators.items():
            given = self._robust if name == "mrdr" and self._robust is not None else batch
            if name in WITH_MODEL and given.score is None:
                self.skipped[name] = NO_PMF
            elif name == "mips" and batch.marginal is None:
                self.skipped[name] = "the log's whole pmf, or the policy's, is not known"
            elif name == "bernstein" and batch.unit is not None:
                self.skipped[name] = "it counts decisions, and a unit is named; take betting"
            elif name != "replay" and name not in self.skipped:
                self._add(name, estimator, given)
        formula = Snips() if batch.score is None else Dr()
        if self._by_time is None:
            rewards = self.options.reward_range
            self._by_time = ByTime(formula, rewards)
            self._segments = {segment: BySegment(formula, rewards) for segment in view.labels}
        self._by_time.add(batch, view.timestamp_ms)
        for segment, labels in view.labels.items():
            self._segments[segment].add(batch, labels)

    def finish(self) -> None:
        """Takes in the pages that were still open when the log ended."""
        if self._pages is not None:
            self._take_slates(self._pages.take(all_of_them=True))

    def compare(self, baseline: CandidatePolicy) -> None:
        """Hands the last batch to the differences, along with the baseline's."""
        for name, difference in self._differences.items():
            known = name not in self.skipped and name not in baseline.skipped
            mine, theirs = self._given(name), baseline._given(name)
            if known and mine is not None and theirs is not None:
                difference.add(mine, theirs)

    def compare_slates(self, baseline: CandidatePolicy) -> None:
        """Hands the last pages to the differences, along with the baseline's."""
        if self.slates is not None and baseline.slates is not None:
            for difference in self._slate_differences.values():
                difference.add(self.slates, baseline.slates)

    def result(self, caveat: str | None = None) -> PolicyEvaluation:
        """Returns what was found; `caveat` goes with every figure."""
        level, rows = self.options.level, []
        diagnostics = self._diagnosis.get()
        proven = diagnostics.proves
        for name in self.options.estimators:
            if name in self.skipped:
                continue
            if name in SLATES:
                found = self._of_slates[name].get(level)
                apart = self._slate_differences[name].get(level)
                lift = self._slate_differences[name].lift(level)
            else:
                found = self.estimators[name].get(level)
                compared = self._differences.get(name)
                apart = NOT_KNOWN if compared is None else compared.get(level)
                lift = compared.lift(level) if isinstance(compared, ValueDifference) else NOT_KNOWN
            (_, value, interval), (_, difference, between) = found, apart
            if not proven and (between is None or not between.method.startswith("betting")):
                between, lift = None, lift._replace(interval=None)
            rows.append(
                EstimateRow(
                    name,
                    value,
                    interval,
                    difference,
                    between,
                    caveat,
                    lift.value,
                    lift.interval,
                )
            )
        return PolicyEvaluation(
            policy=self.name,
            estimates=tuple(rows),
            diagnostics=diagnostics,
            skipped=self.skipped,
            over_time=self._by_time.get(level) if self._by_time else (),
            segments={segment: parts.get(level) for segment, parts in self._segments.items()},
            slots=slot_parts(self._of_slates, level),
            value_of=_value_of(self.target),
            matched=self._matched(),
            chosen=self._chosen(),
        )

    def _matched(self) -> int | None:
        """Returns how many decisions replay used; None without it."""
        replay = None if "replay" in self.skipped else self.estimators.get("replay")
        return replay.matches if isinstance(replay, Replay) else None

    def _chosen(self) -> str | None:
        """Returns what cross-validation chose; None without it, and of nothing."""
        estimator = self.estimators.get("cross_validated")
        if not isinstance(estimator, CrossValidated) or "cross_validated" in self.skipped:
            return None
        return estimator.chosen

    def __add__(self, other: CandidatePolicy) -> CandidatePolicy:
        if (self.name, self.options) != (other.name, other.options):
            raise EstimateError(f"what was kept of {self.name} and {other.name} cannot be added up")
        total = CandidatePolicy(self.policy, self.options)
        total.estimators = {
            name: estimator + other.estimators[name] for name, estimator in self.estimators.items()
        }
        total._differences = {
            name: _sum(apart, other._differences[name]) for name, apart in self._differences.items()
        }
        total.skipped = self.skipped | other.skipped
        total._diagnosis = self._diagnosis + other._diagnosis
        total._by_time = self._by_time or other._by_time
        if self._by_time is not None and other._by_time is not None:
            total._by_time = self._by_time + other._by_time
        total._segments = dict(other._segments)
        for segment, parts in self._segments.items():
            held = other._segments.get(segment)
            total._segments[segment] = parts if held is None else parts + held
        return total

    def _add(self, name: str, estimator: Estimator, batch: Batch) -> None:
        """Hands decisions to an estimator, or keeps why it cannot be used on this log."""
        try:
            estimator.add(batch)
        except RewardOutside as error:
            if self.options.reward_range != UNIT:  # somebody said so, and was wrong
                raise
            self.skipped[name] = str(error)

    def _given(self, name: str) -> Batch | None:
        return self._robust if name == "mrdr" and self._robust is not None else self.batch

    def _take_slates(self, slates: Slates | None) -> None:
        self.slates = slates
        if slates is not None:
            for running in self._of_slates.values():
                running.add(slates)

    def _replay(
        self, events: Sequence[LoggedEvent], answers: Sequence[Answer], batch: Batch
    ) -> None:
        drawn = [answer.accepted for answer in answers if answer.accepted is not None]
        if len(drawn) != len(events):
            if not all(event.whole and is_even(event.decision) for event in events):
                known = all(event.actions_known for event in events)
                unknown = "" if known else ", or does not name all actions"
                self.skipped["replay"] = NOT_EVEN + unknown
                return
            if any(answer.pmf is None for answer in answers):
                self.skipped["replay"] = NO_PMF
                return
            drawn = [_matches(e, a.pmf) for e, a in zip(events, answers, strict=True)]
        matches = np.array(drawn, dtype=np.float64)
        self.estimators["replay"].add(replace(batch, target=matches, marginal=None))


def is_even(decision: Decision) -> bool:
    """True if a decision's pmf is uniform, as far as the digits of its propensity tell."""
    pmf = np.array(decision.pmf)
    if float(np.ptp(pmf)) < NEGLIGIBLE:
        return True
    digits, propensity = Digits(), np.array([decision.propensity])
    digits.add(propensity)
    return bool((np.abs(pmf - 1.0 / len(pmf)) <= 2.0 * digits.half_units(propensity)).all())


def _value_of(target: TargetPolicy) -> ValueOf:
    """Returns whether its value is that of a fixed policy, or of one that learns or explores."""
    if isinstance(target, Exploring | ManyRuns):
        return "exploring"
    return "learning" if isinstance(target, Learning) and target.learns else "fixed"


def _sum(
    one: ValueDifference[Batch] | BettingDifference,
    other: ValueDifference[Batch] | BettingDifference,
) -> ValueDifference[Batch] | BettingDifference:
    if isinstance(one, ValueDifference) and isinstance(other, ValueDifference):
        return one + other
    if isinstance(one, BettingDifference) and isinstance(other, BettingDifference):
        return one + other
    raise EstimateError(f"{type(one).__name__} and {type(other).__name__} cannot be added up")


def _matches(event: LoggedEvent, pmf: Pmf | None) -> bool:
    """Whether the policy, sampled independently of how the log was, chose the same."""
    decision = event.decision
    if pmf is None or not pmf.any():
        return False
    return sample(pmf, f"replay {sample_seed(decision.event_id, decision.slot)}") == decision.index
