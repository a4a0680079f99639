"""Point estimates against each paper's equation, written out decision by decision.

`benchmarks/bench_estimators.py` holds them against a library of estimators.
"""

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.estimators import open_estimator
from bandit.ope.estimators.doubly_robust import DrOs, SwitchDr
from bandit.ope.estimators.importance import ClippedIps
from bandit.ope.estimators.running import RunningEstimate

RNG = np.random.default_rng(0)
N = 500
PROPENSITY = RNG.uniform(0.02, 1.0, N)
TARGET = RNG.uniform(0.0, 1.0, N)
BATCH = Batch(RNG.normal(1.0, 2.0, N), PROPENSITY, TARGET, RNG.normal(size=N), RNG.normal(size=N))
ROWS = list(zip(TARGET / PROPENSITY, BATCH.reward, BATCH.score, BATCH.expected_score, strict=True))
LAMBDA = 3.0


def mean(values):
    values = list(values)
    return sum(values) / len(values)


WEIGHT = mean(w for w, _, _, _ in ROWS)
EXPECTED = {
    "ips": mean(w * r for w, r, _, _ in ROWS),
    "clipped_ips": mean(min(w, LAMBDA) * r for w, r, _, _ in ROWS),
    "snips": mean(w * r for w, r, _, _ in ROWS) / WEIGHT,
    "dm": mean(e for _, _, _, e in ROWS),
    "dr": mean(e + w * (r - s) for w, r, s, e in ROWS),
    "sndr": mean(e + w * (r - s) / WEIGHT for w, r, s, e in ROWS),
    "switch_dr": mean(e + (w * (r - s) if w <= LAMBDA else 0.0) for w, r, s, e in ROWS),
    "dros": mean(e + LAMBDA * w / (w * w + LAMBDA) * (r - s) for w, r, s, e in ROWS),
}
WITH_LAMBDA = {
    "clipped_ips": ClippedIps(LAMBDA),
    "switch_dr": SwitchDr(LAMBDA),
    "dros": DrOs(LAMBDA),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_value_is_that_of_the_equation(name):
    estimator = RunningEstimate(WITH_LAMBDA[name]) if name in WITH_LAMBDA else open_estimator(name)
    estimator.add(BATCH)
    assert estimator.get().value == pytest.approx(EXPECTED[name], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "influence"),
    [
        ("ips", [w * r for w, r, _, _ in ROWS]),
        ("snips", [w * (r - EXPECTED["snips"]) / WEIGHT for w, r, _, _ in ROWS]),
        (
            "sndr",
            [e + w * (r - s - (EXPECTED["sndr"] - EXPECTED["dm"])) / WEIGHT for w, r, s, e in ROWS],
        ),
    ],
)
def test_the_standard_error_is_that_of_the_influence_function(name, influence):
    estimator = open_estimator(name)
    estimator.add(BATCH)
    interval = estimator.get(0.95).interval
    error = np.std(influence, ddof=1) / np.sqrt(N)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.959964 * error, rel=1e-6)
