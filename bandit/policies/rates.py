"""What creatives earn on average: level, spread and forgetting found in their own sums.

Empirical Bayes over small grids: each value of a scale is weighed by how probable it makes what
was seen, and posteriors are mixed by these weights. All of it is a function of sums, so
corrected rewards lead to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from bandit.policies.best import Floats

SPREADS: Final = np.array([0.03, 0.1, 0.2, 0.3, 0.45, 0.7])
"""Standard deviations of rates, as shares of their level; of signed rewards, of the noise."""
SPREAD_PRIOR: Final = np.log([0.05, 0.12, 0.23, 0.25, 0.25, 0.1])
HALF_LIVES: Final = np.array([500.0, 2000.0, 8000.0, 32_000.0, 1e12])
"""In decisions of the placement; the last is for ever."""
HALF_LIFE_PRIOR: Final = np.log([0.01, 0.03, 0.06, 0.1, 0.8])
LEVEL_CHANGE: Final = 0.2
"""By what share the level of all rates may change from block to block."""
LEVEL_STEPS: Final = 3


class Scale(NamedTuple):
    """How large rewards are: their mean, and `unit`, which is variance divided by mean.

    A click is 1 and its unit about 1; an order of 30 euros in a hundred showings has the unit 30.
    Signed rewards have no unit, and `variance` says all.
    """

    mean: float
    variance: float
    unit: float


class Posterior(NamedTuple):
    """Mean and variance of each creative's mean reward, each of shape (n_actions,)."""

    mean: Floats
    variance: Floats


def scale_of(sums: Sequence[float], *, signed: bool) -> Scale:
    """Returns the scale of rewards, given how many there are, Σr, Σr² and Σ|r|."""
    n, total, square, size = sums
    typical = square / size if size > 0.0 and square > 0.0 else 1.0
    if signed:
        mean = total / (n + 1.0)
        variance = max((square + typical * typical) / (n + 1.0) - mean * mean, 1e-30)
        return Scale(mean, variance, variance**0.5)
    # As if one reward more had been earned, in as many decisions as one has taken so far.
    more = (n + 50.0) / (max(total, 0.0) / typical + 1.0)
    mean = (max(total, 0.0) + typical) / (n + more)
    variance = max((square + typical * typical) / (n + more) - mean * mean, 1e-6 * mean * mean)
    return Scale(mean, variance, variance / mean)


def log_gamma(x: Floats) -> Floats:
    """Returns log Γ(x) for x above 0, to 1e-5, by Stirling's series two steps up."""
    y = x + 2.0
    found: Floats = (
        (y - 0.5) * np.log(y) - y + 0.9189385332046727 + 1.0 / (12.0 * y) - np.log(x * (x + 1.0))
    )
    return found


def normalised(log_weights: Floats) -> Floats:
    """Returns weights that sum to 1."""
    found = np.exp(log_weights - log_weights.max())
    weights: Floats = found / found.sum()
    return weights


def rates(n: Floats, total: Floats, ahead: Floats, scale: Scale) -> Posterior:
    """Returns the posterior of rates that are not negative.

    Creative k's rate is m·exp(ahead_k)·g_k with g_k ~ Gamma of mean 1 and standard deviation s;
    events, which are rewards divided by their unit, are Poisson. For each s of the grid the level
    m is found, and s is weighed by the probability of the events.

    Args:
        n: showings, shape (n_actions,).
        total: rewards, shape (n_actions,).
        ahead: by how much a creative's text promises more than the others', in logarithms.
        scale: of the placement's rewards.
    """
    events, shape = total / scale.unit, (SPREADS**-2.0)[:, None]
    lift = np.exp(ahead)
    exposure = n * lift / scale.unit
    all_events, all_exposure = float(events.sum()), float(exposure.sum())
    level = np.full((len(shape), 1), (1.0 + all_events) / (1.0 / scale.mean + all_exposure))
    for _ in range(LEVEL_STEPS):
        # A creative counts as far as its own events tell of the level, not of itself.
        weight = shape / (shape + exposure * level)
        above = (weight * events).sum(axis=1, keepdims=True) + 1.0
        level = above / ((weight * exposure).sum(axis=1, keepdims=True) + 1.0 / scale.mean)
    expected = exposure * level
    log_weights = (
        log_gamma(shape + events)
        - log_gamma(shape)
        + shape * np.log(shape / (shape + expected))
        + events * np.log(level / (shape + expected))
    ).sum(axis=1) + SPREAD_PRIOR
    weights = normalised(log_weights)[:, None]
    ratio = (shape + events) / (shape + expected)
    mean = level * lift * ratio
    variance = mean * level * lift / (shape + expected)
    return _mixed(weights, mean, variance)


def signed_means(n: Floats, total: Floats, scale: Scale) -> Posterior:
    """Returns the posterior of mean rewards of either sign, Normal with the spread's weights."""
    shown = np.maximum(n, 1e-9)
    seen = total / shown
    between = (SPREADS * scale.unit)[:, None] ** 2
    noise = scale.variance / shown
    precision = 1.0 / (between + noise)
    level = (precision * seen).sum(axis=1, keepdims=True) / precision.sum(axis=1, keepdims=True)
    apart = seen - level
    log_weights = 0.5 * (np.log(precision) - precision * apart * apart).sum(axis=1) - 0.5 * np.log(
        precision.sum(axis=1)
    )
    weights = normalised(log_weights + SPREAD_PRIOR)[:, None]
    kept = between * precision
    return _mixed(weights, level + kept * apart, kept * noise)


def _mixed(weights: Floats, mean: Floats, variance: Floats) -> Posterior:
    middle = (weights * mean).sum(axis=0)
    apart = mean - middle
    return Posterior(middle, (weights * (variance + apart * apart)).sum(axis=0))


def block_weights(sizes: Floats, n: Floats, total: Floats, scale: Scale, signed: bool) -> Floats:
    """Returns what a decision in each block weighs now, shape (n_blocks,).

    Each half-life predicts every block but the first from those before it; how well it does is
    its weight. A change that all creatives share is nobody's error.

    Args:
        sizes: decisions in each block.
        n: showings, shape (n_actions, n_blocks); the last block is left out, it is not full.
        total: rewards, of the same shape.
        scale: of the placement's rewards.
        signed: whether rewards may be negative.
    """
    if len(sizes) < 3:
        return np.ones(len(sizes))
    # Of the full blocks, from the end of the last one; the newest block is as new as can be.
    full = sizes[:-1]
    ages = full[::-1].cumsum()[::-1] - 0.5 * full
    n, total = n[:, :-1], total[:, :-1]
    # What a decision in block c weighs when block b begins, shape (n_half_lives, c, b).
    apart = ages[:, None] - ages[None, :]
    before = apart > 0.0
    kernel = np.where(before, 0.5 ** (np.maximum(apart, 0.0) / HALF_LIVES[:, None, None]), 0.0)
    known, earned = n @ kernel, total @ kernel
    strength = 4.0 * scale.unit / scale.mean if not signed else 25.0
    predicted = (earned + strength * scale.mean) / (known + strength)
    per_reward = scale.variance if signed else scale.unit * np.maximum(predicted, 0.1 * scale.mean)
    shown = np.maximum(n, 1e-9)
    variance = per_reward * (1.0 / shown + 1.0 / (known + strength))
    precision = np.where(n > 0.0, 1.0 / variance, 0.0)
    error = total / shown - predicted
    # How far all may have changed alike is bounded: one that alone is shown may have changed.
    alike = (LEVEL_CHANGE * (scale.unit if signed else scale.mean)) ** 2
    known_precision, known_error = precision.sum(axis=1), (precision * error).sum(axis=1)
    shared = 1.0 + alike * known_precision
    squares = (precision * error * error).sum(axis=1) - alike * known_error**2 / shared
    log_precision = np.log(np.where(n > 0.0, precision, 1.0)).sum(axis=1) - np.log(shared)
    fits = 0.5 * (log_precision - squares).sum(axis=1)
    fading = 0.5 ** (ages / HALF_LIVES[:, None])
    return np.append(normalised(fits + HALF_LIFE_PRIOR) @ fading, 1.0)
