"""Weights are called off only beyond their noise and rounding, and for the right reason."""

from functools import partial

import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.candidate import Options
from bandit.ope.checks.rounding import Digits, is_exact
from bandit.ope.checks.weights import WeightCheck
from bandit.ope.evaluate import evaluate
from bandit.ope.readers import open_reader

PMF = np.array([1 / 3, 0.6 - 1 / 30, 0.1])
TARGET = np.array([0.6, 0.3, 0.1])


def check(propensity, target, n_actions=None):
    """Returns the code of decisions, taken in two batches that are added up."""
    half = len(propensity) // 2
    parts = []
    for rows in (slice(None, half), slice(half, None)):
        part = WeightCheck()
        p, t = propensity[rows], target[rows]
        sizes = None if n_actions is None else np.full(len(p), float(n_actions))
        part.add(Batch(np.ones(len(p)), p, t), sizes)
        parts.append(part)
    found = (parts[0] + parts[1]).verdict()
    return None if found is None else found[0]


@pytest.mark.parametrize(
    "written",
    [
        "%.2f", "%.3f", "%.4f", "%.6f", "%.3g", "%.6g", "%.17g",
    ],
)  # fmt: skip
def test_propensities_as_people_write_them_are_right(written):
    chosen = np.random.default_rng(2).choice(3, 20_000, p=PMF)
    as_text = np.array([float(written % p) for p in PMF])
    assert check(as_text[chosen], TARGET[chosen]) is None
    assert check(as_text[chosen], np.array([float(written % t) for t in PMF])[chosen]) is None
    thirds = np.full(3000, float(written % (1 / 3)))
    assert check(thirds, np.full(3000, 1 / 3)) is None
    assert check(np.float64(np.float32(as_text))[chosen], TARGET[chosen]) is None
    assert check(np.full(3000, 1 / 3), thirds) is None


@pytest.mark.parametrize("wrong", [0.5, 0.3, 0.34, 0.32, 0.329])
def test_propensities_that_are_wrong_are_told_from_rounded_ones(wrong):
    assert check(np.full(5000, wrong), np.full(5000, 1 / 3)) == "weights_off"


def test_numbers_that_no_rounding_made_have_no_room():
    assert is_exact(np.array([0.0, 1.0, 0.5, 0.25, 0.125, 1 / 3])).all()
    assert not is_exact(np.array([0.3333, 0.7, 0.33])).any()
    assert check(np.full(5000, 0.01), np.full(5000, 0.0125)) == "weights_off"
    digits = Digits()
    digits.add(np.array([0.333333, 0.0123457, 0.25]))
    assert (digits.decimals, digits.significant) == (7, 6)
    assert digits.half_units(np.array([0.333333, 0.5])).tolist() == pytest.approx([5e-7, 0.0])


@pytest.mark.parametrize("seed", range(5))
def test_a_log_that_has_not_met_its_heavy_weights_is_noisy(seed):
    # one in a hundred decisions has a weight of 50, so a hundred may have none
    explored = np.random.default_rng(seed).random(100) < 0.01
    propensity = np.where(explored, 0.01, 0.99)
    assert check(propensity, np.full(100, 0.5)) is None


@pytest.mark.parametrize("whole", [True, False])
def test_the_check_hardly_ever_cries_wolf(whole):
    rng = np.random.default_rng(9)
    wrong = 0
    for _ in range(400):
        # pmfs that leave much to chance; a constant policy's weights are all or nothing
        pmf = rng.dirichlet([0.5] * 4) if whole else rng.dirichlet([2.0] * 4)
        target = rng.dirichlet([0.5] * 4) if whole else np.eye(4)[rng.integers(4)]
        chosen = rng.choice(4, 60, p=pmf)
        found = WeightCheck()
        squares = np.full(60, (target**2 / pmf).sum()) if whole else None
        found.add(Batch(np.ones(60), pmf[chosen], target[chosen]), squares=squares)
        wrong += found.verdict() is not None
    assert wrong <= 1


def test_actions_that_a_log_does_not_name_are_said_to_be_missing(tmp_path):
    rng = np.random.default_rng(3)
    chosen = rng.integers(0, 4, 2000)
    rows = [f"{'abcd'[n]},{int(rng.random() < 0.3)},0.25" for n in chosen if n < 3]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["ad,r,p", *rows]))
    roles = {"action": "ad", "reward": "r", "propensity": "p"}
    found = evaluate(
        partial(open_reader, "table", path, columns=roles), ["uniform"], Options(("snips",))
    )
    verdict = found.policies[1].diagnostics.verdict
    assert verdict.code == "actions_unknown"
    assert "names 3, and the propensities are those of 4" in verdict.words
    del roles["action"]
    found = evaluate(
        partial(open_reader, "table", path, columns=roles), ["uniform"], Options(("snips", "dr"))
    )
    assert found.policies[1].diagnostics.verdict.code == "actions_unknown"
    assert "--column action=COLUMN" in found.policies[1].diagnostics.verdict.words
    assert found.policies[1].estimates == ()
    assert found.policies[0].estimates[0].value is not None
