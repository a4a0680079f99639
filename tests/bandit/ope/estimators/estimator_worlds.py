"""A small world for estimators: two kinds of visitors, three actions, and every rate known."""

from typing import NamedTuple

import numpy as np

from bandit.ope.base import Batch

SHARES = np.array([0.3, 0.7])
RATES = np.array([[0.10, 0.40, 0.25], [0.30, 0.20, 0.60]])
LOGGED = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
TARGET = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
SCORES = np.array([[0.15, 0.35, 0.25], [0.25, 0.25, 0.50]])
"""A reward model that is not far off, and was not fitted to any of the data."""


class Draw(NamedTuple):
    """What was drawn, beside what estimators may see of it."""

    batch: Batch
    visitor: np.ndarray
    action: np.ndarray


def true_value(pmf=TARGET):
    return float((SHARES[:, None] * pmf * RATES).sum())


def draw(n, seed, *, target=TARGET, logged=LOGGED, scores=SCORES):
    rng = np.random.default_rng(seed)
    visitor = rng.choice(2, n, p=SHARES)
    action = (rng.random(n)[:, None] > logged[visitor].cumsum(axis=1)[:, :-1]).sum(axis=1)
    reward = (rng.random(n) < RATES[visitor, action]).astype(np.float64)
    batch = Batch(
        reward,
        logged[visitor, action],
        target[visitor, action],
        scores[visitor, action],
        (target * scores).sum(axis=1)[visitor],
    )
    return Draw(batch, visitor, action)


def matched(batch, seed):
    """The batch as replay wants it: target 1 where the policy, sampled, did the same."""
    drawn = np.random.default_rng([seed, 1]).random(len(batch)) < batch.target
    return Batch(batch.reward, batch.propensity, drawn.astype(np.float64))
