"""How near do estimates come to a truth that is known, and do their intervals cover it?

Hillstrom's e-mails went to 64,000 customers at random, so the value of any policy on them is known
to within sampling error. A policy is made from 8,000 of them; resamples of the others are logs, of
which each estimator says what the policy is worth. The error is the mean absolute one, relative to
the value that all the others give, and IPS is the baseline. `snips_bootstrap` and `dr_bootstrap`
are the same values with intervals by the bootstrap. `blend` is what picks for itself.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.estimators import ESTIMATORS, open_estimator
from bandit.ope.models.ridge import CrossRidge

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "hillstrom.csv"
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")
RESAMPLES = 400
FIRST = 100
"""How many of the resamples the figures `..._first_100` are of."""
NAMES = [name for name in ESTIMATORS if name not in ("replay", "mips")]
BOOTSTRAPPED = ("snips", "dr")
FLOOR = 0.1
JOINT = 0.1


class Customers(NamedTuple):
    """Who they are, shape (n, features), what they got, and whether they came."""

    x: np.ndarray
    arm: np.ndarray
    visit: np.ndarray

    def rows(self, rows: np.ndarray) -> Customers:
        """Some of them."""
        return Customers(*(column[rows] for column in self))


def customers() -> Customers:
    with DATA.open() as file:
        rows = list(csv.DictReader(file))
    x = [
        [
            1.0,
            float(row["recency"]) / 12.0,
            np.log(float(row["history"])) / 7.0,
            *(float(row[name]) for name in ("mens", "womens", "newbie")),
            *(float(row["zip_code"] == code) for code in ("Surburban", "Urban")),
            *(float(row["channel"] == channel) for channel in ("Phone", "Web")),
        ]
        for row in rows
    ]
    arm = np.array([ARMS.index(row["segment"]) for row in rows])
    return Customers(np.array(x), arm, np.array([float(row["visit"]) for row in rows]))


def design(x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Customer, arm, and both together, shape (n, features)."""
    joint = np.zeros((len(x), len(ARMS), x.shape[1]))
    joint[np.arange(len(x)), arm] = x
    scaled = JOINT * joint.reshape(len(x), -1)
    return np.hstack((x, np.eye(len(ARMS))[arm], scaled))


def scores(seen: Customers, *, folds: int = 5, weight: np.ndarray | None = None) -> np.ndarray:
    """What each arm is expected to bring, cross-fitted, shape (n, arms)."""
    fold = np.arange(len(seen.arm)) % folds
    model = CrossRidge(design(seen.x[:1], seen.arm[:1]).shape[1], folds=folds)
    model.add(design(seen.x, seen.arm), seen.visit, fold, weight=weight)
    weights = model.weights()[fold]
    every = (design(seen.x, np.full(len(fold), arm)) for arm in range(len(ARMS)))
    return np.stack([np.einsum("ij,ij->i", x, weights) for x in every], axis=1)


def policy(train: Customers, x: np.ndarray) -> np.ndarray:
    """The best arm by a ridge an arm, with a floor; shape (n, arms)."""
    found = []
    for arm in range(len(ARMS)):
        got = train.arm == arm
        precision = train.x[got].T @ train.x[got] + np.eye(x.shape[1])
        found.append(x @ np.linalg.solve(precision, train.x[got].T @ train.visit[got]))
    best = np.eye(len(ARMS))[np.argmax(found, axis=0)]
    return FLOOR / len(ARMS) + (1.0 - FLOOR) * best


def as_batch(seen: Customers, pmf: np.ndarray, *, robust: bool = False) -> Batch:
    """The log as columns; `robust` has the model that MRDR fits to the policy's own weights."""
    rows, propensity = np.arange(len(seen.arm)), 1.0 / len(ARMS)
    target = pmf[rows, seen.arm]
    weight = target * (1.0 - propensity) / propensity**2 if robust else None
    known = scores(seen, weight=weight)
    expected = (pmf * known).sum(axis=1)
    same = np.full(len(rows), propensity)
    return Batch(seen.visit, same, target, known[rows, seen.arm], expected)


@pytest.mark.skipif(not DATA.is_file(), reason=f"no {DATA} here")
@pytest.mark.parametrize("n", [2000, 8000])
def test_error_and_coverage(benchmark: Any, n: int) -> None:
    everyone = customers()
    order = np.random.default_rng(0).permutation(len(everyone.arm))
    train, others = everyone.rows(order[:8000]), everyone.rows(order[8000:])
    pmf = policy(train, others.x)
    whole = open_estimator("dr")
    whole.add(as_batch(others, pmf))
    truth = whole.get().value
    assert truth is not None
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, len(others.arm), n) for _ in range(RESAMPLES)]
    batches = [as_batch(others.rows(rows), pmf[rows]) for rows in drawn]
    robust = [as_batch(others.rows(rows), pmf[rows], robust=True) for rows in drawn]

    def judge(name: str) -> tuple[np.ndarray, np.ndarray]:
        plain = name.removesuffix("_bootstrap")
        errors, covered = [], []
        for batch in robust if name == "mrdr" else batches:
            estimator = open_estimator(plain, max_weight=float(len(ARMS)), bootstrap=name != plain)
            estimator.add(batch)
            found = estimator.get(0.95)
            assert found.value is not None
            assert found.interval is not None
            errors.append(abs(found.value / truth - 1.0))
            covered.append(truth in found.interval)
        return np.array(errors), np.array(covered)

    names = [*NAMES, *(f"{name}_bootstrap" for name in BOOTSTRAPPED)]
    found = benchmark.pedantic(lambda: {name: judge(name) for name in names}, rounds=1)
    figures = benchmark.extra_info
    for name, (errors, covered) in found.items():
        figures[f"{name}_relative_error"] = round(float(errors.mean()), 4)
        figures[f"{name}_coverage"] = round(float(covered.mean()), 4)
    for name in ("blend", "dr", "dros", "ips"):
        errors, covered = found[name]
        figures[f"{name}_relative_error_first_100"] = round(float(errors[:FIRST].mean()), 4)
        figures[f"{name}_coverage_first_100"] = round(float(covered[:FIRST].mean()), 4)
    figures["blend_error_vs_ips"] = float(found["blend"][0].mean() / found["ips"][0].mean())
