"""Real data as worlds: classes to be told apart, real headlines by time, and a shop's items."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.worlds.game import Epoch, Game, always, nothing_known, plain_actions, raw


def digits(seed: int) -> Game:
    """Handwritten digits, 64 numbers each; naming the right one of ten earns 1."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return _classes(found.data / 16.0, found.target, seed, 4000)


def cancer(seed: int) -> Game:
    """Cell nuclei, 30 numbers; which of two."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    return _classes(_scaled(found.data), found.target, seed, 3000)


def wine(seed: int) -> Game:
    """Wines, 13 numbers; which of three growers, where the right one sells in 30 % of visits."""
    from sklearn.datasets import load_wine

    found = load_wine()
    return _classes(_scaled(found.data), found.target, seed, 4000, right=0.3, wrong=0.1)


def _scaled(data: Any) -> Any:
    low, high = data.min(axis=0), data.max(axis=0)
    return (data - low) / (high - low)


def _classes(
    data: Any, target: Any, seed: int, n: int, *, right: float = 1.0, wrong: float = 0.0
) -> Game:
    rng = np.random.default_rng([seed, 20])
    rows = rng.integers(len(data), size=n)
    contexts = [raw({"x": data[row].round(3).tolist()}) for row in rows]
    n_classes = int(target.max()) + 1
    means = np.where(target[rows][:, None] == np.arange(n_classes), right, wrong)
    return Game(contexts, data[rows], always(plain_actions(n_classes)), means, rng.random(n))


def early_headlines(seed: int) -> Game:
    """Ten headline tests of the Upworthy archive, from its first half, one after another."""
    return _headlines(seed, 0)


def late_headlines(seed: int) -> Game:
    """Ten headline tests of the Upworthy archive, from its second half."""
    return _headlines(seed, 1)


def _headlines(seed: int, half: int) -> Game:
    from bandit.abtests.replay import make_stage
    from benchmarks.upworthy import read_upworthy

    rng = np.random.default_rng([seed, 21])
    tests = read_upworthy()
    middle = len(tests) // 2
    of_half = tests[half * middle : (half + 1) * middle]
    chosen = np.sort(rng.choice(len(of_half), 10, replace=False))
    stages = [make_stage(of_half[i], 1500, "wordllama") for i in chosen.tolist()]
    rates = [np.array([arm.clicks / arm.impressions for arm in s.test.arms]) for s in stages]
    epochs, columns, n = [], 0, 0
    for stage in stages:
        n_arms = len(stage.actions)
        epochs.append(Epoch(n, np.arange(columns, columns + n_arms), stage.actions))
        columns, n = columns + n_arms, n + 1500
    contexts, covariates = nothing_known(n)
    means = np.broadcast_to(np.concatenate(rates), (n, columns))
    return Game(contexts, covariates, tuple(epochs), means, rng.random(n))


def open_bandit(seed: int) -> Game:
    """The 80 items of the Open Bandit data, at the click rates that both of its logs agree on.

    Each item's rate is shrunk towards all items' by a Gamma prior of the moments' shape.
    """
    import csv

    from benchmarks.upworthy import DATA

    shown, clicks = np.zeros(80), np.zeros(80)
    for log in ("random", "bts"):
        with (DATA.parent / "obd" / log / "all" / "all.csv").open() as file:
            for row in csv.DictReader(file):
                shown[int(row["item_id"])] += 1.0
                clicks[int(row["item_id"])] += float(row["click"])
    mean = clicks.sum() / shown.sum()
    # Of a spread of 50 %, which so few clicks neither show nor exclude.
    rates = mean * (4.0 + clicks) / (4.0 + shown * mean)
    rng = np.random.default_rng([seed, 22])
    n = 40_000
    contexts, covariates = nothing_known(n)
    means = np.broadcast_to(rng.permutation(rates), (n, 80))
    return Game(contexts, covariates, always(plain_actions(80)), means, rng.random(n))
