"""One log, many policies: what each would have earned, how sure that is, and whether to believe it.

The log is read once for the reward model, if an estimator wants one, and once to judge; neither
reading holds more than a batch. Policies are compared on the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from bandit.errors import EstimateError
from bandit.estimator import LEVEL, Batch, Estimator, Floats
from bandit.estimators import FORMULAS, WITH_MODEL, open_estimator
from bandit.estimators.bounded import UNIT, RewardRange
from bandit.estimators.compare import BettingDifference, Difference
from bandit.evaluation.diagnostics import Diagnosis
from bandit.evaluation.found import Evaluation, PolicyEvaluation, make_row
from bandit.evaluation.judged import Answer, open_judged
from bandit.evaluation.models.ridge import RewardModel
from bandit.policy import Pmf, sample, sample_seed
from bandit.readers.logged import LoggedEvent

DEFAULT: Final = ("snips", "dr", "blend", "betting")
BATCH_SIZE: Final = 2000

Open: TypeAlias = Callable[[], Iterator[LoggedEvent]]


def evaluate(
    log: Open,
    policies: Sequence[str],
    estimators: Sequence[str] = DEFAULT,
    *,
    baseline: str = "logged",
    level: float = LEVEL,
    reward_range: RewardRange = UNIT,
    max_weight: float | None = None,
    batch_size: int = BATCH_SIZE,
) -> Evaluation:
    """Returns what each policy would have earned on the log, by each estimator.

    Args:
        log: opens the log from its start; called once or twice.
        policies: see `open_judged`.
        estimators: names of `ESTIMATORS`.
        baseline: the policy that the others are compared with; evaluated as well.
        level: of the intervals.
        reward_range: for `betting` and `bernstein`.
        max_weight: for `betting`; the largest that a weight can be, if known.
        batch_size: decisions that are held at a time.

    Raises:
        EstimateError: the log is empty, or cannot be judged so.
        PolicyError: a policy that does not exist, or cannot be asked.
        FeatureError: features that a policy or the reward model cannot read.
        ReaderError: the log cannot be read.
    """
    names = list(dict.fromkeys([baseline, *policies]))
    bounds = _Bounds(reward_range, max_weight)
    seats = [
        _Seat(name, {e: open_estimator(e, **bounds._asdict()) for e in estimators}, bounds)
        for name in names
    ]
    model = _fit(log()) if any(name in WITH_MODEL for name in estimators) else None
    n = 0
    for events in _batches(log(), batch_size):
        n += len(events)
        scores = None if model is None else [_scores(model, event) for event in events]
        for seat in seats:
            seat.take(events, scores)
        for seat in seats[1:]:
            seat.compare(seats[0])
    if not n:
        raise EstimateError("the log holds no decision; there is nothing to judge policies by")
    return Evaluation(n, level, baseline, tuple(seat.result(level) for seat in seats))


class _Bounds(NamedTuple):
    """What is known beforehand of rewards and weights."""

    reward_range: RewardRange
    max_weight: float | None


class _Seat:
    """One policy, with its estimators and its differences to the baseline."""

    def __init__(self, name: str, estimators: dict[str, Estimator], settings: _Bounds) -> None:
        self.name = name
        self.judged = open_judged(name)
        self.estimators = estimators
        self.skipped: dict[str, str] = {}
        self.batch: Batch | None = None
        self._diagnosis = Diagnosis()
        self._differences: dict[str, Difference[Batch] | BettingDifference] = {
            name: Difference(FORMULAS[name], FORMULAS[name])
            for name in estimators
            if name in FORMULAS
        }
        if "betting" in estimators:
            self._differences["betting"] = BettingDifference(
                reward_range=settings.reward_range, max_weight=settings.max_weight
            )

    def take(self, events: Sequence[LoggedEvent], scores: Sequence[Floats] | None) -> None:
        """Asks the policy about each decision, and hands the answers to the estimators."""
        answers = [self.judged.answer(event) for event in events]
        self.batch = batch = make_batch(events, answers, scores)
        self._diagnosis.add(batch, unsupported(events, answers))
        for name, estimator in self.estimators.items():
            if name in WITH_MODEL and batch.score is None:
                self.skipped[name] = "the policy's pmf is not known"
            elif name == "replay":
                self._replay(estimator, events, answers, batch)
            else:
                estimator.add(batch)

    def compare(self, baseline: _Seat) -> None:
        """Hands the last batch to the differences, along with the baseline's."""
        for name, difference in self._differences.items():
            known = name not in self.skipped and name not in baseline.skipped
            if known and self.batch is not None and baseline.batch is not None:
                difference.add(self.batch, baseline.batch)

    def result(self, level: float) -> PolicyEvaluation:
        """Returns what was found."""
        rows = []
        for name, estimator in self.estimators.items():
            if name not in self.skipped:
                difference = self._differences.get(name)
                apart = None if difference is None else difference.get(level)
                rows.append(make_row(name, estimator.get(level), apart))
        return PolicyEvaluation(self.name, tuple(rows), self._diagnosis.get(), self.skipped)

    def _replay(
        self,
        estimator: Estimator,
        events: Sequence[LoggedEvent],
        answers: Sequence[Answer],
        batch: Batch,
    ) -> None:
        if not all(event.whole and _is_uniform(event) for event in events):
            self.skipped["replay"] = "the log was not made by choosing uniformly at random"
        elif any(answer.pmf is None for answer in answers):
            self.skipped["replay"] = "the policy's pmf is not known"
        else:
            matches = [_matches(e, a.pmf) for e, a in zip(events, answers, strict=True)]
            estimator.add(
                Batch(batch.reward, batch.propensity, np.array(matches, dtype=np.float64))
            )


def make_batch(
    events: Sequence[LoggedEvent], answers: Sequence[Answer], scores: Sequence[Floats] | None
) -> Batch:
    """Returns the decisions as columns, with scores if there are some and pmfs are known."""
    reward = np.array([event.reward for event in events])
    propensity = np.array([event.decision.propensity for event in events])
    target = np.array([answer.target for answer in answers])
    if scores is None:
        return Batch(reward, propensity, target)
    chosen = zip(events, scores, strict=True)
    score = np.array([float(of[event.decision.index]) for event, of in chosen])
    pmfs = [answer.pmf for answer in answers]
    if any(pmf is None for pmf in pmfs):
        # on the log's own policy the logged action's score has the expectation wanted
        on_policy = bool((target == propensity).all())
        return Batch(reward, propensity, target, *((score, score) if on_policy else ()))
    known = zip(pmfs, scores, strict=True)
    expected = np.array([float(pmf @ of) for pmf, of in known if pmf is not None])
    return Batch(reward, propensity, target, score, expected)


def unsupported(events: Sequence[LoggedEvent], answers: Sequence[Answer]) -> float | None:
    """Returns how much of the policy's pmf, summed over decisions, the log's never takes."""
    total = 0.0
    for event, answer in zip(events, answers, strict=True):
        if answer.pmf is None or not event.whole:
            return None
        # what is missing to 1 went to an action that could not be chosen at all
        supported = answer.pmf[np.array(event.decision.pmf) > 0.0].sum()
        total += max(1.0 - float(supported), 0.0)
    return total


def _is_uniform(event: LoggedEvent) -> bool:
    pmf = event.decision.pmf
    return max(pmf) - min(pmf) < 1e-6


def _matches(event: LoggedEvent, pmf: Pmf | None) -> bool:
    """Whether the policy, sampled independently of how the log was, chose the same."""
    decision = event.decision
    if pmf is None or not pmf.any():
        return False
    return sample(pmf, f"replay {sample_seed(decision.event_id, decision.slot)}") == decision.index


def _batches(events: Iterator[LoggedEvent], size: int) -> Iterator[list[LoggedEvent]]:
    while batch := list(islice(events, size)):
        yield batch


def _fit(events: Iterator[LoggedEvent]) -> RewardModel:
    model = RewardModel()
    for event in events:
        decision = event.decision
        model.learn(decision.event_id, decision.context, decision.action, event.reward)
    return model


def _scores(model: RewardModel, event: LoggedEvent) -> Floats:
    decision = event.decision
    return model.scores(decision.event_id, decision.context, decision.actions)
