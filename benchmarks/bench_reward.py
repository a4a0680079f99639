"""Does the reward model pick the better of two headlines that it never saw?

On Upworthy's tests in order of week: the first three quarters are learned from, the pairs of the
last quarter that traffic told apart (one better with probability .95 or more) are asked about.
The baseline is the coin. Which layer is read and how far scores may spread was chosen within the
first part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.abtests.data import AbTest
from benchmarks.conftest import RESULTS
from benchmarks.upworthy import DATA, read_upworthy
from generator.reward.encoders import TextEncoder, open_encoder
from generator.reward.model import (
    TextRewardModel,
    fit_reward_model,
    group_examples,
    measure_accuracy,
)
from generator.reward.regression import Example, Floats, from_ab_tests, significant_pairs

BINS = 8
READERS = ("wordllama", "minilm", "smollm2", "minilm+smollm2")


@pytest.fixture(scope="module")
def tests() -> list[AbTest]:
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here; see README.md for where to get it")
    return read_upworthy(min_headlines=2, min_impressions=500)


@pytest.fixture(scope="module")
def early(tests: list[AbTest]) -> list[Example]:
    return from_ab_tests(tests[: len(tests) * 3 // 4])


@pytest.fixture(scope="module")
def later(tests: list[AbTest]) -> list[Example]:
    return from_ab_tests(tests[len(tests) * 3 // 4 :])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("name", READERS)
def test_reader(
    benchmark: Any, name: str, early: list[Example], later: list[Example], cache: Path
) -> None:
    encoder = open_encoder(name, cache)
    model = benchmark.pedantic(fit_reward_model, (early, encoder), rounds=1)
    figures, chances = _judged(model, encoder, later)
    benchmark.extra_info.update(figures)
    if name == READERS[-1]:
        _plot(chances, RESULTS / "bench_reward.svg")


def _judged(
    model: TextRewardModel, encoder: TextEncoder, later: list[Example]
) -> tuple[dict[str, Any], Floats]:
    """Returns figures on pairs of `later`, and the chance given to each pair's better one."""
    grouped = group_examples(later, encoder)
    pairs = significant_pairs(grouped)
    scores = model.score_vectors(grouped.x).value
    accuracy = measure_accuracy(scores, pairs, grouped.group, seed=0)
    chance = 1.0 / (1.0 + np.exp(-model.slope * (scores[pairs.better] - scores[pairs.worse])))
    said, true, count = _bins(chance)
    figures = {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.interval.low,
        "accuracy_high": accuracy.interval.high,
        "ratio_to_coin": accuracy.value / 0.5,
        "pairs": accuracy.n_pairs,
        "held_out_in_training": model.accuracy.value,
        "trusted": model.trusted,
        # the mean distance between what was said and what came true, over bins of pairs
        "calibration_error": float(count @ np.abs(said - true) / count.sum()),
        "brier": float(((1.0 - chance) ** 2).mean()),
    }
    return figures, chance


def _bins(chance: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns per bin the mean chance said, the share that came true, and the pairs.

    Every pair counts as it stands and turned around, as nobody says beforehand which is better.
    """
    said = np.concatenate([chance, 1.0 - chance])
    came = np.concatenate([np.ones(len(chance)), np.zeros(len(chance))])
    number = np.minimum((said * BINS).astype(int), BINS - 1)
    count = np.bincount(number, minlength=BINS).astype(float)
    held = count > 0
    mean = np.bincount(number, said, minlength=BINS)[held] / count[held]
    true = np.bincount(number, came, minlength=BINS)[held] / count[held]
    return mean, true, count[held]


def _plot(chance: Floats, path: Path) -> None:
    from matplotlib.figure import Figure

    said, true, count = _bins(chance)
    error = 1.96 * np.sqrt(np.maximum(true * (1 - true), 1e-9) / count)
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.errorbar(said, true, yerr=error, fmt="o", capsize=3)
    axes.set(xlabel="chance said to be the better one", ylabel="how often it was", aspect="equal")
    axes.set_title("Reward model on later headline tests")
    figure.savefig(path, metadata={"Date": None})
