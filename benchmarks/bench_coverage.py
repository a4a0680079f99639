"""Do the intervals hold the truth as often as they say, where the truth is known?

Worlds of two kinds of visitors and three creatives, with rewards in 0.1 % to 20 % of decisions and
logs of 300 to 5,000 decisions, made in three ways: by one policy; by a policy that learns and
changes ten times while it logs; and by users who come 20 times each, some of whom click nine times
as readily as others, with the user named as the unit. A reward model is off by chance. Each
estimator judges 300 logs of each; of 95 % intervals 285 should hold the policy's value, more where
a method promises it for any number of decisions (betting, bernstein).

`mips` is of creatives in pairs that earn the same, of which the policy prefers one; `mrdr` has a
model of its own, fitted to the log; `creative_` is what one creative earns wherever it can be
shown; `slate_` is of pages with two slots, of which the second is clicked half as often.

The seeds are those of `HELD_OUT`: what the intervals are made of was settled on others.

    python -m benchmarks.bench_coverage          # prints the table, by way of logging
    python -m benchmarks.bench_coverage --seed 1 # on other seeds
    python -m benchmarks.bench_coverage --methods mips mrdr creative slate
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.checks.diagnostics import Diagnosis
from bandit.ope.estimators import FORMULAS, SLATES, open_estimator, slate_formula
from bandit.ope.estimators.compare import ValueDifference
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.estimators.slates import Slates

HELD_OUT = 2027
LOGS = 300
SIZES = (300, 1000, 5000)
RATES = (0.001, 0.01, 0.05, 0.2)
SHARES = np.array([0.3, 0.7])
LOGGED = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
TARGET = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
SHAPE = np.array([[0.5, 1.5, 1.0], [1.25, 0.75, 2.0]])
"""What creatives earn, in multiples of the rate."""
CHANGES, FLOOR = 10, 0.2
VISITS, EAGER = 20, np.array([0.2, 1.8])
METHODS = (
    ("replay", False),
    ("ips", False),
    ("snips", False),
    ("snips", True),
    ("clipped_ips", False),
    ("dm", False),
    ("dr", False),
    ("dr", True),
    ("sndr", False),
    ("switch_dr", False),
    ("dros", False),
    ("blend", False),
    ("cross_validated", False),
    ("mips", False),
    ("mrdr", False),
    ("betting", False),
    ("bernstein", False),
)

Draw = Callable[[int, float, np.random.Generator], Batch]


def fixed(n: int, rate: float, rng: np.random.Generator) -> Batch:
    """A log that one policy made."""
    visitor = rng.choice(2, n, p=SHARES)
    return logged_by(LOGGED[visitor], visitor, rate * SHAPE[visitor], rate, rng)


def adaptive(n: int, rate: float, rng: np.random.Generator) -> Batch:
    """A log of a policy that goes by what it earned so far, above a floor, and changes with it."""
    shown, earned, parts = np.ones((2, 3)), rate * np.ones((2, 3)), []
    for size in np.diff(np.linspace(0, n, CHANGES + 1).astype(int)):
        visitor = rng.choice(2, size, p=SHARES)
        scores = earned / shown
        greedy = scores**3 / (scores**3).sum(axis=1, keepdims=True)
        pmf = FLOOR / 3 + (1 - FLOOR) * greedy
        part = logged_by(pmf[visitor], visitor, rate * SHAPE[visitor], rate, rng)
        action = np.array(
            [np.flatnonzero(pmf[v] == p)[0] for v, p in zip(visitor, part.propensity, strict=True)]
        )
        np.add.at(shown, (visitor, action), 1.0)
        np.add.at(earned, (visitor, action), part.reward)
        parts.append(part)
    names = ("reward", "propensity", "target", "score", "expected_score")
    return Batch(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def users(n: int, rate: float, rng: np.random.Generator) -> Batch:
    """A log of users who come again; what they are, and how readily they click, stays."""
    count = n // VISITS
    visitor, eager = rng.choice(2, count, p=SHARES), EAGER[rng.choice(2, count)]
    visitor, eager = np.repeat(visitor, VISITS), np.repeat(eager, VISITS)
    rates = rate * SHAPE[visitor] * eager[:, None]
    unit = np.repeat(np.arange(count, dtype=np.uint64), VISITS)
    return logged_by(LOGGED[visitor], visitor, rates, rate, rng, unit)


def logged_by(
    pmf: np.ndarray,
    visitor: np.ndarray,
    rates: np.ndarray,
    rate: float,
    rng: np.random.Generator,
    unit: np.ndarray | None = None,
) -> Batch:
    """Decisions by these pmfs, and the scores of a model that is up to a third off."""
    n = len(visitor)
    action = (rng.random(n)[:, None] > pmf.cumsum(axis=1)[:, :-1]).sum(axis=1)
    rows = np.arange(n)
    reward = (rng.random(n) < rates[rows, action]).astype(np.float64)
    scores = model_scores(rate)
    expected = (TARGET * scores).sum(axis=1)[visitor]
    columns = (pmf[rows, action], TARGET[visitor, action], scores[visitor, action], expected)
    return Batch(reward, *columns, unit=unit)


def truth(rate: float) -> float:
    """What the policy earns."""
    return float((SHARES[:, None] * TARGET * SHAPE).sum() * rate)


def matched(batch: Batch, rng: np.random.Generator) -> Batch:
    """The log as replay needs it: uniform, by rejection, and sampled."""
    kept = rng.random(len(batch)) < 0.2 / batch.propensity
    target = (rng.random(len(batch)) < batch.target).astype(np.float64)
    rows = np.flatnonzero(kept)
    unit = None if batch.unit is None else batch.unit[rows]
    return Batch(batch.reward[rows], np.full(len(rows), 1 / 3), target[rows], unit=unit)


WORLDS: dict[str, Draw] = {"fixed": fixed, "adaptive": adaptive, "users": users}


class Tally(NamedTuple):
    """For one method, whether each interval held the truth, and how wide it was."""

    held: list[bool]
    widths: list[float]


def of_kinds(batch: Batch, rng: np.random.Generator) -> Batch:
    """The log with a twin of each creative: the policy shows one of them nine times of ten."""
    share = np.where(rng.random(len(batch)) < 0.5, 0.9, 0.1)
    columns = (batch.reward, batch.propensity / 2.0, batch.target * share)
    return Batch(*columns, marginal=batch.weight, unit=batch.unit)


def cells_of(batch: Batch, rate: float) -> np.ndarray:
    """Returns visitor and creative of each decision as one number, 3 visitor + creative."""
    known = model_scores(rate).ravel()
    return np.abs(batch.score[:, None] - known).argmin(axis=1)


def refitted(batch: Batch, rate: float) -> Batch:
    """The log with the scores of a model that is fitted to it for `mrdr`, by folds."""
    cell, fold = cells_of(batch, rate), np.arange(len(batch)) // VISITS % 5
    weight = batch.target * (1.0 - batch.propensity) / batch.propensity**2
    score, expected = np.zeros(len(batch)), np.zeros(len(batch))
    for number in range(5):
        here, there = fold == number, fold != number
        count = np.bincount(cell[there], weight[there], 6)
        earned = np.bincount(cell[there], (weight * batch.reward)[there], 6)
        means = (earned / (count + 1.0)).reshape(2, 3)
        score[here] = means.ravel()[cell[here]]
        expected[here] = (TARGET * means).sum(axis=1)[cell[here] // 3]
    return Batch(batch.reward, batch.propensity, batch.target, score, expected, unit=batch.unit)


def of_creative(batch: Batch, rate: float, creative: int) -> Batch:
    """The log as the policy has it that always shows one creative."""
    cell, scores = cells_of(batch, rate), model_scores(rate)
    columns = (batch.propensity, (cell % 3 == creative).astype(np.float64), batch.score)
    return Batch(batch.reward, *columns, scores[cell // 3, creative], unit=batch.unit)


def pages(batch: Batch, rng: np.random.Generator) -> Slates:
    """The log as pages: each two decisions of a visitor are slots, of one user where named."""
    half = len(batch) // 2
    first, second = np.arange(half) * 2, np.arange(half) * 2 + 1
    columns = [np.stack((of[first], of[second]), axis=1) for of in
               (batch.reward, batch.propensity, batch.target)]  # fmt: skip
    columns[0][:, 1] *= rng.random(half) < 0.5
    return Slates(*columns, unit=None if batch.unit is None else batch.unit[first])


def model_scores(rate: float) -> np.ndarray:
    """What a model that is up to a third off expects of each creative and visitor."""
    return rate * SHAPE * np.random.default_rng(7).uniform(2 / 3, 4 / 3, SHAPE.shape)


def judge(
    world: str,
    n: int,
    rate: float,
    *,
    seed: int = HELD_OUT,
    logs: int = LOGS,
    methods: Sequence[str] = (),
) -> dict[str, Tally]:
    """Returns what became of each method's intervals, on so many logs; of all if none is named."""
    rng = np.random.default_rng([seed, n, round(1e4 * rate), len(world)])
    found: dict[str, Tally] = {}

    def note(key: str, interval: Any, value: float) -> None:
        tally = found.setdefault(key, Tally([], []))
        if interval is not None:
            tally.held.append(value in interval)
            tally.widths.append(interval.high - interval.low)

    def asked(name: str) -> bool:
        return not methods or name in methods

    for _ in range(logs):
        batch = WORLDS[world](n, rate, rng)
        for name, bootstrap in METHODS:
            if (name == "bernstein" and batch.unit is not None) or not asked(name):
                continue
            estimator = open_estimator(name, bootstrap=bootstrap)
            estimator.add(prepared(name, batch, rate, rng))
            note(
                f"{name}_bootstrap" if bootstrap else name,
                estimator.get(0.95).interval,
                truth(rate),
            )
        if asked("difference"):
            _differences(batch, rate, note)
        for creative in (0, 2) if asked("creative") else ():
            worth = float((SHARES * SHAPE[:, creative]).sum() * rate)
            for name in ("snips", "dr"):
                estimator = open_estimator(name)
                estimator.add(of_creative(batch, rate, creative))
                note(f"creative_{name}", estimator.get(0.95).interval, worth)
        for name in SLATES if asked("slate") else ():
            running = RunningEstimate(slate_formula(name, 2))
            running.add(pages(batch, rng))
            note(name, running.get(0.95).interval, 1.5 * truth(rate))
    return found


def prepared(name: str, batch: Batch, rate: float, rng: np.random.Generator) -> Batch:
    """Returns the log as an estimator needs it."""
    match name:
        case "replay":
            return matched(batch, rng)
        case "mips":
            return of_kinds(batch, rng)
        case "mrdr":
            return refitted(batch, rate)
        case _:
            return batch


def _differences(batch: Batch, rate: float, note: Callable[[str, Any, float], None]) -> None:
    """Notes the intervals of what the policy earns more than showing any creative alike.

    Only where the verdict says that the log can tell, as an evaluation prints them.
    """
    diagnosis = Diagnosis()
    diagnosis.add(batch)
    if not diagnosis.get().proves:
        return
    third = np.full(len(batch), 1 / 3)
    uniform = Batch(batch.reward, batch.propensity, third, unit=batch.unit)
    apart = ValueDifference(FORMULAS["snips"], FORMULAS["snips"])
    apart.add(batch, uniform)
    other = float((SHARES[:, None] * SHAPE).sum() / 3.0 * rate)
    note("snips_difference", apart.get(0.95).interval, truth(rate) - other)
    note("snips_lift", apart.lift(0.95).interval, truth(rate) / other - 1.0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("world", WORLDS)
def test_coverage(benchmark: Any, world: str, n: int, rate: float) -> None:
    found = benchmark.pedantic(judge, args=(world, n, rate), rounds=1)
    for key, (held, widths) in found.items():
        if held:
            benchmark.extra_info[f"{key}_coverage"] = round(float(np.mean(held)), 4)
            benchmark.extra_info[f"{key}_width"] = round(float(np.mean(widths)), 5)
        if len(held) < LOGS:
            benchmark.extra_info[f"{key}_without_interval"] = LOGS - len(held)


def main() -> None:
    """Prints the coverage of each method by way of logging: the mean over cases, and the ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=HELD_OUT)
    parser.add_argument("--logs", type=int, default=LOGS)
    parser.add_argument("--methods", nargs="*", default=())
    asked = parser.parse_args()
    for world in WORLDS:
        cases = {
            (n, rate): judge(
                world, n, rate, seed=asked.seed, logs=asked.logs, methods=asked.methods
            )
            for n in SIZES
            for rate in RATES
        }
        print(f"\n{world}: n x rate " + " ".join(f"{n}/{rate:g}" for n, rate in cases))
        for key in dict.fromkeys(key for found in cases.values() for key in found):
            tallies = [found.get(key, Tally([], [])) for found in cases.values()]
            held = [inside for tally in tallies for inside in tally.held]
            row = " ".join(f"{np.mean(t.held):.3f}" if t.held else "  –  " for t in tallies)
            print(f"{key:18} {np.mean(held):.3f} ({len(held)}): {row}", flush=True)


if __name__ == "__main__":
    main()
