"""How probable it is that each of several independent arms is the best, by integration.

Thompson sampling plays an arm with just that probability, so its pmf is an integral, not a count
of draws: P(i) = ∫ f_i(z) Π_{j≠i} F_j(z) dz. It is deterministic and within 2e-4 of the exact
value, for arms that were seen ten million times as for fresh ones.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

# An arm's own nodes, in quarters to halves of its standard deviation: dense where it has mass,
# and out to where its density is 0 to double precision even against arms 10⁵ times as wide.
_TAIL: Final = np.array([25.0, 28.0, 31.0, 34.0])
_STEPS: Final = np.concatenate([-_TAIL, np.arange(-22.0, 23.0), _TAIL])
_EVEN: Final = np.linspace(0.0, 1.0, 24)
_CENTRE_SPAN: Final = 5.5
_TAIL_SPAN: Final = 16.0
# Keeps f/F finite where F underflows; what is multiplied by it is 0 to any precision we claim.
_TINY: Final = 1e-200


def beta_best(alpha: Floats, beta: Floats, count: Floats) -> Floats:
    """Returns P(an arm of each kind is the best) where kind k's posterior is Beta(α_k, β_k).

    The integral runs over log-odds, where every Beta density is smooth, whatever its parameters.

    Args:
        alpha: shape (n_kinds,), at least 0.01.
        beta: shape (n_kinds,), at least 0.01.
        count: how many arms are of each kind, shape (n_kinds,).

    Returns:
        Shape (n_kinds,): one arm's probability; times `count` they sum to 1.

    >>> one = np.ones(2)
    >>> beta_best(np.array([2.0, 1.0]), np.array([1.0, 1.0]), one).round(3).tolist()
    [0.667, 0.333]
    """
    total = alpha + beta
    mode = np.log(alpha / beta)
    variances = 1.0 / np.array((alpha, beta))
    sd = np.sqrt(variances[0] + variances[1])
    # The tails in log-odds are exponential, the wider the smaller the parameter.
    below, above = sd * (_CENTRE_SPAN + _TAIL_SPAN * np.sqrt(variances))
    z = _nodes(mode, sd, (mode - below).max(), (mode + above).max())
    log_rate = -np.logaddexp(0.0, -z)
    log_norm = np.array(
        [
            math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
            for a, b in zip(alpha.tolist(), beta.tolist(), strict=True)
        ]
    )
    density = total[:, None] * log_rate
    density -= beta[:, None] * z
    density -= log_norm[:, None]
    np.exp(density, out=density)
    slope = alpha[:, None] - total[:, None] * np.exp(log_rate)
    return _integrate(z, density, slope, count)


def normal_best(mean: Floats, sd: Floats, count: Floats) -> Floats:
    """Returns P(an arm of each kind is the best) where kind k's posterior is N(mean_k, sd_k²).

    Args:
        mean: shape (n_kinds,).
        sd: shape (n_kinds,), above 0.
        count: how many arms are of each kind, shape (n_kinds,).

    Returns:
        Shape (n_kinds,): one arm's probability; times `count` they sum to 1.
    """
    span = _CENTRE_SPAN * sd
    z = _nodes(mean, sd, (mean - span).max(), (mean + span).max())
    standard = (z - mean[:, None]) / sd[:, None]
    density = np.exp(-0.5 * standard * standard) / (sd[:, None] * math.sqrt(2.0 * math.pi))
    return _integrate(z, density, -standard / sd[:, None], count)


def _nodes(centre: Floats, sd: Floats, low: float, high: float) -> Floats:
    """Returns where to evaluate: between `low`, below which the best cannot be, and `high`.

    Every arm's nodes lie on a lattice whose step is a power of two, so lattices are nested,
    similar arms share their nodes, and a thousand arms need hardly more nodes than ten.
    """
    step = np.ldexp(0.25, np.frexp(sd)[1])
    own = (np.rint(centre / step)[:, None] + _STEPS) * step[:, None]
    z = np.concatenate((own.ravel(), _EVEN * (high - low) + low))
    z.sort()
    z = z[z.searchsorted(low) : z.searchsorted(high, "right")]
    return z[np.concatenate(([True], z[1:] > z[:-1]))]


def _integrate(z: Floats, density: Floats, slope: Floats, count: Floats) -> Floats:
    """Returns ∫ f_i Π_{j≠i} F_j dz, normalised, by the trapezoidal rule with end corrections.

    The rule (Euler-Maclaurin to the first term, fourth order) wants derivatives, which are at
    hand: f' = f·slope, and for g = f_i Π_{j≠i} F_j with r = f/F, g' = g·(slope_i − r_i + Σ r_j).
    The nodes `z` increase; `density`, f, and `slope`, d log f / dz, are of shape (n_kinds, n).
    """
    width = z[1:] - z[:-1]
    half = width / 2.0
    corner = width * width / 12.0
    rise = density * slope
    cells = (density[:, 1:] + density[:, :-1]) * half
    cells += (rise[:, :-1] - rise[:, 1:]) * corner
    np.maximum(cells, 0.0, out=cells)
    cdf = np.empty_like(density)
    cdf[:, 0] = 0.0
    np.add.accumulate(cells, axis=1, out=cdf[:, 1:])
    cdf += np.maximum(1.0 - cdf[:, -1:], _TINY)
    ratio = density / cdf
    best = ratio * np.exp(count @ np.log(cdf))
    bend = best * (slope - ratio + count @ ratio)
    found = (best[:, 1:] + best[:, :-1]) @ half + (bend[:, :-1] - bend[:, 1:]) @ corner
    np.maximum(found, 0.0, out=found)
    normalised: Floats = found / (found @ count)
    return normalised


_GRID_STEP: Final = 0.6
_LARGEST_GRID: Final = 200
_MARKS: Final = np.linspace(-9.0, 9.0, 1153)
_LOG_CDF: Final = np.log([0.5 * math.erfc(-mark / math.sqrt(2.0)) for mark in _MARKS.tolist()])


def quick_normal_best(mean: Floats, sd: Floats) -> Floats:
    """Returns what `normal_best` does for single arms, within 5e-4, at less than half the cost.

    One even grid serves all arms, since the trapezoidal rule is all but exact for densities that
    are wide against its step, and log F is read from a table. Where widths differ so much that
    such a grid would be long, `normal_best` integrates.
    """
    span = _CENTRE_SPAN * sd
    reach = mean + span
    low, high = (mean - span).max(), reach.max()
    narrowest = sd[reach > low].min()
    n = int((high - low) / (_GRID_STEP * narrowest)) + 2
    if n > _LARGEST_GRID:
        return normal_best(mean, sd, np.ones(len(mean)))
    z = np.arange(n) * ((high - low) / (n - 1)) + low
    u = (z - mean[:, None]) / sd[:, None]
    log_cdf = np.interp(u, _MARKS, _LOG_CDF)
    others = log_cdf.sum(axis=0) - log_cdf
    others -= 0.5 * u * u
    np.exp(others, out=others)
    found = others.sum(axis=1) / sd
    normalised: Floats = found / found.sum()
    return normalised
