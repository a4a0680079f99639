"""Which of the things that were tried side by side did better, learned from their vectors.

What one group shares (a test, a season, an audience) lifts all of its members alike, so only the
differences within a group tell of the members; their regression on vectors is ridge, and how far
it is believed is decided on members that were held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.abtests.contrasts import Rows, held_out, loss, posterior
from bandit.abtests.data import AbTest
from generator.errors import TooLittleEvidence
from generator.refresh import RotationState
from streams.catalogue.state import Catalogue
from streams.events import Creative

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

PRIOR_SCALES: Final = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3)
"""How far scores may spread within a group before any data: standard deviations, as shares."""
FOLDS: Final = 5
FEWEST: Final = 20
"""Fewer members than this teach nothing that could be checked."""
SURE: Final = 0.95
"""A pair is significant if one of it is better with at least this posterior probability."""
_TINY: Final = 1e-12


class GroupedExamples(NamedTuple):
    """What was tried side by side: one row a member, all groups one after another.

    Attributes:
        x: vectors, shape (n, d).
        rate: estimated reward of each, shape (n,).
        variance: of that estimate, shape (n,), above 0.
        group: which were tried side by side, shape (n,), from 0.
        block: which encoder each dimension comes from, shape (d,), from 0.
    """

    x: Floats
    rate: Floats
    variance: Floats
    group: Ints
    block: Ints


class Ridge(NamedTuple):
    """A fitted regression: scores are x / scale @ weights.

    `factor` is the lower Cholesky factor of the weights' posterior precision, `spread` the one of
    `PRIOR_SCALES` that predicted best, `noise` the variance between members that vectors do not
    tell.
    """

    weights: Floats
    scale: Floats
    factor: Floats
    spread: float
    noise: float

    def score(self, x: Floats) -> Floats:
        """Returns how far each is above its group, as a share of the group's rate, shape (n,)."""
        return np.asarray((x / self.scale) @ self.weights, dtype=np.float64)

    def error(self, x: Floats) -> Floats:
        """Returns the standard deviation of what is not known of the scores, shape (n,)."""
        half = np.linalg.solve(self.factor, (x / self.scale).T)
        error: Floats = np.sqrt((half * half).sum(axis=0) + self.noise)
        return error


class Pairs(NamedTuple):
    """Pairs of one group's members that differ significantly: `better` and `worse` are rows."""

    better: Ints
    worse: Ints


def fit_ridge(grouped: GroupedExamples) -> tuple[Ridge, Floats]:
    """Returns the regression on all, and each member's score from folds that it was not in.

    With y_k = rate_k / group's rate - 1 and weights w ~ N(0, spread²/d) in units of the vectors'
    spread within groups, the same for each encoder, the estimate is the posterior mean (ridge:
    Hoerl & Kennard 1970). What y varies by beyond its own noise is found by moments
    (DerSimonian & Laird 1986), and the spread by weighted squares of what was held out.

    Raises:
        TooLittleEvidence: fewer than `FEWEST` members with company, or nobody earned anything.
    """
    data = _centred(grouped)
    folds = _folds(grouped.group)

    def fit(rows: Rows, spread: float) -> tuple[Floats, Floats]:
        # d_b / spread² for each dimension, d_b being how many its encoder has
        prior = np.asarray(np.bincount(data.block)[data.block] / spread**2, dtype=np.float64)
        return posterior(data.x[rows], data.y[rows], data.weight[rows], prior)

    def predict(spread: float) -> Floats:
        return held_out(folds, lambda rest, own: data.x[own] @ fit(rest, spread)[0])

    held = {spread: predict(spread) for spread in PRIOR_SCALES}
    spread = min(PRIOR_SCALES, key=lambda each: loss(data.y, held[each], data.weight))
    weights, factor = fit(np.ones(len(data.y), dtype=bool), spread)
    return Ridge(weights, data.scale, factor, spread, data.noise), held[spread]


def significant_pairs(grouped: GroupedExamples) -> Pairs:
    """Returns the pairs within groups of which one is better with `SURE` probability or more.

    Estimates are taken as normal; each pair comes once.
    """
    sure = NormalDist().inv_cdf(SURE)
    better: list[Ints] = []
    worse: list[Ints] = []
    order = np.argsort(grouped.group, kind="stable")
    starts = np.nonzero(np.diff(grouped.group[order]))[0] + 1
    for rows in np.split(order, starts):
        rate, variance = grouped.rate[rows], grouped.variance[rows]
        apart = rate[:, None] - rate[None, :]
        found = np.nonzero(apart > sure * np.sqrt(variance[:, None] + variance[None, :]))
        better.append(rows[found[0]])
        worse.append(rows[found[1]])
    return Pairs(np.concatenate(better), np.concatenate(worse))


class _Centred(NamedTuple):
    """Members against the mean of their group, in units of the spread within groups."""

    x: Floats
    y: Floats
    weight: Floats
    scale: Floats
    block: Ints
    noise: float


def _centred(grouped: GroupedExamples) -> _Centred:
    group = grouped.group
    level = _group_means(grouped.rate, 1.0 / grouped.variance, group)
    # Who was tried alone does not count, nor does anybody where nobody earned anything.
    kept = (np.bincount(group)[group] > 1) & (level > 0.0)
    safe = np.where(kept, level, 1.0)
    y = np.where(kept, grouped.rate / safe - 1.0, 0.0)
    own = grouped.variance / safe**2
    if int(kept.sum()) < FEWEST:
        raise TooLittleEvidence(
            f"{int(kept.sum())} texts were tried beside others and earned something; expected at "
            f"least {FEWEST}: let more creatives be shown first"
        )
    # a hundredth of the estimates' own variance at least, lest a few clicks decide everything
    noise = max(float((y[kept] ** 2 - own[kept]).mean()), 0.01 * float(own[kept].mean()))
    weight = np.where(kept, 1.0 / (own + noise), 0.0)
    y -= _group_means(y, np.maximum(weight, _TINY), group)
    x = grouped.x - _group_means(grouped.x, np.maximum(weight, _TINY), group)
    scale = np.sqrt((x[kept] ** 2).mean(axis=0))
    scale[scale <= _TINY] = np.inf
    return _Centred(x / scale, y, weight, scale, grouped.block, noise)


def _group_means(values: Floats, weight: Floats, group: Ints) -> Floats:
    """Returns the weighted mean of each row's group, of the shape of `values`."""
    total = np.bincount(group, weight)
    if values.ndim == 1:
        means: Floats = (np.bincount(group, weight * values) / total)[group]
        return means
    sums = np.zeros((len(total), values.shape[1]))
    np.add.at(sums, group, weight[:, None] * values)
    return (sums / total[:, None])[group]


def _folds(group: Ints) -> Ints:
    """Returns each member's fold: whole groups where there are enough, else members."""
    n_groups = int(group.max()) + 1
    if n_groups >= 2 * FOLDS:
        # consecutive groups share a season, and often a subject: they are held out together
        return np.asarray(group * FOLDS // n_groups, dtype=np.int64)
    return np.arange(len(group), dtype=np.int64) % FOLDS


FEWEST_SHOWINGS: Final = 1.0
"""An arm of a smaller effective sample size is not an example of anything."""


class Example(NamedTuple):
    """A text and what it earned.

    Attributes:
        group: what it was tried beside shares this name: a test, or a placement.
        text: as it was shown; several parts are joined by a line break.
        rate: estimated reward a showing.
        variance: of that estimate, above 0.
    """

    group: str
    text: str
    rate: float
    variance: float


def from_ab_tests(tests: Sequence[AbTest]) -> list[Example]:
    """Returns the arms of finished tests; ones of a test without a click are left out."""
    found = []
    for test in tests:
        clicks = sum(arm.clicks for arm in test.arms)
        level = clicks / sum(arm.impressions for arm in test.arms)
        found += [
            Example(test.id, arm.headline, arm.ctr, level * (1.0 - level) / arm.impressions)
            for arm in test.arms
            if 0.0 < level < 1.0
        ]
    return found


def from_states(states: Mapping[str, RotationState], catalogue: Catalogue) -> list[Example]:
    """Returns the creatives of each placement with their SNIPS estimates, in order of placement.

    A rate is taken to vary as that of clicks at the placement's level does.

    Args:
        states: what interactions add up to, by placement.
        catalogue: where the texts are; a creative that is not in it is passed over.
    """
    found = []
    for placement, state in sorted(states.items()):
        known = ((catalogue.creative(placement, name), state.total(name)) for name in state.spans)
        shown = [
            (creative, sums)
            for creative, sums in known
            if creative is not None and sums.effective_n >= FEWEST_SHOWINGS
        ]
        total = sum(sums.effective_n for _, sums in shown)
        earned = sum(sums.effective_n * sums.estimate for _, sums in shown)
        if not 0.0 < earned < total:
            continue
        level = earned / total
        found += [
            Example(
                placement,
                text_of(creative),
                sums.estimate,
                level * (1.0 - level) / sums.effective_n,
            )
            for creative, sums in shown
        ]
    return found


def text_of(creative: Creative) -> str:
    """Returns the creative's parts as one text, in the order of their names."""
    return "\n".join(text for _, text in sorted(creative.parts.items()))
