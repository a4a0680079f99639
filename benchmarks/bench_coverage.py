"""Do the intervals hold the truth as often as they say, where the truth is known?

Worlds of two kinds of visitors and three creatives, with rewards in 0.1 % to 20 % of decisions and
logs of 300 to 5,000 decisions, made in three ways: by one policy; by a policy that learns and
changes ten times while it logs; and by users who come 20 times each, some of whom click nine times
as readily as others, with the user named as the unit. A reward model is off by chance. Each
estimator judges 300 logs of each; of 95 % intervals 285 should hold the policy's value, more where
a method promises it for any number of decisions (betting, bernstein).

The seeds are those of `HELD_OUT`: what the intervals are made of was settled on others.

    python -m benchmarks.bench_coverage          # prints the table, by way of logging
    python -m benchmarks.bench_coverage --seed 1 # on other seeds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.checks.diagnostics import Diagnosis
from bandit.ope.estimators import FORMULAS, open_estimator
from bandit.ope.estimators.compare import ValueDifference

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
    scores = rate * SHAPE * np.random.default_rng(7).uniform(2 / 3, 4 / 3, SHAPE.shape)
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


def judge(
    world: str, n: int, rate: float, *, seed: int = HELD_OUT, logs: int = LOGS
) -> dict[str, Tally]:
    """Returns what became of each method's intervals, on so many logs."""
    rng = np.random.default_rng([seed, n, round(1e4 * rate), len(world)])
    found: dict[str, Tally] = {}

    def note(key: str, interval: Any, value: float) -> None:
        tally = found.setdefault(key, Tally([], []))
        if interval is not None:
            tally.held.append(value in interval)
            tally.widths.append(interval.high - interval.low)

    for _ in range(logs):
        batch = WORLDS[world](n, rate, rng)
        for name, bootstrap in METHODS:
            if name == "bernstein" and batch.unit is not None:
                continue
            estimator = open_estimator(name, bootstrap=bootstrap)
            estimator.add(matched(batch, rng) if name == "replay" else batch)
            note(
                f"{name}_bootstrap" if bootstrap else name,
                estimator.get(0.95).interval,
                truth(rate),
            )
        _differences(batch, rate, note)
    return found


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
    asked = parser.parse_args()
    for world in WORLDS:
        cases = {
            (n, rate): judge(world, n, rate, seed=asked.seed, logs=asked.logs)
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
