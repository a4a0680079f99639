"""The model of the policy `hybrid`: what creatives share and what each is by itself, by sums."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from bandit.policies.best import Floats

PRIOR_DECISIONS: Final = 100.0
"""Mean and noise start as if one reward had been earned in so many decisions."""


class ArmSums(Struct):
    """What one creative's decisions sum to: all that the model needs to know of them.

    `code` is its vector before it is shortened, shape (n_code,); `second` is Σ φφᵀ, shape (m, m),
    and `response` Σ rφ, shape (m,).
    """

    code: Floats
    second: Floats
    response: Floats


class Totals(NamedTuple):
    """How many decisions there were, and sums over their rewards: r, r², and |r|."""

    n: float
    reward: float
    square: float
    size: float


class Prior(NamedTuple):
    """Standard deviations as shares of the mean reward, and the dimensions of a creative."""

    shared: float
    own: float
    dimensions: int


class Fit(NamedTuple):
    """The posterior of W, and what it takes to read a creative by it.

    W has the mean `weights`, shape (p, m), and with its rows strung together the covariance
    `noise² · covariance`, shape (p·m, p·m). `own` and the entries of `covariance` are in units of
    the noise's variance; `centre` and `directions` shorten a code to ψ.
    """

    mean: float
    noise: float
    own: float
    centre: Floats
    directions: Floats
    weights: Floats
    covariance: Floats

    def creatives(self, arms: list[ArmSums], scale: float) -> tuple[Floats, Floats]:
        """Returns mean and covariance of each creative's Wψ + u, given all that it earned.

        Args:
            arms: the creatives' sums; of those never shown, sums of 0.
            scale: what the sums are multiplied by.

        Returns:
            Shapes (n, m) and (n, m, m). The covariance is noise²·(G + own²·G C G), where own·I is
            the prior precision of u, G = (S + own·I)⁻¹, and C the covariance of Wψ; the mean
            leaves out the mean reward, which all have in common.
        """
        psi, second, response = stacked(arms, self, scale)
        n, m = response.shape
        spread = inverses(second + self.own * np.eye(m))
        mean = np.einsum("kij,kj->ki", spread, response + self.own * psi @ self.weights)
        p = psi.shape[1]
        blocks = self.covariance.reshape(p, m, p, m).swapaxes(1, 2).reshape(p * p, m * m)
        shared = (_outer(psi) @ blocks).reshape(n, m, m)
        covariance = self.noise**2 * (spread + self.own**2 * spread @ shared @ spread)
        return mean, covariance


def fit(arms: list[ArmSums], totals: Totals, prior: Prior, scale: float) -> Fit:
    """Returns the posterior of what creatives share, given the sums of all of them.

    With u integrated out, a creative's sums say of Wψ what an observation of precision
    J = own·I − own²·G would, with G as in `Fit.creatives`; the precision of W is then
    shared·I + Σ ψψᵀ ⊗ J. That is the hybrid model of Li et al. 2010 (algorithm 2) where a
    creative's own part has a prior too, and the rewards' mean and noise are estimated first.

    Args:
        arms: at least one.
        totals: of all decisions, on the same scale as the sums.
        prior: how much creatives differ, and into how many dimensions they are shortened.
        scale: what sums and totals are multiplied by.
    """
    mean, variance, size = _moments(totals, scale)
    own, shared = (variance / (part * size) ** 2 for part in (prior.own, prior.shared))
    codes = np.array([arm.code for arm in arms])
    centre = codes.mean(axis=0)
    # Where the codes vary most. Among no more creatives than dimensions nothing is lost, and the
    # prior is the same whichever way a direction is turned.
    apart = codes - centre
    rank = prior.dimensions
    directions: Floats = np.linalg.eigh(apart.T @ apart)[1][:, ::-1][:, :rank].T
    start = Fit(mean, variance**0.5, own, centre, directions, *_NONE)
    psi, second, response = stacked(arms, start, scale)
    (k, m), p = response.shape, psi.shape[1]
    spread = inverses(second + own * np.eye(m))
    told = own * np.eye(m) - own * own * spread
    blocks = (_outer(psi).T @ told.reshape(k, -1)).reshape(p, p, m, m)
    precision = blocks.swapaxes(1, 2).reshape(p * m, p * m) + shared * np.eye(p * m)
    covariance = inverses(precision)
    right = psi.T @ (own * np.einsum("kij,kj->ki", spread, response))
    weights = (covariance @ right.ravel()).reshape(p, m)
    return start._replace(weights=weights, covariance=covariance)


_NONE: Final = (np.zeros((0, 0)), np.zeros((0, 0)))


def _moments(totals: Totals, scale: float) -> tuple[float, float, float]:
    """Returns the rewards' mean and variance, and how large a mean is to be thought of."""
    # A reward is as large as those that came so far; 1 until there are any.
    typical = totals.square / totals.size if totals.size > 0.0 else 1.0
    n = totals.n * scale + PRIOR_DECISIONS
    mean = (totals.reward * scale + typical) / n
    variance = max((totals.square * scale + typical**2) / n - mean * mean, 1e-30)
    # Of rewards that are 0 on average the mean has no size; its standard error has.
    return mean, variance, max(abs(mean), (variance / n) ** 0.5)


def inverses(matrices: Floats) -> Floats:
    """Returns the inverse of each symmetric matrix, as symmetric as rounding lets it be."""
    found = np.linalg.inv(matrices).astype(np.float64)
    return (found + found.swapaxes(-1, -2)) / 2.0


def _outer(psi: Floats) -> Floats:
    """Returns ψψᵀ of each creative, strung together, shape (n, p²)."""
    return (psi[:, :, None] * psi[:, None, :]).reshape(len(psi), -1)


def stacked(arms: list[ArmSums], of: Fit, scale: float) -> tuple[Floats, Floats, Floats]:
    """Returns ψ, shape (n, p), Σ φφᵀ and Σ (r − mean)φ of each creative."""
    codes = np.array([arm.code for arm in arms]) - of.centre
    psi = np.hstack([np.ones((len(arms), 1)), codes @ of.directions.T])
    second = scale * np.array([arm.second for arm in arms])
    # φ starts with 1, so the first column of Σ φφᵀ is Σ φ.
    response = scale * np.array([arm.response for arm in arms]) - of.mean * second[:, :, 0]
    return psi, second, response
